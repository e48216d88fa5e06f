"""Writing of backups into a new store, which nobody else has open.

1. Values are put in large transactions, each synced. Nothing is in use before everything was compared: until
   then the store has no name that anybody opens.
2. A block of a first backup is put as it comes. One of a later backup, into whose range a stored block
   reaches, becomes rows, as version 1 had them; settling makes blocks of them.
3. Zone maps are made from the blocks. What a source has is counted anew, and compared with its state.
4. What a later backup says is pruned is not counted; the horizon comes with that backup.
5. The store gets a lineage of its own: from here on it may have another history than the archive that was
   backed up. The numbers of commits stay, so the order of arrival does too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import lmdb
import msgspec
import numpy as np

from yamcs_archive.errors import BackupError, OutOfSpaceError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import RESTORE_BYTES_MAX, RESTORE_ROWS_MAX
from yamcs_archive.results import BackupManifest
from yamcs_archive.storage.backup.decoder import BackupReader, Records, check_follows
from yamcs_archive.storage.backup.snapshot import Part
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import TEXTS, archive_error, nearly_full
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.backup_frames import decode_pairs
from yamcs_archive.storage.format.block import zone_map_of
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.content_hash import ContentHash
from yamcs_archive.storage.format.keys import BEFORE_ALL, time_bound
from yamcs_archive.storage.format.meta import Meta, encode_meta
from yamcs_archive.storage.format.rows import encode_rows
from yamcs_archive.storage.format.source_states import decode_source, encode_source
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, GROUP_LEVEL, ZoneMap, encode_zone_map
from yamcs_archive.storage.read.block_index import BlockIndex
from yamcs_archive.storage.read.range_reader import RangeReader, Slice


@dataclass
class RestoreTotal:
    """What was restored."""

    backups: int = 0
    commits: int = 0
    content: ContentHash = field(default_factory=ContentHash)
    """The hash of the events, without those that were pruned before the last backup."""


class Restorer:
    """Puts a full backup and the ones that continue it into a new store.

    ``settle`` puts the rows that are stored into blocks; ``go_on`` is called now and then, and raises when
    the restore is to end.
    """

    def __init__(
        self,
        environment: Environment,
        name: str,
        lineage: bytes,
        settle: Callable[[], None],
        go_on: Callable[[], None],
    ) -> None:
        self.total = RestoreTotal()
        self._environment, self._name, self._lineage = environment, name, lineage
        self._settle, self._go_on = settle, go_on
        self._before: BackupManifest | None = None
        self._meta: Meta | None = None
        self._where = ""
        self._puts: list[tuple[str, bytes, bytes]] = []
        self._put_bytes = 0
        self._rows = 0
        self._counts: dict[str, int] = {}
        self._facts: dict[str, list[bytes]] = {}
        """The sources and request ids of the last backup, which has all of them, as payloads."""

    def add(self, backup: BackupReader) -> None:
        """Put a backup. Raises BackupError if it is damaged, or does not continue the one before it."""
        check_follows(backup.head, self._before, backup.where)
        self._forget_pruned(backup.meta)
        self._meta, self._where = (
            backup.meta._replace(instance=self._name, lineage=self._lineage),
            backup.where,
        )
        for key, value in encode_meta(self._meta):
            self._put("meta", key, value)
        self._facts = {"sources": [], "requests": []}
        is_first = self._before is None
        for part in backup.parts():
            self._go_on()
            if isinstance(part, Part):
                self._put_events(part, is_first=is_first)
            elif part.database in self._facts:
                self._facts[part.database].append(part.payload)
            else:
                self._put_records(part)
        self._flush()
        self._before = manifest = backup.manifest
        if manifest is None:
            raise BackupError(backup.where, "it has no manifest")
        self.total.backups += 1
        self.total.commits += manifest.commits
        self.total.content.add_hex(manifest.events, manifest.content)

    def finish(self) -> None:
        """Put what only the last backup says, and bring everything to rest. Raises BackupError."""
        if self._meta is None:
            raise BackupError(self._where, "it is empty")
        failpoint("restore-filled")
        for pair in self._pairs("sources"):
            self._put("sources", *self._counted(*pair))
        if self._counts and self._meta.horizon is None:
            raise BackupError(
                self._where, f"there are events of {min(self._counts)!r}, which it does not list"
            )
        for key, value in self._pairs("requests"):
            self._put("requests", key, value)
        self._flush()
        failpoint("restore-compared")
        self._settle()

    def _pairs(self, database: str) -> Iterator[Pair]:
        for payload in self._facts[database]:
            yield from decode_pairs(payload, self._where)

    def _counted(self, key: bytes, value: bytes) -> Pair:
        """Return the record of a source with the number of its events that were put."""
        name, state = decode_source(key, value)
        found = self._counts.pop(name, 0)
        if self._meta is not None and self._meta.horizon is None and found != state.events:
            reason = f"source {name!r} should have {state.events} events, and {found} are there"
            raise BackupError(self._where, reason)
        return encode_source(name, msgspec.structs.replace(state, events=found))

    def _put_records(self, records: Records) -> None:
        for key, value in records.pairs:
            self._put(records.database, key, value)

    def _forget_pruned(self, meta: Meta) -> None:
        """Count no longer what was pruned since the backup before; it is deleted once the store is in use."""
        if self._meta is None or meta.horizon is None or meta.horizon == self._meta.horizon:
            return
        if self._rows:
            self._settle_rows()  # rows are not read
        lower = BEFORE_ALL if self._meta.horizon is None else time_bound(self._meta.horizon)
        for slice_ in RangeReader(self._environment, RESTORE_ROWS_MAX).slices(
            lower, time_bound(meta.horizon)
        ):
            self._go_on()
            for events in _events_of(slice_):
                self._count(events, -1)
                self.total.content.remove(events)

    def _put_events(self, part: Part, *, is_first: bool) -> None:
        self._count(part.events)
        if part.were_young:
            self._put_rows(part.events)
            return
        zone_map = zone_map_of(part.events)
        if not is_first and self._overlaps(zone_map):
            self._put_rows(part.events)
            return
        self._put("blocks", part.key, part.value)
        self._put("summaries", *encode_zone_map(BLOCK_LEVEL, zone_map))

    def _count(self, events: StoredVectors, times: int = 1) -> None:
        found = np.bincount(events.sources.codes, minlength=len(events.sources.values)).tolist()
        for name, count in zip(events.sources.values, found, strict=True):
            if count:
                self._counts[name] = self._counts.get(name, 0) + times * count

    def _put_rows(self, events: StoredVectors) -> None:
        for key, value in encode_rows(events, events.commits.tolist()):
            self._put("rows", key, value)
        self._rows += events.size
        if self._rows >= RESTORE_ROWS_MAX:
            self._settle_rows()

    def _settle_rows(self) -> None:
        """Put the rows that are stored into blocks."""
        self._flush()
        self._settle()
        # A closed group must know every block in its range, and more are to come.
        delete_groups(self._environment)
        self._rows = 0

    def _overlaps(self, zone_map: ZoneMap) -> bool:
        """Return whether a block of an earlier backup reaches into the range of another one."""
        with self._environment.read() as transaction:
            index = BlockIndex(transaction.cursor(self._environment.databases["summaries"]))
            return index.first_match(zone_map.first, zone_map.last + b"\0", None) is not None

    def _put(self, database: str, key: bytes, value: bytes) -> None:
        self._puts.append((database, key, value))
        self._put_bytes += len(key) + len(value)
        if self._put_bytes >= RESTORE_BYTES_MAX:
            self._flush()

    def _flush(self) -> None:
        puts, self._puts, self._put_bytes = self._puts, [], 0
        if puts:
            twice = put_all(self._environment, puts)
            if twice is not None:
                raise BackupError(self._where, f"{twice} is there already")
            failpoint("restore-put")


def _events_of(slice_: Slice) -> Iterator[StoredVectors]:
    if slice_.block is not None and slice_.block_indexes:
        within = slice_.block_indexes
        yield slice_.block.events.cut(within.start, within.stop)


def delete_groups(environment: Environment) -> None:
    """Delete the zone maps and text filters of all closed groups of blocks; maintenance closes them again.

    A text filter that stayed would be taken for that of a later group with the same first block.
    """
    try:
        with environment.lmdb.begin(write=True) as transaction:
            for name in ("summaries", TEXTS):
                cursor = transaction.cursor(environment.databases[name])
                more = cursor.set_range(GROUP_LEVEL)
                while more:
                    more = cursor.delete() and bool(cursor.key())  # deleting moves to the next one
    except lmdb.Error as error:
        raise archive_error(error, environment.path) from error


def put_all(environment: Environment, puts: Sequence[tuple[str, bytes, bytes]]) -> str | None:
    """Put values in one transaction, durably; the map grows as it must. Raises OutOfSpaceError.

    Only values of ``meta`` may be there already: for another one nothing is put, and its name is returned.
    """
    while True:
        try:
            with environment.lmdb.begin(write=True) as transaction:
                for name, key, value in puts:
                    new = transaction.put(
                        key, value, overwrite=name == "meta", db=environment.databases[name]
                    )
                    if not new and name != "meta":
                        transaction.abort()
                        return f"{name} {key.hex()}"
            return None
        except lmdb.MapFullError:
            environment.grow()
        except lmdb.Error as error:
            if nearly_full(environment.path):
                raise OutOfSpaceError(str(environment.path), str(error)) from error
            raise archive_error(error, environment.path) from error
