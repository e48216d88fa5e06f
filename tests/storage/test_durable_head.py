"""A writer makes the newest commit durable before it uses it; test_power_cut shows that a sync cannot."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from yamcs_archive import Archive, Event
from yamcs_archive.errors import OutOfSpaceError, UnavailableError


def is_data(descriptor: int) -> bool:
    """Return whether a descriptor is that of LMDB's file."""
    return os.readlink(f"/proc/self/fd/{descriptor}").endswith("/data.mdb")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note the writes of heads, and the syncs after them, of an archive that is there."""
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True).append(Event("First"))
    done: list[str] = []
    pwrite, fdatasync = os.pwrite, os.fdatasync

    def write(descriptor: int, heads: bytes, offset: int) -> int:
        if is_data(descriptor):
            assert (len(heads), offset, os.pread(descriptor, len(heads), 0)) == (2 * 4096, 0, heads)
            done.append("write")
        return pwrite(descriptor, heads, offset)

    def sync(descriptor: int) -> None:
        if is_data(descriptor):
            done.append("sync")
        fdatasync(descriptor)

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(os, "fdatasync", sync)
    return done


def test_a_writer_writes_the_head_once_more_and_a_reader_does_not(tmp_path: Path, written: list[str]) -> None:
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        assert archive.instance("sim").count() == 1
    assert written == []
    with Archive.open(tmp_path / "a") as archive:
        assert archive.instance("sim").count() == 1
        assert written == ["write", "sync"]


def test_a_writer_that_joins_readers_of_its_process_does_so_too(tmp_path: Path, written: list[str]) -> None:
    """Another process may have written since the last writer of this one was closed."""
    first = Archive.open(tmp_path / "a")
    sim = first.instance("sim")
    with Archive.open(tmp_path / "a", readonly=True) as beside:
        assert beside.instance("sim").count() == 1
        first.close()
        with pytest.raises(Exception, match="closed"):
            sim.count()
        written.clear()
        with Archive.open(tmp_path / "a") as archive:
            assert not archive.instance("sim").append(Event("Second")).duplicate
            assert written == ["write", "sync"]
        assert beside.instance("sim").count() == 2


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("call", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_failure_is_told_and_the_archive_can_be_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    error = OutOfSpaceError if code == errno.ENOSPC else UnavailableError
    real = getattr(os, call)

    def fail(descriptor: int, *more: object) -> object:
        if is_data(descriptor):
            raise OSError(code, os.strerror(code))
        return real(descriptor, *more)

    with monkeypatch.context() as failing:
        failing.setattr(os, call, fail)
        with Archive.open(tmp_path / "a") as archive, pytest.raises(error, match=os.strerror(code)):
            archive.instance("sim")
    with Archive.open(tmp_path / "a") as archive:
        assert archive.instance("sim").count() == 1


def test_a_head_that_is_written_in_parts_is_written_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(tmp_path / "a") as archive:
        archive.instance("sim", create=True)
    pwrite = os.pwrite
    parts: list[tuple[int, int]] = []

    def write_some(descriptor: int, heads: bytes, offset: int) -> int:
        if not is_data(descriptor):
            return pwrite(descriptor, heads, offset)
        parts.append((offset, len(heads)))
        return pwrite(descriptor, heads[: 4096 if offset else 3000], offset)

    with monkeypatch.context() as failing:
        failing.setattr(os, "pwrite", write_some)
        with Archive.open(tmp_path / "a") as archive:
            assert archive.instance("sim").count() == 0
    assert parts == [(0, 8192), (3000, 5192), (7096, 1096)]
