"""RocksDB through rocksdict: synced write batches of keys and msgpack records, zstd on every level.

A put overwrites, and a retry replaces an event by the same event, so RocksDB saves the look-up that
first-write-wins would need.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from rocksdict import (
    BlockBasedOptions,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from benchmarks.contenders.base import Contender
from benchmarks.records import decode_pair, encode_pairs
from yamcs_archive import Event, Severity

_BLOCK_BYTES = 16 << 10
_MEMTABLE_BYTES = 64 << 20


class RocksDb(Contender[list[Event]]):
    """One column family of keys and records."""

    durability = "WriteBatch with sync: fdatasync of the log at each one"

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_compression_type(DBCompressionType.zstd())
        options.set_write_buffer_size(_MEMTABLE_BYTES)
        options.increase_parallelism(2)
        table = BlockBasedOptions()
        table.set_block_size(_BLOCK_BYTES)
        options.set_block_based_table_factory(table)
        self._database = Rdict(str(directory / "rocksdb"), options)
        self._synced = WriteOptions()
        self._synced.sync = True

    def versions(self) -> dict[str, str]:
        """See the base class."""
        return {"rocksdict": version("rocksdict")}

    def ready(self, events: list[Event]) -> list[Event]:
        """Return the events unchanged."""
        return events

    def append(self, batch: list[Event]) -> None:
        """Encode the events and write them in one synced batch."""
        writes = WriteBatch(raw_mode=True)
        put = writes.put
        for key, record in encode_pairs(batch):
            put(key, record)
        self._database.write(writes, self._synced)

    def append_one(self, batch: list[Event]) -> None:
        """Encode the event and put it, synced."""
        ((key, record),) = encode_pairs(batch)
        self._database.put(key, record, write_opt=self._synced)

    def rest(self) -> None:
        """Flush the memtable, and compact everything."""
        self._database.flush()
        self._database.compact_range(None, None)

    def scan(self) -> Iterator[Event]:
        """See the base class."""
        for key, record in self._database.items():
            yield decode_pair(key, record)  # type: ignore[arg-type]  # raw mode: both are bytes

    def newest(
        self, limit: int, *, source: str | None = None, min_severity: Severity | None = None
    ) -> list[Event]:
        """Scan backwards until enough events match; a source is compared in the keys alone."""
        found: list[Event] = []
        wanted = None if source is None else source.encode()
        for key, record in self._database.items(backwards=True):
            if wanted is not None and key[8:-5] != wanted:  # type: ignore[index]  # raw mode: bytes
                continue
            event = decode_pair(key, record)  # type: ignore[arg-type]  # raw mode: both are bytes
            if min_severity is None or event.severity >= min_severity:
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
        self._database.close()
