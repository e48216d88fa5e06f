"""Compaction: a dense copy of an instance replaces its generation, while reads and writes go on.

1. LMDB makes the copy, which is of one moment. Values that changed later are carried over until few are left,
   and the last ones while commits wait. Then both generations have the same values, and the copy is put in
   use. Events acknowledged before that are in both generations, events acknowledged later in the new one.
2. Values are carried over as bytes, not decoded and encoded again, so this keeps up with any writer.
   Differences are found by walking both generations side by side, except in ``blocks``: each change of a
   block also changes its zone map, and there are few zone maps.
3. The copy is put in use only after every checksum was read back from its file and found correct.
4. A failure or a crash at any point leaves one generation in use. The other one is a leftover, which is
   removed at once or at the next opening. The generation in use was fsynced, and so was ``CURRENT``.
5. The caller makes sure that no checkpoint is made and nothing packed meanwhile, and that one compaction runs
   at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial

import lmdb

from yamcs_archive.errors import ArchiveError, DamagedError, OutOfSpaceError
from yamcs_archive.limits import CARRIED_BYTES_MAX, CARRIED_VALUES_MAX
from yamcs_archive.storage.disk.directory import sync
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.file_system import os_errors_translated
from yamcs_archive.storage.disk.lmdb_open import (
    DATA,
    DATABASES,
    TEXTS,
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

_ROUNDS_MAX = 10
"""Rounds that carry changes over while the writer goes on. Each is much shorter than the one before it,
unless commits come as fast as they are carried over; then commits wait for the last round."""
_LAST_ROUND_VALUES_MAX = 1_000
"""Values carried over in a round after which the next round is the last."""
_CHECKED_AT_ONCE = 1_000

Change = tuple[str, bytes, bytes | None]
"""A sub-database, a key, and the value to put, or None to delete the key."""


def compact(
    environment: Environment, hold: Callable[[Callable[[], None]], None], go_on: Callable[[], None]
) -> None:
    """Replace the generation in use by a dense copy.

    ``hold`` calls a function while commits wait, and opens the environment anew when that raises. ``go_on``
    is called now and then, and raises when the compaction should end. After any error the archive is either
    unchanged or compacted.
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
    with os_errors_translated(path):
        for written in (path / DATA, path, path.parent):  # the last one has the name of the copy's folder
            sync(written)
    failpoint("compact-synced")
    with environment.read():
        # A map as large as the copied one: the copy fits in it, and so do most later commits.
        map_bytes = environment.lmdb.info()["map_size"]
    copy = open_generation(path, readonly=False, map_bytes=map_bytes)
    try:
        _check(copy, go_on)
        failpoint("compact-checked")
        for _ in range(_ROUNDS_MAX):
            go_on()
            if _carry(environment, copy) <= _LAST_ROUND_VALUES_MAX:
                break
        failpoint("compact-carried")
        hold(partial(_finish, environment, copy))
    except BaseException:
        copy.lmdb.close()
        raise


def _finish(environment: Environment, copy: Opened) -> None:
    """Carry the last changes over and put the copy in use, while commits wait."""
    failpoint("compact-held")
    try:
        _carry(environment, copy)
        _compare(environment, copy)
        failpoint("compact-compared")
        environment.generations.use(copy.path)
        failpoint("compact-in-use")
    except BaseException:
        copy.lmdb.close()  # at once: the environment may have to open the same generation
        raise
    environment.move(copy)


def _check(copy: Opened, go_on: Callable[[], None]) -> None:
    """Check every checksum of a copy; raise DamagedError for the first wrong one."""
    try:
        for name, database in copy.databases.items():
            checksummed = Checksummed(name)
            with copy.lmdb.begin() as transaction:
                for count, (key, value) in enumerate(transaction.cursor(database)):
                    if name == "blocks":
                        Block(key, value).check_body()
                    else:
                        checksummed.unwrap(key, value)
                    if count % _CHECKED_AT_ONCE == 0:
                        go_on()
    except lmdb.Error as error:
        raise archive_error(error, copy.path) from error


def _compare(environment: Environment, copy: Opened) -> None:
    """Raise DamagedError unless both generations have the same number of values in each sub-database."""
    with environment.read() as there, copy.lmdb.begin() as here:
        for name in (*DATABASES, TEXTS):
            wanted = there.stat(environment.databases[name])["entries"]
            found = here.stat(copy.databases[name])["entries"]
            if found != wanted:
                raise DamagedError(f"{copy.path}, {name}", f"{found} values were copied of {wanted}")


def _carry(environment: Environment, copy: Opened) -> int:
    """Carry over the values in which a copy differs from the generation in use; return their number."""
    carried = 0
    for name in (*DATABASES, TEXTS):
        after: bytes | None = None if name == "blocks" else b""
        while after is not None:
            changes, after = _changes(environment, copy, name, after)
            if changes:
                _apply(changes, copy)
            carried += len(changes)
    return carried


def _changes(
    environment: Environment, copy: Opened, name: str, after: bytes
) -> tuple[list[Change], bytes | None]:
    """Return the next changes after a key, and the key after which there may be more, or None."""
    changes: list[Change] = []
    size_bytes = 0
    try:
        with environment.read() as there, copy.lmdb.begin() as here:
            wanted = _pairs(there.cursor(environment.databases[name]), after)
            for key, value in differences(wanted, _pairs(here.cursor(copy.databases[name]), after)):
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
        raise archive_error(error, copy.path) from error
    return changes, None


def _pairs(cursor: lmdb.Cursor[bytes], after: bytes) -> Iterator[Pair]:
    return cursor.iternext() if cursor.set_range(after + b"\0") else iter(())


def differences(wanted: Iterator[Pair], found: Iterator[Pair]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the changes that make ``found`` equal to ``wanted``: (key, value) to put, (key, None) to delete.

    Both are in key order.

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


def _apply(changes: list[Change], copy: Opened) -> None:
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
            _grow(copy)
        except lmdb.Error as error:
            if nearly_full(copy.path):
                raise OutOfSpaceError(str(copy.path), str(error)) from error
            raise archive_error(error, copy.path) from error


def _grow(copy: Opened) -> None:
    map_bytes = 2 * copy.lmdb.info()["map_size"]
    try:
        copy.lmdb.set_mapsize(map_bytes)
    except lmdb.Error as error:
        raise no_address_space(copy.path, map_bytes) from error
