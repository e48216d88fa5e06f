"""LMDB's lock file has its blocks before it is mapped, so a full disk does not end the process."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import pytest

from benchmarks.full_disk import mounts
from tests.child import run_bare, run_in_fork
from yamcs_archive import Archive, Event
from yamcs_archive.limits import READERS_MAX
from yamcs_archive.storage.disk.lock_file import LOCK_BYTES


def lock_of(archive: Path, generation: str = "gen-1") -> Path:
    return archive / "sim" / generation / "lock.mdb"


def allocated(file: Path) -> int:
    return file.stat().st_blocks * 512


def make_sparse(lock: Path) -> None:
    """Make a lock file as LMDB makes it: with its first page alone."""
    lock.unlink(missing_ok=True)
    lmdb.open(os.fspath(lock.parent), max_readers=READERS_MAX, max_dbs=9).close()
    assert allocated(lock) < lock.stat().st_size == LOCK_BYTES


def test_the_lock_file_is_the_one_that_lmdb_makes_with_all_its_blocks(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim", create=True)
        sim.append(Event("a"))
        assert allocated(lock_of(archive.path)) >= lock_of(archive.path).stat().st_size
        sim.compact()
        lock = lock_of(archive.path, "gen-2")
        assert allocated(lock) >= lock.stat().st_size
    (tmp_path / "raw").mkdir()
    with lmdb.open(os.fspath(tmp_path / "raw"), max_readers=READERS_MAX):
        assert (tmp_path / "raw" / "lock.mdb").stat().st_size == lock.stat().st_size == LOCK_BYTES
    with lmdb.open(os.fspath(lock.parent), readonly=True) as opened:
        assert opened.max_readers() == READERS_MAX


@pytest.mark.parametrize("readonly", [False, True])
def test_the_lock_file_of_an_earlier_version_gets_its_blocks(readonly: bool, tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append(Event("a"))
    lock = lock_of(tmp_path / "a")
    make_sparse(lock)
    with Archive.open(tmp_path / "a", readonly=readonly) as archive:
        assert archive.instance("sim").count() == 1
        assert allocated(lock) >= lock.stat().st_size == LOCK_BYTES


def test_a_lock_file_of_fewer_readers_keeps_its_size_while_another_process_uses_it(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append(Event("a"))
    lock = lock_of(tmp_path / "a")
    lock.unlink()
    count = "print(Archive.open(sys.argv[1]).instance('sim').count())"
    with lmdb.open(os.fspath(lock.parent), max_readers=70) as environment, environment.begin():
        assert run_in_fork(count, tmp_path / "a") == "1\n"
        assert lock.stat().st_size == LOCK_BYTES - (READERS_MAX - 70) * 64


def test_opening_again_keeps_this_process_s_locks(tmp_path: Path) -> None:
    """Otherwise other processes would free the places of its readers."""
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append_many([Event("a"), Event("b")])
    make_sparse(lock_of(tmp_path / "a"))
    with Archive.open(tmp_path / "a") as archive, Archive.open(tmp_path / "a", readonly=True) as reading:
        for opened in (archive, reading, archive):
            assert opened.instance("sim").count() == 2
        freed = run_bare(
            "import lmdb, sys; print(lmdb.open(sys.argv[1], max_dbs=9, readonly=True).reader_check())",
            lock_of(tmp_path / "a").parent,
        )
        assert freed == "0\n"  # readers keep their places between two transactions


_FULL = """
import os, sys
from pathlib import Path
from benchmarks.full_disk.filling import fill, room_blocks
from benchmarks.full_disk.mounts import enter, mount
from yamcs_archive import Archive, Event
from yamcs_archive.errors import OutOfSpaceError
from tests.storage.test_lock_file import allocated, lock_of, make_sparse

place = Path(sys.argv[1])
enter()
mount(sys.argv[2], place)
path = place / "a"
"""
_CREATING = (
    _FULL
    + """
refused = 0
with Archive.open(path) as archive:
    for free in (0, 11, *range(17, 23), 31):  # about 20: half of the new file has room, after the lock file
        filler = fill(place, free)
        try:
            archive.instance(f"i{free}", create=True)
        except OutOfSpaceError:
            refused += 1
            assert [*path.glob("*.new")] == []
        filler.unlink()
        assert archive.instance(f"i{free}", create=True).append(Event("a")).event.seq_number == 0
print(refused)
"""
)
_OPENING = (
    _FULL
    + """
with Archive.open(path) as archive:
    archive.instance("sim", create=True).append(Event("a"))
for free in (0, 15, 16, 24):
    make_sparse(lock_of(path))
    filler = fill(place, free)
    room = room_blocks(place)
    for readonly in (True, False):
        with Archive.open(path, readonly=readonly) as archive:
            assert archive.instance("sim").count() == 1
    whole = allocated(lock_of(path)) >= lock_of(path).stat().st_size
    assert whole == (free >= 16), (free, allocated(lock_of(path)), room)
    lock_of(path).unlink()
    filler.unlink()
    filler = fill(place, 0)
    try:
        Archive.open(path, readonly=True).instance("sim")
    except OutOfSpaceError:
        assert not lock_of(path).exists()
    else:
        raise AssertionError
    filler.unlink()
print("done")
"""
)


def test_a_full_disk_while_an_instance_is_made_is_an_error(kind: mounts.Kind, tmp_path: Path) -> None:
    refused = int(run_bare(_CREATING, tmp_path, kind))
    assert 5 <= refused <= 9  # up to the blocks of the lock file at least


def test_a_full_disk_leaves_an_archive_of_an_earlier_version_readable(
    kind: mounts.Kind, tmp_path: Path
) -> None:
    assert run_bare(_OPENING, tmp_path, kind) == "done\n"
