"""Paths that users give: each means one directory, also after a change of directory; folders are durable."""

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from tests.child import run_in_fork
from yamcs_archive import Archive, Event
from yamcs_archive.errors import InvalidInputError, NotAnArchiveError, UnavailableError
from yamcs_archive.storage.disk import directory
from yamcs_archive.user_paths import given_path


def made(path: Path, *messages: str) -> None:
    with Archive.open(path) as archive:
        archive.instance("sim", create=True).append_many(Event(message) for message in messages)


def digest(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "lock.mdb"
    }


def test_a_relative_path_means_the_same_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    made(tmp_path / "here" / "arch", "ours")
    made(tmp_path / "there" / "arch", "theirs")
    untouched = digest(tmp_path / "there")
    monkeypatch.chdir(tmp_path / "here")
    with Archive.open("arch") as archive:
        sim = archive.instance("sim")
        monkeypatch.chdir(tmp_path / "there")
        sim.append(Event("more"))
        sim.compact()
        sim.append(Event("and more"))
        archive.instance("bench", create=True).append(Event("new"))
        kept = archive.set_aside("bench")
        archive.instance("late", create=True)
        assert archive.instances() == sorted(["sim", "late", kept])
        assert archive.path == tmp_path / "here" / "arch"
        archive.check_writable()
        assert sim.stats().events == 3
    assert digest(tmp_path / "there") == untouched
    with Archive.open(tmp_path / "here" / "arch", readonly=True) as archive:
        assert [event.message for event in archive.instance("sim").events()] == ["ours", "more", "and more"]


def test_a_reader_with_a_relative_path_goes_on_in_its_own_archive(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    made(tmp_path / "here" / "arch", "ours")
    made(tmp_path / "there" / "arch", "theirs")
    with Archive.open(tmp_path / "there" / "arch") as other:
        other.instance("sim").compact()  # so that the two generations have different names
    printed = run_in_fork(
        """
        import os
        os.chdir(sys.argv[1])
        archive = Archive.open("arch", readonly=True)
        sim = archive.instance("sim")
        os.chdir(sys.argv[2])
        print([event.message for event in sim.events()], sim.stats().events, archive.instances())
        """,
        tmp_path / "here",
        tmp_path / "there",
    )
    assert printed == "['ours'] 1 ['sim']\n"


def test_a_home_directory_and_objects_that_are_paths_are_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Anywhere:
        def __fspath__(self) -> str:
            return "~/arch"

    monkeypatch.setenv("HOME", str(tmp_path))
    for path in ("~/arch", Path("~/arch"), Anywhere()):
        with Archive.open(path) as archive:
            assert archive.path == tmp_path / "arch"
    assert not Path("~").exists()


def test_symbolic_links_and_dots_stay_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "far" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "inner")
    monkeypatch.chdir(tmp_path)
    assert given_path("link/../arch") == tmp_path / "link" / ".." / "arch"
    made(Path("link/../arch"), "a")  # ".." of a link is where the link leads to
    assert (tmp_path / "far" / "arch" / "sim").is_dir()


class _GivesBytes:
    def __fspath__(self) -> bytes:
        return b"/data"


class _GivesHalf:
    """Its path is not UTF-8. As a parameter it would be text that pytest cannot write in a report."""

    def __fspath__(self) -> str:
        return "\ud800"


@pytest.mark.parametrize(
    "path", [b"/data", _GivesBytes(), 5, None, _GivesHalf(), "", "a\0b", "~nosuchuser-of-this-test/a"]
)
@pytest.mark.parametrize("readonly", [True, False])
def test_a_value_that_is_no_path_is_refused(path: Any, readonly: bool) -> None:
    with pytest.raises(InvalidInputError, match=r"^path "):
        Archive.open(path, readonly=readonly)


def test_the_error_of_a_relative_path_names_a_removed_current_directory(tmp_path: Path) -> None:
    printed = run_in_fork(
        """
        import os
        os.mkdir(sys.argv[1])
        os.chdir(sys.argv[1])
        os.rmdir(sys.argv[1])
        try:
            Archive.open("arch")
        except UnavailableError as error:
            print(error)
        """,
        tmp_path / "gone",
    )
    assert printed == (
        "arch: the current directory of this process was removed; give a path that begins with /\n"
    )


def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        found.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    return found


@pytest.mark.parametrize("there", [0, 1, 2, 3])
def test_every_folder_that_names_a_new_one_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: int
) -> None:
    folders = [tmp_path, tmp_path / "one", tmp_path / "one" / "two", tmp_path / "one" / "two" / "three"]
    folders[there].mkdir(exist_ok=True, parents=True)
    found = synced(monkeypatch)
    with Archive.open(folders[-1]) as archive:
        # The name of an empty folder that existed before may not be durable either.
        assert [str(folder) for folder in folders[min(there, 2) :]] == sorted(
            {path for path in found if os.path.isdir(path)}
        )
        found.clear()
        archive.instance("sim", create=True)
        assert {
            str(archive.path),
            str(archive.path / ".sim.new"),
            str(archive.path / ".sim.new" / "gen-1"),
        } <= set(found)
        assert found[-1] == str(archive.path)


def test_folders_that_could_not_be_made_durable_are_made_anew_by_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failing = directory.sync, True

    def sync(path: Path) -> None:
        if failing and path == tmp_path / "one":
            raise OSError(5, "Input/output error")
        real(path)

    monkeypatch.setattr(directory, "sync", sync)
    for _ in range(2):
        with pytest.raises(UnavailableError, match="Input/output error"):
            Archive.open(tmp_path / "one" / "two" / "three")
        assert list(tmp_path.iterdir()) == []
    failing = False
    found = synced(monkeypatch)
    Archive.open(tmp_path / "one" / "two" / "three").close()
    assert {str(tmp_path), str(tmp_path / "one"), str(tmp_path / "one" / "two")} <= set(found)


def test_two_callers_may_create_folders_at_once_and_a_file_is_no_folder(tmp_path: Path) -> None:
    directory.make_folders(tmp_path / "a" / "b")
    directory.make_folders(tmp_path / "a" / "b")
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "a"):
        with pytest.raises(NotAnArchiveError, match=r"[Nn]ot a directory"):
            Archive.open(path)
