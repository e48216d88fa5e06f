"""A part becomes the file or nothing, has one writer, and goes on only with what is certain."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from yamcs_archive import InvalidInputError
from yamcs_archive.files.part_file import PartFile, Reached

WHAT = {"instance": "sim"}


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def left(path: Path, certain: bytes = b"certain", more: bytes = b"more") -> None:
    """Leave a part, as a process does that is killed."""
    part = PartFile(path, WHAT)
    part.write(certain)
    part.checkpoint(3, ["key"])
    part.write(more)
    part.__exit__(KeyboardInterrupt, None, None)


def test_a_part_goes_on_after_its_last_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "a"
    left(path)
    assert names(tmp_path) == ["a.part", "a.part.json"]
    with PartFile(path, WHAT, resume=True) as part:
        assert part.reached == Reached(7, 3, ["key"])
        assert part.size_bytes == 7
        part.write(b", rest")
        part.finish()
    assert (names(tmp_path), path.read_bytes()) == (["a"], b"certain, rest")


def test_without_resume_it_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "a"
    left(path)
    with PartFile(path, WHAT) as part:
        assert part.reached == Reached(0, 0, None)
        part.write(b"new")
        part.finish()
    assert (names(tmp_path), path.read_bytes()) == (["a"], b"new")


def test_to_resume_nothing_is_to_begin(tmp_path: Path) -> None:
    with PartFile(tmp_path / "a", WHAT, resume=True) as part:
        assert part.reached == Reached(0, 0, None)
    assert names(tmp_path) == []


@pytest.mark.parametrize("spoil", ["other", "short", "garbled"])
def test_a_part_that_is_not_as_noted_is_refused_and_kept(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "a"
    left(path)
    if spoil == "short":
        os.truncate(tmp_path / "a.part", 6)
    if spoil == "garbled":
        (tmp_path / "a.part.json").write_text("{")
    with pytest.raises(InvalidInputError, match="begin anew"):
        PartFile(path, {"instance": "other"} if spoil == "other" else WHAT, resume=True)
    assert names(tmp_path) == ["a.part", "a.part.json"]


def test_two_writers_never_share_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with PartFile(path, WHAT) as part:
        part.write(b"one")
        with pytest.raises(InvalidInputError, match="another export"):
            PartFile(path, WHAT)
        part.finish()
        with PartFile(
            tmp_path / "a", WHAT, replace=True
        ) as second:  # the first has its name, and a lock still
            second.write(b"two")
            second.finish()
    assert path.read_bytes() == b"two"


def test_a_file_that_comes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with PartFile(path, WHAT) as part:
        part.write(b"one")
        path.write_bytes(b"mine")
        with pytest.raises(InvalidInputError, match="is there now"):
            part.finish()
    assert (names(tmp_path), path.read_bytes()) == (["a"], b"mine")


def test_no_link_is_followed_or_shared(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    (tmp_path / "a.part").symlink_to(victim)
    with pytest.raises(OSError, match=r"a\.part"):
        PartFile(tmp_path / "a", WHAT)
    (tmp_path / "b.part").hardlink_to(victim)
    with pytest.raises(InvalidInputError, match="no plain file"):
        PartFile(tmp_path / "b", WHAT)
    assert victim.read_bytes() == b"mine"


def test_a_link_to_the_file_is_kept_when_it_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_bytes(b"old")
    (tmp_path / "a").symlink_to(tmp_path / "folder" / "real")
    with PartFile(tmp_path / "a", WHAT, replace=True) as part:
        part.write(b"new")
        part.finish()
    assert (tmp_path / "a").is_symlink()
    assert (tmp_path / "folder" / "real").read_bytes() == b"new"


def test_the_note_says_what_is_exported(tmp_path: Path) -> None:
    left(tmp_path / "a")
    note = json.loads((tmp_path / "a.part.json").read_text())
    assert note == {"version": 1, "request": WHAT, "bytes": 7, "events": 3, "after": ["key"]}
