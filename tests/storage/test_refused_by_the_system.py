"""Each call of the operating system fails once while an archive is opened, filled or changed.

The failure is an error of the library and leaves nothing locked: the same call then works, in the same
process.
"""

import errno
import fcntl
import io
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import lmdb
import pytest

from yamcs_archive import Archive, Event, Options
from yamcs_archive.errors import ArchiveError

QUIET = Options(maintenance=False, map_bytes=1 << 24)
_ERRNOS = (errno.ENOSPC, errno.EMFILE, errno.EACCES, errno.EROFS, errno.EIO)


class _Refusing:
    """Counts calls of the operating system, and makes the n-th fail."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails_at: int | None = None
        self.errno = 0
        self.failed: str | None = None

    def arm(self, fails_at: int) -> None:
        self.calls, self.failed = 0, None
        self.errno = _ERRNOS[fails_at % len(_ERRNOS)]
        self.fails_at = fails_at

    def has_failed(self) -> str | None:
        """Stop, and return the name of the call that failed."""
        self.fails_at = None
        return self.failed

    def wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if self.fails_at is not None:
                self.calls += 1
                if self.calls == self.fails_at:
                    self.failed = name
                    reason = os.strerror(self.errno)
                    if name == "lmdb.open":
                        raise lmdb.Error(f"{arguments[0]}: {reason}")
                    raise OSError(self.errno, reason)
            return real(*arguments, **named)

        return call


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> _Refusing:
    refusing = _Refusing()
    for module, names in (
        (os, ("open", "mkdir", "rename", "replace", "fsync", "pwrite", "ftruncate", "fstat", "listdir")),
        (fcntl, ("lockf",)),
        (io, ("open",)),
        (lmdb, ("open",)),
    ):
        for name in names:
            real = getattr(module, name)
            monkeypatch.setattr(module, name, refusing.wrapped(f"{module.__name__}.{name}", real))
    monkeypatch.setattr("yamcs_archive.storage.disk.lmdb_open._OPEN_WAIT_S", 0.0)
    return refusing


def _open(path: Path, stack: ExitStack) -> Archive:
    return stack.enter_context(Archive.open(path, options=QUIET))


def _new(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    return lambda: _open(path / "one" / "two", stack)


def _existing(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    return lambda: _open(path / "made", stack)


def _reading(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    return lambda: stack.enter_context(Archive.open(path / "made", readonly=True, options=QUIET))


def _create(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    archive = _open(path / "made", stack)

    def act() -> Archive:
        archive.instance("new", create=True)
        return archive

    return act


def _instance(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    archive = _open(path / "made", stack)

    def act() -> Archive:
        archive.instance("sim")
        return archive

    return act


def _reading_instance(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    archive = _reading(path, stack)()

    def act() -> Archive:
        archive.instance("sim")
        return archive

    return act


def _set_aside(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    archive = _open(path / "made", stack)
    archive.instance("sim")

    def act() -> Archive:
        archive.set_aside("sim")
        return archive

    return act


def _compact(path: Path, stack: ExitStack) -> Callable[[], Archive]:
    archive = _open(path / "made", stack)
    sim = archive.instance("sim")

    def act() -> Archive:
        sim.compact()
        return archive

    return act


ACTIONS = (_new, _existing, _reading, _create, _instance, _reading_instance, _set_aside, _compact)


@pytest.mark.parametrize("act", ACTIONS)
def test_a_call_that_the_system_refuses_once_raises_an_error_and_then_works(
    tmp_path: Path, refusing: _Refusing, act: Callable[[Path, ExitStack], Callable[[], Archive]]
) -> None:
    with Archive.open(tmp_path / "made", options=QUIET) as archive:
        archive.instance("sim", create=True).append_many(Event(f"{n}") for n in range(10))
    seen: set[str] = set()
    for number in range(1, 1000, 3 if act is _compact else 1):  # which makes some hundred calls
        path = tmp_path / f"{number}"
        shutil.copytree(tmp_path / "made", path / "made")
        with ExitStack() as stack:
            prepared = act(path, stack)
            open_before = len(os.listdir("/proc/self/fd"))
            refusing.arm(number)
            try:
                archive = prepared()
            except ArchiveError as error:
                failed = refusing.has_failed()
                assert failed is not None, error
                if act is not _set_aside:  # which closes what it sets aside
                    assert len(os.listdir("/proc/self/fd")) == open_before, failed
                archive = prepared()
            failed = refusing.has_failed()
            if not archive.readonly:
                for name in {*archive.instances(), "new"}:
                    assert not archive.instance(name, create=True).append(Event("after")).duplicate
            assert all(len(list(archive.instance(name).events())) for name in archive.instances())
        shutil.rmtree(path)
        if failed is None:
            break
        seen.add(failed)
    assert number < 900
    assert "os.open" in seen or "io.open" in seen


@pytest.mark.parametrize("code", _ERRNOS)
def test_a_lock_whose_holder_cannot_be_written_is_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    Archive.open(tmp_path / "a").close()
    for name in ("pwrite", "ftruncate"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, refuse)
            for _ in range(2):
                with pytest.raises(ArchiveError, match=os.strerror(code)):
                    Archive.open(tmp_path / "a")
        Archive.open(tmp_path / "a").close()
