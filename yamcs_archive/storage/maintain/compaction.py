"""Compaction: a dense copy of an instance takes the place of its generation, while others read and write.

1. The copy is LMDB's own, of one moment. What has changed since is carried over value by value until
   little is left, and the rest while nobody commits: then the two generations hold the same, and the
   copy is put in use. What was acknowledged before is in both, what is acknowledged after in the new one.
2. Values are carried as they stand, never decoded and placed anew: that keeps up with any writer. What
   differs is found by walking both generations side by side, except for ``blocks``: whoever changes a
   block changes its summary, and summaries are few.
3. Nothing here is in use before every checksum of the copy was found right, read back from its file.
4. Failing or dying anywhere leaves one generation in use and the rest as leftovers, which are removed
   at once, or by the next opening. What is in use was fsynced, and so was the name that says so.
5. The caller sees to it that nothing is sealed or packed meanwhile, and that one compaction runs at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import lmdb

from yamcs_archive.errors import ArchiveError, DamagedError, OutOfSpaceError
from yamcs_archive.limits import CARRIED_BYTES_MAX, CARRIED_VALUES_MAX
from yamcs_archive.storage.disk.directory import sync_directory
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.lmdb_open import (
    DATABASES,
    Opened,
    archive_error,
    nearly_full,
    no_address_space,
    open_generation,
)
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.checksum import Checksummed, Pair
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL

_DATA = "data.mdb"  # LMDB's name for it
_ROUNDS_MAX = 10
"""Rounds of carrying beside the writer: each is much shorter than the one before it, unless commits come
as fast as they are carried, and then they are made to wait for the last one."""
_FEW = 1_000
"""Values that a round carries when it is time for the last one."""
_CHECKED_AT_ONCE = 1_000

Change = tuple[str, bytes, bytes | None]
"""Sub-database, key, and the value to put; None deletes."""


class Compaction(NamedTuple):
    """What a compaction did to the space on the medium."""

    before_bytes: int
    after_bytes: int
    seconds: float


def compact(
    environment: Environment, hold: Callable[[Callable[[], None]], None], go_on: Callable[[], None]
) -> None:
    """Put a dense copy in the place of the generation in use.

    ``hold`` runs something while nobody commits, and has the environment opened anew when that raises;
    ``go_on`` is asked now and then, and raises when this should end. Whatever raises, the archive is
    as it was, or compacted.
    """
    generations = environment.generations
    generations.clear()
    failpoint("compact-begun")
    try:
        _replace(environment, hold, go_on)
        failpoint("compact-switched")
    except BaseException:
        with suppress(ArchiveError):  # the next opening tries again
            generations.clear()
        raise
    generations.clear()
    failpoint("compact-cleared")


def _replace(
    environment: Environment, hold: Callable[[Callable[[], None]], None], go_on: Callable[[], None]
) -> None:
    path = environment.generations.begin()
    environment.copy(path)
    failpoint("compact-copied")
    go_on()
    _sync(path)
    failpoint("compact-synced")
    with environment.read():
        # A map as large as the one copied: what the copy holds fits in it, and most of what will follow.
        map_bytes = environment.lmdb.info()["map_size"]
    copy = open_generation(path, readonly=False, map_bytes=map_bytes)
    try:
        _check(copy, path, go_on)
        failpoint("compact-checked")
        for _ in range(_ROUNDS_MAX):
            go_on()
            if carry(environment, copy, path) <= _FEW:
                break
        failpoint("compact-carried")
        hold(partial(_finish, environment, copy, path))
    except BaseException:
        copy.lmdb.close()
        raise


def _finish(environment: Environment, copy: Opened, path: Path) -> None:
    """Take over what is left and put the copy in use, while nobody commits."""
    failpoint("compact-held")
    try:
        carry(environment, copy, path)
        _compare(environment, copy, path)
        failpoint("compact-compared")
        environment.generations.use(path)
        failpoint("compact-in-use")
    except BaseException:
        copy.lmdb.close()  # at once: the environment may have to open this very generation
        raise
    environment.move(path, copy)


def _sync(path: Path) -> None:
    """Make a copy durable, with the names that lead to it."""
    with os_errors_translated(path):
        descriptor = os.open(path / _DATA, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_directory(path)
        sync_directory(path.parent)


def _check(copy: Opened, path: Path, go_on: Callable[[], None]) -> None:
    """Find every checksum right, or raise DamagedError."""
    try:
        for name, database in copy.databases.items():
            sealer = Checksummed(name)
            with copy.lmdb.begin() as transaction:
                for count, (key, value) in enumerate(transaction.cursor(database)):
                    if name == "blocks":
                        Block(key, value).check_body()
                    else:
                        sealer.unwrap(key, value)
                    if count % _CHECKED_AT_ONCE == 0:
                        go_on()
    except lmdb.Error as error:
        raise archive_error(error, path) from error


def _compare(environment: Environment, copy: Opened, path: Path) -> None:
    """Raise DamagedError unless both generations have as many values of each kind."""
    with environment.read() as there, copy.lmdb.begin() as here:
        for name in DATABASES:
            wanted = there.stat(environment.databases[name])["entries"]
            found = here.stat(copy.databases[name])["entries"]
            if found != wanted:
                raise DamagedError(f"{path}, {name}", f"{found} values were copied of {wanted}")


def carry(environment: Environment, copy: Opened, path: Path) -> int:
    """Make a copy what the generation in use is, where they differ; return how many values that took."""
    carried = 0
    for name in DATABASES:
        behind: bytes | None = None
        while name != "blocks":
            changes, behind = _changes(environment, copy, path, name, behind)
            if changes:
                _apply(changes, copy, path)
            carried += len(changes)
            if behind is None:
                break
    return carried


def _changes(
    environment: Environment, copy: Opened, path: Path, name: str, behind: bytes | None
) -> tuple[list[Change], bytes | None]:
    """Return changes that are due behind a key, and the key behind which there may be more."""
    changes: list[Change] = []
    size_bytes = 0
    try:
        with environment.read() as there, copy.lmdb.begin() as here:
            wanted = _pairs(there.cursor(environment.databases[name]), behind)
            for key, value in differences(wanted, _pairs(here.cursor(copy.databases[name]), behind)):
                changes.append((name, key, value))
                size_bytes += len(value or b"")
                if name == "summaries" and key[:1] == BLOCK_LEVEL:
                    first = key[1:]
                    block = value and there.get(first, db=environment.databases["blocks"])
                    changes.append(("blocks", first, block))
                    size_bytes += len(block or b"")
                if len(changes) >= CARRIED_VALUES_MAX or size_bytes >= CARRIED_BYTES_MAX:
                    return changes, key
    except lmdb.Error as error:
        raise archive_error(error, path) from error
    return changes, None


def _pairs(cursor: lmdb.Cursor[bytes], behind: bytes | None) -> Iterator[Pair]:
    if behind is None:
        placed = cursor.first()
    else:
        placed = cursor.set_range(behind)
        if placed and cursor.key() == behind:
            placed = cursor.next()
    return cursor.iternext() if placed else iter(())


def differences(wanted: Iterator[Pair], found: Iterator[Pair]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield what must be put (key, value) or deleted (key, None) to make ``found`` what is ``wanted``.

    Both come in key order.

    >>> list(differences(iter([(b"a", b"1"), (b"b", b"2")]), iter([(b"b", b"old"), (b"c", b"3")])))
    [(b'a', b'1'), (b'b', b'2'), (b'c', None)]
    """
    there = next(found, None)
    for key, value in wanted:
        while there is not None and there[0] < key:
            yield there[0], None
            there = next(found, None)
        if there is None or there[0] != key:
            yield key, value
            continue
        if there[1] != value:
            yield key, value
        there = next(found, None)
    while there is not None:
        yield there[0], None
        there = next(found, None)


def _apply(changes: list[Change], copy: Opened, path: Path) -> None:
    while True:
        try:
            with copy.lmdb.begin(write=True) as transaction:
                for name, key, value in changes:
                    if value is None:
                        transaction.delete(key, db=copy.databases[name])
                    else:
                        transaction.put(key, value, db=copy.databases[name])
            return
        except lmdb.MapFullError:
            _grow(copy, path)
        except lmdb.Error as error:
            if nearly_full(path):
                raise OutOfSpaceError(str(path), str(error)) from error
            raise archive_error(error, path) from error


def _grow(copy: Opened, path: Path) -> None:
    map_bytes = 2 * copy.lmdb.info()["map_size"]
    try:
        copy.lmdb.set_mapsize(map_bytes)
    except lmdb.Error as error:
        raise no_address_space(path, map_bytes) from error
