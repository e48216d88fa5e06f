"""A full disk after a process was killed with a record in doubt, which the next writer must write anew."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from benchmarks.full_disk import mounts
from tests.child import run_bare
from yamcs_archive import Archive, Event, Options
from yamcs_archive.errors import OutOfSpaceError, UnavailableError
from yamcs_archive.storage.disk import log_files
from yamcs_archive.storage.write.commit_log import CommitLog

_KILLED = """
import os, subprocess, sys
from pathlib import Path
from benchmarks.full_disk.filling import fill
from benchmarks.full_disk.mounts import enter, mount
from yamcs_archive import Archive, Event
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.storage import failpoints

place = Path(sys.argv[1])
enter()
mount(sys.argv[2], place)
path = place / "a"

def messages(readonly):
    with Archive.open(path, readonly=readonly) as archive:
        return [event.message for event in archive.instance("sim").events()]

def command(*words):
    done = subprocess.run(
        [sys.executable, "-m", "yamcs_archive", *words, "--data", path], capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr

if not (child := os.fork()):
    sim = Archive.open(path).instance("sim", create=True)
    sim.append(Event("told"))
    failpoints.on_point = lambda name: os._exit(7) if name == "log-written" else None
    sim.append(Event("in doubt"))
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
for free in (0, 1, 60):
    filler = fill(place, free)
    files = {file.name for file in path.rglob("*")}
    for _ in range(2):
        try:
            messages(readonly=False)
        except OutOfSpaceError as error:
            said = str(error)
        else:
            raise AssertionError(free)
        assert messages(readonly=True) == ["told"]
    assert said.startswith(f"no space for {path / 'sim' / 'gen-1'} (No space left on device; the newest")
    assert "; readonly=True, and commands that only read, can read the archive meanwhile): " in said
    assert said.endswith("make room and try again")
    assert command("serve", "--port", "0") == (1, "", "yamcs-archive: " + said + chr(10))
    assert command("stats")[0] == 0
    assert {file.name for file in path.rglob("*")} == files
    filler.unlink()
filler = fill(place, 90)
assert messages(readonly=False) == ["told", "in doubt"]
print("done")
"""


def test_a_full_disk_refuses_the_writer_says_why_and_leaves_the_archive_readable(
    kind: mounts.Kind, tmp_path: Path
) -> None:
    assert run_bare(_KILLED, tmp_path, kind) == "done\n"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_the_advice_is_that_for_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    with Archive.open(tmp_path / "a", options=Options(maintenance=False)) as archive:
        archive.instance("sim", create=True).append(Event("a"))
        [folder] = (tmp_path / "a").glob("sim/gen-*")
        (folder / log_files._END_NAME).unlink()  # so the record is in doubt

        def reserve(*_: object) -> None:
            raise OSError(code, os.strerror(code))

        monkeypatch.setattr(log_files.SegmentFile, "reserve", reserve)
        with archive.instance("sim")._store._environment.read() as transaction:  # type: ignore[attr-defined]
            lineage = archive.instance("sim")._store._environment.archive(transaction)  # type: ignore[attr-defined]
        with pytest.raises(UnavailableError, match=os.strerror(code)) as raised:
            CommitLog(folder, lineage).recover(0)
        assert isinstance(raised.value, OutOfSpaceError) is (code != errno.EIO)
        assert ("written anew" in str(raised.value)) is (code != errno.EIO)
