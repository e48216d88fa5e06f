"""A new instance, filled with what was saved of another one.

Events are appended as any others are, by the writer, commit by commit in the order of the old commits and
with their times; of two events with one key the first stays. What the writer does not know (greatest numbers
of events that are lost, refused events, request ids) is put beside them at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import lmdb
import numpy as np

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ClosedError, DamagedError
from yamcs_archive.event import EventKey
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import GROUP_EVENTS_MAX
from yamcs_archive.options import Options
from yamcs_archive.results import Verification
from yamcs_archive.storage.disk.environments import acquire, release
from yamcs_archive.storage.disk.lmdb_open import archive_error
from yamcs_archive.storage.format.keys import decode_key, encode_key
from yamcs_archive.storage.format.meta import Meta, encode_meta
from yamcs_archive.storage.format.requests import RequestRecord, encode_record
from yamcs_archive.storage.format.source_states import SourceState, encode_source
from yamcs_archive.storage.interrupts import Signal
from yamcs_archive.storage.maintain.scheduler import Maintenance
from yamcs_archive.storage.maintain.verification import verify
from yamcs_archive.storage.read.block_cache import BlockCache
from yamcs_archive.storage.read.metadata import fill_new, read_meta, read_sources
from yamcs_archive.storage.read.query import get
from yamcs_archive.storage.read.range_reader import RangeReader
from yamcs_archive.storage.salvage.facts import later
from yamcs_archive.storage.write.validation import prepare
from yamcs_archive.storage.write.writer import Writer


class Refill:
    """The new instance. It is the only user of its folder; close it in any case."""

    def __init__(self, folder: Path, meta: Meta, options: Options) -> None:
        self._options, self._meta = options, meta
        self._environment = acquire(folder, readonly=False, map_bytes=options.map_bytes)
        self._writer: Writer | None = None
        self._maintenance: Maintenance | None = None
        self._blocks = BlockCache()
        try:
            fill_new(self._environment, meta)
            self._writer = Writer(self._environment, options, meta.instance, _ignore)
            self._maintenance = Maintenance(
                self._environment,
                self._writer,
                options,
                meta.instance,
                horizon_moved=lambda: None,
                due=Signal(),
            )
        except BaseException:
            self.close()
            raise

    def store(self, events: StoredVectors, time_of: Callable[[int, StoredVectors], int]) -> None:
        """Store whole commits, in their order, durably."""
        writer = self._writer
        if writer is None:
            raise ClosedError
        group: list[tuple[int, Columns[int]]] = []
        held = 0
        for number, commit in _commits(events):
            if held and held + commit.size > GROUP_EVENTS_MAX:
                writer.take_over(group, None, exact=False)
                group, held = [], 0
            columns = prepare(list(commit.events()), self._options.clock)
            group.append((time_of(number, commit), columns))
            held += commit.size
        if group:
            writer.take_over(group, None, exact=False)

    def finish(self, sources: dict[str, SourceState], requests: dict[bytes, RequestRecord]) -> dict[str, int]:
        """Put all events into blocks; add what their appends could not tell; return each source's events."""
        if self._maintenance is None:
            raise ClosedError
        self._maintenance.settle()
        self._end_threads()
        saved = read_sources(self._environment)
        states = {name: _merged(saved.get(name), sources.get(name)) for name in saved.keys() | sources.keys()}
        kept = {
            key: record
            for key, record in requests.items()
            if all(self.has(decode_key(event)) for event in record.events)
        }
        databases = self._environment.databases
        try:
            with self._environment.lmdb.begin(write=True) as transaction:
                for name in sorted(states):
                    transaction.put(*encode_source(name, states[name]), db=databases["sources"])
                for key in sorted(kept):
                    transaction.put(*encode_record(key, kept[key]), db=databases["requests"])
                for key, value in encode_meta(self._meta):
                    if key != b"checkpoint":
                        transaction.put(key, value, db=databases["meta"])
        except lmdb.Error as error:
            raise archive_error(error, self._environment.path) from error
        return {name: state.events for name, state in saved.items()}

    def has(self, key: EventKey) -> bool:
        """Return whether the event of a key is stored."""
        return get(self._environment, key, None, self._blocks) is not None

    def between(self, first: EventKey, last: EventKey) -> int:
        """Return the number of stored events from one key to another, both included."""
        lower, upper = encode_key(*first), encode_key(*last) + b"\0"
        reader = RangeReader(self._environment, self._options.read_events_max)
        return sum(len(found.young) + len(found.block_indexes) for found in reader.slices(lower, upper))

    def verified(self, cancelled: Callable[[], bool]) -> Verification | None:
        """Read everything back; None once ``cancelled``. Raises DamagedError if anything is wrong."""
        facts = partial(read_meta, self._environment)
        found = verify(self._environment, facts, self._options.read_events_max, _ignore_both, cancelled)
        if found is not None and found.faults:
            raise DamagedError(found.faults[0].where, f"just written: {found.faults[0].reason}")
        return found

    def _end_threads(self) -> None:
        maintenance, self._maintenance = self._maintenance, None
        writer, self._writer = self._writer, None
        if maintenance is not None:
            maintenance.close()
        if writer is not None:
            writer.close()

    def close(self) -> None:
        """End the threads and release the files."""
        try:
            self._end_threads()
        finally:
            release(self._environment, readonly=False)


def _commits(events: StoredVectors) -> Iterator[tuple[int, StoredVectors]]:
    """Yield the number and the events of each commit; they are in the order of commits."""
    numbers = events.commits
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 1)).tolist() if len(numbers) else []
    for start, stop in zip(starts, [*starts[1:], len(numbers)], strict=True):
        yield int(numbers[start]), events.cut(start, stop)


def _merged(saved: SourceState | None, known: SourceState | None) -> SourceState:
    """Return the state of a source from its saved events, and from its state in the source, if known."""
    saved, known = saved or SourceState(), known or SourceState()
    return SourceState(
        saved.events,
        later(saved.greatest_number, known.greatest_number),
        later(saved.greatest_time, known.greatest_time),
        known.duplicates,
        known.conflicts,
        known.expired,
    )


def _ignore() -> None:
    pass


def _ignore_both(_read: int, _all: int) -> None:
    pass
