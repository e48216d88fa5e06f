"""What the machine tells: each source of it made by hand, and the machine of the test."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from yamcs_archive.errors import GoneError, OutOfSpaceError
from yamcs_archive.storage.disk.machine import (
    SYNCS,
    Memory,
    clock_in_step,
    limits_of_process,
    memory_of_group,
    space_of,
    sync_times_s,
)


def tree(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize(
    ("own", "files", "found"),
    [
        ("0::/app/web\n", {"app/web/memory.max": "max\n", "app/memory.max": "max\n"}, None),
        (
            "0::/app/web\n",
            {"app/web/memory.max": "1000\n", "app/web/memory.current": "5\n", "app/memory.max": "2000\n"},
            Memory(1000, 5),
        ),
        # A group cannot have more than the one that it is in.
        ("0::/app/web\n", {"app/web/memory.max": "3000\n", "app/memory.max": "2000\n"}, Memory(2000, None)),
        # In a container the path is that of the host.
        ("0::/docker/1234\n", {"memory.max": "500\n", "memory.current": "7\n"}, Memory(500, 7)),
        ("0::/\n", {"memory.max": "500\n"}, Memory(500, None)),
        (
            "4:memory:/app\n0::/\n",
            {"memory/app/memory.limit_in_bytes": "900\n", "memory/app/memory.usage_in_bytes": "8\n"},
            Memory(900, 8),
        ),
        ("4:memory:/app\n", {"memory/app/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ("5:cpu:/app\n", {"cpu/app/memory.max": "1\n"}, None),
        ("0::/app\n", {"app/memory.max": "nonsense\n"}, None),
        ("", {}, None),
    ],
)
def test_the_memory_of_a_control_group(
    tmp_path: Path, own: str, files: dict[str, str], found: Memory | None
) -> None:
    (tmp_path / "own").write_text(own)
    assert memory_of_group(tree(tmp_path / "groups", files), tmp_path / "own") == found
    assert memory_of_group(tmp_path / "groups", tmp_path / "absent") is None


def test_this_machine(tmp_path: Path) -> None:
    space = space_of(tmp_path)
    assert 0 < space.free_bytes <= space.size_bytes
    limits = limits_of_process()
    assert limits.files_open is not None
    assert limits.files is None or limits.files_open <= limits.files
    assert clock_in_step() in (True, False, None)
    with pytest.raises(GoneError):
        space_of(tmp_path / "absent")


def test_a_measured_sync_leaves_nothing_and_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_s = sync_times_s(tmp_path)
    assert len(times_s) == SYNCS
    assert list(times_s) == sorted(times_s)
    assert list(tmp_path.iterdir()) == []
    with monkeypatch.context() as patch:
        clock = iter(range(1000))  # each step takes a second
        patch.setattr("yamcs_archive.storage.disk.machine.time.monotonic", lambda: next(clock))
        assert len(sync_times_s(tmp_path)) == 1
    seen: list[list[str]] = []

    def fail(_: int) -> None:
        seen.append([path.name for path in tmp_path.iterdir()])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(OutOfSpaceError):
        sync_times_s(tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert seen[0] == [], "a kill at this moment would leave a file"
    with pytest.raises(GoneError):
        sync_times_s(tmp_path / "absent")
