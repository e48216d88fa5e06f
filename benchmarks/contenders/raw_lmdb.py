"""Bare LMDB with ready-made pairs, as the upper limit: it does not check, number or encode events."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import lmdb

from benchmarks.contenders.base import Contender
from benchmarks.records import decode_pair, encode_pairs
from yamcs_archive import Event, Severity

_MAP_BYTES = 64 << 30


Pairs = list[tuple[bytes, bytes]]
"""Ready-made keys and records."""


class RawLmdb(Contender[Pairs]):
    """One LMDB database of keys and records."""

    durability = "LMDB commit, fdatasync"
    _append = False

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self._environment = _opened(directory)

    def versions(self) -> dict[str, str]:
        """See the base class."""
        return {"py-lmdb": version("lmdb"), "LMDB": ".".join(map(str, lmdb.version()))}

    def ready(self, events: list[Event]) -> Pairs:
        """Encode the events, before the clock starts."""
        return list(encode_pairs(events))

    def append(self, batch: Pairs) -> None:
        """Put all pairs and commit."""
        with self._environment.begin(write=True) as transaction:
            transaction.cursor().putmulti(batch, overwrite=False, append=self._append)

    def append_one(self, batch: Pairs) -> None:
        """Put the pair and commit."""
        with self._environment.begin(write=True) as transaction:
            transaction.put(*batch[0], overwrite=False, append=self._append)

    def rest(self) -> None:
        """Replace the file by LMDB's own compacting copy."""
        copy = self.directory / "copy"
        copy.mkdir()
        self._environment.copy(str(copy), compact=True)
        self._environment.close()
        (copy / "data.mdb").replace(self.directory / "data.mdb")
        copy.rmdir()
        self._environment = _opened(self.directory)

    def scan(self) -> Iterator[Event]:
        """See the base class."""
        with self._environment.begin() as transaction:
            for key, value in transaction.cursor():
                yield decode_pair(key, value)

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Scan backwards until enough events match."""
        found = []
        with self._environment.begin() as transaction:
            for key, value in transaction.cursor().iterprev():
                event = decode_pair(key, value)
                if source in (None, event.source) and (
                    min_severity is None or event.severity >= min_severity
                ):
                    found.append(event)
                    if len(found) == limit:
                        break
        return found

    def find_text(self, text: str) -> list[Event]:
        """See the base class."""
        wanted = text.casefold()
        return [event for event in self.scan() if wanted in event.message.casefold()]

    def close(self) -> None:
        """See the base class."""
        self._environment.close()


class RawLmdbAppend(RawLmdb):
    """The same, with LMDB's promise that keys only rise: it then needs no look-ups, and fills pages.

    It works only for events in order and one thread; a store that accepts late events cannot promise this.
    """

    _append = True


def _opened(directory: Path) -> lmdb.Environment:
    return lmdb.open(str(directory), map_size=_MAP_BYTES, max_readers=64)
