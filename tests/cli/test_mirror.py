"""``mirror``: a copy stays in step when either side dies, and stops if the two cannot agree."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.child import command_in_fork, stopping
from tests.cli.conftest import Run
from tests.client.scripted import answer, scripted
from tests.forking import Process
from tests.http.feeds import uvicorn_server
from tests.server.at_hand import at_hand
from tests.server.serving import WAIT_S, Load, Served, ended, post, serving
from tests.storage.by_hand import change_meta, put_into_lmdb
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.cli.main import main
from yamcs_archive.errors import MirrorError, NotAnArchiveError, UnknownInstanceError
from yamcs_archive.results import MirrorState
from yamcs_archive.storage.format.commits import decode_cursor, encode_cursor

Told = list[tuple[int, tuple[Event, ...]]]


def told(data: Path, name: str = "sim") -> Told:
    """Every commit of an archive: its time, and all fields of its events."""
    with Archive.open(data, readonly=True) as archive:
        return [(commit.time, commit.events) for commit in archive.instance(name).commits()]


def messages(data: Path) -> set[str]:
    """The messages of an archive; none if there is no archive yet."""
    try:
        return {event.message for _, events in told(data) for event in events}
    except (NotAnArchiveError, UnknownInstanceError):
        return set()


def until(process: Process, holds: Callable[[], bool]) -> None:
    """Wait until a condition holds, while the process runs."""
    give_up = time.monotonic() + WAIT_S
    while not holds():
        assert process.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.05)


def state_of(copy: Path) -> MirrorState:
    with Archive.open(copy, readonly=True) as archive:
        state = archive.instance("sim").mirrored
    assert state is not None
    return state


def forget_history(copy: Path) -> None:
    """Give a copy the cursor that an earlier version would have stored, at the same position."""
    put_into_lmdb(copy)  # the log may have the newer one
    state = state_of(copy)
    assert state.cursor is not None
    cursor = encode_cursor(decode_cursor(state.cursor)._replace(fingerprint=None))
    change_meta(copy / "sim", mirrored=replace(state, cursor=cursor))


@contextmanager
def mirroring(url: str, copy: Path, *options: str) -> Iterator[Process]:
    command = ("mirror", url, "--data", copy, "--instance", "sim", *options)
    with stopping(command_in_fork(*command)) as process:
        yield process


def test_a_copy_has_every_field_and_every_commit_and_takes_nothing_else(
    run: Run, data: Path, tmp_path: Path
) -> None:
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        sim.append_many(
            [
                Event("é\0", "S", Severity.ERROR, "", -1, 7, 3, "me", b"\xa2\x06\x01x", {"a": "b"}),
                Event("plain", generation_time=5),
            ]
        )
        for n in range(5):
            sim.append(Event(f"late {n}", generation_time=-n * 10 - 5))
    copy = tmp_path / "copy"
    with at_hand(data) as served:
        for _ in range(2):  # a second run does nothing
            ran = run("mirror", served.url, "--data", copy, "--once")
            assert (ran.status, ran.out) == (0, "")
            assert ran.err.endswith("in step\n")
            assert told(copy) == told(data)
    with Archive.open(copy) as archive, pytest.raises(MirrorError, match=served.url):
        archive.instance("sim").append(Event("of its own"))
    with serving(copy) as mirror:
        connection = mirror.connect()
        connection.request("POST", "/api/archive/sim/events", b'{"message": "of its own"}')
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 405
        assert served.url.encode() in body


def test_a_copy_goes_on_after_either_side_was_killed(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with serving(data) as served:
        load = Load(served, 4, "first ")
        load.wait_for(50)
        with mirroring(served.url, copy) as process:
            until(process, lambda: bool(messages(copy)))
            process.kill()
            process.wait(WAIT_S)
        load.wait_for(50)
        there = len(messages(copy))
        with mirroring(served.url, copy) as process:
            until(process, lambda: len(messages(copy)) > there)
            served.kill()
            acknowledged = load.join()
            again = Served(data, "--port", served.port, "--instance", "sim")
            try:
                acknowledged.add(post(again.connect(), {"message": "last", "source": "S"})["message"])
                until(process, lambda: "last" in messages(copy))
            finally:
                again.close()
    assert told(copy) == told(data)
    assert acknowledged <= messages(copy)


def test_at_a_conflict_it_stops_and_shows_both(run: Run, data: Path, tmp_path: Path) -> None:
    copy, before = tmp_path / "copy", tmp_path / "before"
    shutil.copytree(data, before)

    def store(*messages: str) -> None:
        with Archive.open(data) as archive:
            for message in messages:
                archive.instance("sim").append(Event(message, generation_time=9, reception_time=9))

    store("one way")
    with at_hand(data) as served:
        assert run("mirror", served.url, "--data", copy, "--once").status == 0
        port = served.port
        served.stop()
    # The source is put back by copying files, which keeps its lineage, and then stores other events.
    shutil.rmtree(data)
    shutil.copytree(before, data)
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        sim.append(Event("unseen", source="T", generation_time=1))
        sim.append(Event("another way", generation_time=9, seq_number=0))
    came = told(copy)
    forget_history(copy)  # otherwise its cursor would be refused first
    with at_hand(data, port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert (ran.status, ran.out) == (1, "")
        assert "one way" in ran.err
        assert "another way" in ran.err
        assert "--resync" in ran.err.splitlines()[-1]
        assert told(copy) == came
        ran = run("mirror", served.url, "--data", copy, "--once", "--resync")
        assert (ran.status, ran.out) == (0, "")
        assert told(copy) == told(data)
        names = run("instances", "list", "--data", copy).out.split()
        [kept] = [name for name in names if name != "sim"]
        assert kept.startswith("sim.before-")
        assert told(copy, kept) == came
        again = run("mirror", served.url, "--data", copy, "--once", "--resync")  # has nothing to do
        assert again.status == 0
        assert run("instances", "list", "--data", copy).out.split() == names


def test_a_slip_in_the_name_makes_no_instance(run: Run, data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with at_hand(data) as served:
        ran = run("mirror", served.url, "--data", copy, "--instance", "smi", "--once")
        assert (ran.status, ran.out) == (1, "")
        assert f"instance 'smi': is not one of those at {served.url}: sim" in ran.err
    assert run("instances", "list", "--data", copy).out == ""


def test_another_history_and_another_source_and_own_events_are_refused(
    run: Run, data: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("first"))
    with at_hand(data) as served:
        assert run("mirror", served.url, "--data", copy, "--once").status == 0
        came = told(copy)
        port = served.port
        served.stop()
    shutil.rmtree(data)
    with at_hand(data, port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert (ran.status, ran.out) == (1, "")
        assert "OtherHistoryException" in ran.err
        other = tmp_path / "other"
        with Archive.open(other) as archive:
            archive.instance("sim", create=True).append(Event("of its own"))
        ran = run("mirror", served.url, "--data", other, "--once")
        assert ran.status == 1
        assert "events of its own" in ran.err
    with at_hand(tmp_path / "third") as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert ran.status == 1
        assert "and of no other" in ran.err
    assert told(copy) == came


def test_ctrl_c_ends_following_without_a_word(data: Path, tmp_path: Path) -> None:
    with at_hand(data) as served, mirroring(served.url, tmp_path / "copy") as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "sim: 0 events taken over, in step\n"
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(WAIT_S) == 130
    assert told(tmp_path / "copy") == []


def test_ctrl_c_while_the_thread_is_started_leaves_none_that_follows(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = threading.Thread.start
    followers: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        begun(thread)
        if thread.name.startswith(("ThreadPoolExecutor", "yamcs-archive-mirror")):
            followers.append(thread)
            raise KeyboardInterrupt

    with Archive.open(data) as archive, uvicorn_server(archive) as port:
        monkeypatch.setattr(threading.Thread, "start", start)
        status = main(["mirror", f"http://127.0.0.1:{port}", "--data", str(tmp_path / "copy")])
        monkeypatch.undo()
        (follower,) = followers
        follower.join(WAIT_S)
        assert (status, follower.is_alive()) == (130, False)


@pytest.mark.parametrize(
    "what", ["another history", "pruned", "gone back", "gone back and grown past it", "events of its own"]
)
def test_only_resync_starts_anew_and_keeps_the_old_copy(
    run: Run, data: Path, tmp_path: Path, what: str
) -> None:
    copy, before = tmp_path / "copy", tmp_path / "before"
    shutil.copytree(data, before)
    with Archive.open(data) as archive:
        for n in range(3):
            archive.instance("sim").append(Event(f"{n}", generation_time=n))
    if what == "events of its own":
        with Archive.open(copy) as archive:
            archive.instance("sim", create=True).append(Event("of its own"))
    else:
        with at_hand(data) as served:
            assert run("mirror", served.url, "--data", copy, "--once").status == 0
            port = served.port
            served.stop()
    if what == "another history":
        put_into_lmdb(data)  # a log knows its history
        change_meta(data / "sim", lineage=b"restored")
    elif what == "pruned":
        with Archive.open(data) as archive:
            archive.instance("sim").append(Event("unseen", generation_time=5))
            archive.instance("sim").append(Event("left", generation_time=50))
        change_meta(data / "sim", horizon=10, horizon_commit=4)
    elif what.startswith("gone back"):
        shutil.rmtree(data)
        shutil.copytree(before, data)
        with Archive.open(data) as archive:
            for n in range(5 if "grown" in what else 0):
                archive.instance("sim").append(Event(f"new {n}", source="T", generation_time=n))
    came = told(copy)
    with at_hand(data, 0 if what == "events of its own" else port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert (ran.status, ran.out) == (1, "")
        assert "--resync" in ran.err.splitlines()[-1]
        assert "in step" not in ran.err
        if what.startswith("gone back"):
            assert "the source has another history since commit 3 or before" in ran.err
        assert told(copy) == came
        assert run("mirror", served.url, "--data", copy, "--once", "--resync").status == 0
        assert told(copy) == told(data)
        [kept] = [name for name in run("instances", "list", "--data", copy).out.split() if name != "sim"]
        assert told(copy, kept) == came
        assert run("mirror", served.url, "--data", copy, "--once").status == 0


def test_a_cursor_of_an_earlier_version_is_replaced_by_the_next_page(
    run: Run, data: Path, tmp_path: Path
) -> None:
    copy, before = tmp_path / "copy", tmp_path / "before"

    def store(message: str) -> None:
        with Archive.open(data) as archive:
            archive.instance("sim").append(Event(message))

    store("first")
    shutil.copytree(data, before)
    store("second")
    with at_hand(data) as served:
        assert run("mirror", served.url, "--data", copy, "--once").status == 0
        state, port = state_of(copy), served.port
        served.stop()
    forget_history(copy)
    assert state_of(copy) != state
    with at_hand(data, port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert (ran.status, ran.err.endswith("in step\n")) == (0, True)
        assert told(copy) == told(data)
        with Archive.open(data, readonly=True) as archive:
            assert state_of(copy).cursor == archive.instance("sim").cursor()
        served.stop()
    shutil.rmtree(data)
    shutil.copytree(before, data)
    store("other second")
    with at_hand(data, port) as served:
        ran = run("mirror", served.url, "--data", copy, "--once")
        assert ran.status == 1
        assert "another history since commit 2 or before" in ran.err


INSTANCES = answer(b'{"instances": [{"name": "simulator"}]}', media="application/json")
NOT_THERE = answer(b"404 Not Found\r\n", "404 Not Found", "text/plain; charset=UTF-8")


@pytest.mark.parametrize("named", [False, True])
def test_a_server_without_an_archive_is_not_copied(run: Run, tmp_path: Path, named: bool) -> None:
    """The server has instances, like a Yamcs server, but no route for changes."""
    copy = tmp_path / "copy"
    names = ("--instance", "simulator") if named else ()
    asked = [[INSTANCES], [NOT_THERE]] if named else [[INSTANCES], [INSTANCES], [NOT_THERE]]
    with scripted(*asked) as url:
        ran = run("mirror", url, "--data", copy, "--once", *names)
    assert (ran.status, ran.out) == (1, "")
    assert "is it an archive of this project?" in ran.err
    assert "events import yamcs" in ran.err
    assert not copy.exists()
    with scripted(*asked) as url:
        status, said, complaints = ended("--data", copy, "--port", 0, *names, "--mirror-of", url)
    assert (status, said) == (1, "")
    assert "is it an archive of this project?" in complaints
    assert not copy.exists()


def test_before_the_source_answers_nothing_is_made(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    with at_hand(data) as served:
        port = served.port  # free again in a moment
    options = ("--data", copy, "--port", 0, "--instance", "sim", "--mirror-of", served.url)
    status, said, complaints = ended(*options)
    assert (status, said) == (1, "")
    assert f"no answer from {served.url}" in complaints
    assert not copy.exists()
    with mirroring(served.url, copy) as process:
        assert process.stderr is not None
        assert "trying again" in process.stderr.readline()
        assert not copy.exists()
        with at_hand(data, port):
            assert process.stderr.readline() == "sim: 0 events taken over, in step\n"
            process.send_signal(signal.SIGINT)
            assert process.wait(WAIT_S) == 130
    assert told(copy) == []


@pytest.mark.parametrize("there", [False, True])
def test_ctrl_c_before_the_source_answers_leaves_all_as_it_was(
    data: Path, tmp_path: Path, there: bool
) -> None:
    copy = tmp_path / "copy"
    if there:
        with Archive.open(copy) as archive:
            archive.instance("sim", create=True).append(Event("of its own"))
    with at_hand(data) as served:
        gone = served.url
    with mirroring(gone, copy, "--resync", "--once") as process:
        assert process.stderr is not None
        assert "trying again" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == ""
        assert process.wait(WAIT_S) == 130
    assert messages(copy) == ({"of its own"} if there else set())
    assert copy.exists() is there
    if there:
        with Archive.open(copy, readonly=True) as archive:
            assert archive.instances() == ["sim"]
