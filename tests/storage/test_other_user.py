"""Readers that are other users than the writer: their rights, the errors without them, and the umask."""

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.child import run
from yamcs_archive import Archive, Event

_READ = """
    import os
    path, group = sys.argv[1], int(sys.argv[2])
    if os.geteuid() == 0:
        # What is imported, by the libraries at first use too, must be before the rights to read it are gone.
        with Archive.open(path, readonly=True) as archive:
            archive.instance("sim").stats()
        os.setgroups([])
        os.setgid(group)
        os.setuid(65534)
    try:
        with Archive.open(path, readonly=True) as archive:
            print(archive.instance("sim").stats().events)
    except UnavailableError as error:
        print(error)
"""
NOBODY = 65534


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that everybody may read; pytest's folders are for their user only."""
    folder = Path(tempfile.mkdtemp(prefix="yamcs-archive-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def write(path: Path, umask: int) -> Path:
    """Create an archive under a umask; return the LMDB lock file of its instance."""
    before = os.umask(umask)
    try:
        with Archive.open(path) as archive:
            sim = archive.instance("sim", create=True)
            sim.append(Event("a"))
            sim.compact()
    finally:
        os.umask(before)
    return path / "sim" / "gen-2" / "lock.mdb"


def test_a_user_who_may_not_write_to_the_lock_file_gets_its_path_and_advice(shared: Path) -> None:
    lock = write(shared / "a", 0o022)
    lock.chmod(0o444)  # the owner's right too, if the tests do not run as root
    said = run(_READ, shared / "a", NOBODY)
    assert str(lock) in said
    assert "Permission denied" in said
    assert f"chmod g+w {lock}" in said
    assert "umask 002" in said
    assert "UMask=" in said
    lock.chmod(0o666)
    assert run(_READ, shared / "a", NOBODY) == "1\n"
    # A lock file of an earlier version lacks blocks, which this user may not give it.
    lock.write_bytes(b"")
    lock.chmod(0o444)
    assert f"chmod g+w {lock}" in run(_READ, shared / "a", NOBODY)


def test_a_user_who_may_not_read_gets_advice(shared: Path) -> None:
    lock = write(shared / "a", 0o022)
    (lock.parent / "data.mdb").chmod(0)
    said = run(_READ, shared / "a", NOBODY)
    assert f"{lock.parent}: " in said
    assert "Permission denied" in said
    assert "data.mdb" in said
    lock.parent.chmod(0o755)
    shutil.copystat(lock, lock.parent / "data.mdb")


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o002, 0o664, 0o775), (0o007, 0o660, 0o770)]
)
def test_the_umask_decides_who_may_read(shared: Path, umask: int, file: int, folder: int) -> None:
    lock = write(shared / "a", umask)
    files = [lock, lock.parent / "data.mdb", shared / "a" / "archive.lock", shared / "a" / "sim" / "CURRENT"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {file}
    folders = [shared / "a", shared / "a" / "sim", lock.parent]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {folder}
    if umask != 0o022 and os.geteuid() == 0:
        assert (
            run(_READ, shared / "a", lock.stat().st_gid) == "1\n"
        )  # the group's right, also after a compaction
