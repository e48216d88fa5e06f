"""What was found beside events and commits: the instance's own facts, the states of sources, request ids."""

from __future__ import annotations

from yamcs_archive.errors import ArchiveError, DamagedError
from yamcs_archive.storage.format.log_records import LogRecord
from yamcs_archive.storage.format.meta import decode_fact
from yamcs_archive.storage.format.requests import RequestRecord, decode_record
from yamcs_archive.storage.format.source_states import SourceState, decode_source
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, ZoneMap, decode_zone_map
from yamcs_archive.storage.salvage.losses import Losses
from yamcs_archive.storage.salvage.trees import Leaf

_FACTS_USED = ("created", "horizon")
"""The facts of ``meta`` that the new instance takes over; the others it has of its own."""


class Facts:
    """Collects facts."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self.meta: dict[str, object] = {}
        self.sources: dict[str, SourceState] = {}
        self.are_sources_whole = True
        """Every state that a tree leads to can be read."""
        self.requests: dict[bytes, RequestRecord] = {}
        self.zone_maps: list[ZoneMap] = []
        self.are_zone_maps_whole = True

    def add_meta(self, leaf: Leaf) -> None:
        """Note the facts of a leaf; a stray one counts only where there is no other."""
        for key, value in leaf.pairs(lambda key, error: self._lose("meta", leaf, key, error)):
            try:
                name, fact = decode_fact(key, value)
            except DamagedError as error:
                self._lose("meta", leaf, key, error.reason)
                continue
            known = self.meta.get(name)
            if leaf.is_stray and name == "horizon" and type(fact) is int and type(known) is int:
                self.meta[name] = max(fact, known)
            elif known is None:
                self.meta[name] = fact

    def add_sources(self, leaf: Leaf) -> None:
        """Note the states of a leaf; of two of the same source the greater numbers count."""

        def lose(key: bytes, reason: object) -> None:
            self.are_sources_whole &= leaf.is_stray
            self._lose("sources", leaf, key, reason)

        for key, value in leaf.pairs(lose):
            try:
                name, state = decode_source(key, value)
            except DamagedError as error:
                lose(key, error.reason)
                continue
            known = self.sources.get(name)
            self.sources[name] = state if known is None else _greater(known, state)

    def add_requests(self, leaf: Leaf) -> None:
        """Note the records of a leaf; of two of the same id the later one counts."""
        for key, value in leaf.pairs(lambda key, error: self._lose("requests", leaf, key, error)):
            try:
                record = decode_record(key, value)
            except DamagedError as error:
                self._lose("requests", leaf, key, error.reason)
                continue
            known = self.requests.get(key)
            if known is None or known.time < record.time:
                self.requests[key] = record

    def add_logged(self, record: LogRecord) -> None:
        """Note the states and ids of a record of the log, which are newer than all before."""
        for name, state in record.sources:
            known = self.sources.get(name)
            self.sources[name] = state if known is None else _greater(known, state)
        for key, value in record.requests:
            try:
                self.requests[key] = decode_record(key, value)
            except DamagedError as error:
                self._losses.add_fact(f"requests {key.hex()}", error.reason)

    def add_zone_maps(self, leaf: Leaf) -> None:
        """Note the zone maps of blocks of a leaf; nothing is lost with one that cannot be read."""

        def lose(_key: bytes, _error: object) -> None:
            self.are_zone_maps_whole = False

        for key, value in leaf.pairs(lose):
            if key[:1] == BLOCK_LEVEL:
                try:
                    self.zone_maps.append(decode_zone_map(key, value))
                except ArchiveError:
                    self.are_zone_maps_whole = False

    def note_missing(self) -> None:
        """Note the facts that were not found at all."""
        for name in _FACTS_USED:
            if name not in self.meta:
                self._losses.add_fact(f"meta {name}", _MISSING[name])

    def horizon(self) -> int | None:
        """Return the prune horizon, if there is one."""
        found = self.meta.get("horizon")
        return found if type(found) is int else None

    def created(self, default: int) -> int:
        """Return when the instance was made, microseconds since 1970."""
        found = self.meta.get("created")
        return found if type(found) is int else default

    def _lose(self, database: str, leaf: Leaf, key: bytes, reason: object) -> None:
        if not leaf.is_stray:
            shown = key.hex() if database == "requests" else key.decode(errors="replace")
            self._losses.add_fact(f"{database} {shown}", str(reason))


_MISSING = {
    "created": "when the instance was made is not known",
    "horizon": "the prune horizon is not known: events that were pruned and not deleted yet are back",
}


def _greater(one: SourceState, other: SourceState) -> SourceState:
    """Return the greater numbers of two states of a source, one of which is older."""
    return SourceState(
        max(one.events, other.events),
        later(one.greatest_number, other.greatest_number),
        later(one.greatest_time, other.greatest_time),
        max(one.duplicates, other.duplicates),
        max(one.conflicts, other.conflicts),
        max(one.expired, other.expired),
    )


def later(one: int | None, other: int | None) -> int | None:
    """Return the greater of two numbers, either of which may be unknown.

    >>> later(None, 5), later(7, 5), later(None, None)
    (5, 7, None)
    """
    return max((value for value in (one, other) if value is not None), default=None)
