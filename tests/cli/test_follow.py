"""``events log`` after a cursor: stored events, then new ones, each once, until Ctrl-C."""

from __future__ import annotations

import os
import queue
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.child import WAIT_S, command_anew, command_in_fork, stopping
from tests.cli.conftest import Run
from tests.server.at_hand import at_hand
from tests.server.serving import Served, post, serving
from tests.storage.by_hand import change_meta
from yamcs_archive import Archive, Event, Filter, Instance, Severity
from yamcs_archive.cli import follow
from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.follow import Tail
from yamcs_archive.cli.table import table
from yamcs_archive.cli.target import Target
from yamcs_archive.errors import ServerUnavailableError
from yamcs_archive.results import Commit
from yamcs_archive.storage.format.commits import decode_cursor, encode_cursor

_PRINTED_S = 0.3


class Following:
    """A running ``events log``, and its lines as they come."""

    def __init__(self, *options: object) -> None:
        self.process = command_in_fork("events", "log", *options)
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self) -> str:
        """Wait for the next line, and return it."""
        line = self._lines.get(timeout=WAIT_S)
        if line is None:
            assert self.process.stderr is not None
            raise AssertionError(f"it ended: {self.process.stderr.read()}")
        return line

    def message(self) -> str:
        """Return the message of the next line of JSON."""
        return str(msgspec.json.decode(self.line())["message"])

    def interrupt(self) -> tuple[int, str, list[str]]:
        """Press Ctrl-C; return the exit status, stderr, and the lines that were not read."""
        # A line may arrive before the process notes that it is printed; stopped then, it prints no cursor.
        time.sleep(_PRINTED_S)
        self.process.send_signal(signal.SIGINT)
        assert self.process.stderr is not None
        complaints = self.process.stderr.read()
        status = self.process.wait(WAIT_S)
        self._reading.join(WAIT_S)
        return status, complaints, [line for line in self._lines.queue if line is not None]

    def kill(self) -> None:
        """Kill it if it still runs, and read its output to the end."""
        self.process.kill()
        self._reading.join(WAIT_S)


@contextmanager
def following(*options: object) -> Iterator[Following]:
    started = Following(*options)
    with stopping(started.process):
        try:
            yield started
        finally:
            started.kill()


def shown(run: Run, *options: object) -> tuple[list[str], str]:
    """The messages in the output of JSON lines, and the cursor."""
    ran = run("events", "log", "--format", "jsonl", "--show-cursor", *options)
    assert ran.status == 0, ran.err
    mark, cursor = ran.err.rsplit(" ", 1)
    assert mark == "-- cursor:"
    return [msgspec.json.decode(line)["message"] for line in ran.out.splitlines()], cursor.strip()


def test_a_read_after_the_cursor_shows_the_newer_events(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(Event(f"{n}", generation_time=n) for n in range(15))
    messages, cursor = shown(run, "--data", data)
    assert messages == [str(n) for n in range(5, 15)]
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        sim.append(Event("new", generation_time=99, severity=Severity.ERROR))
        sim.append(Event("late", generation_time=-1))
    with at_hand(data) as served:
        for target in (("--data", data), ("--url", served.url)):
            assert shown(run, *target, "--after-cursor", cursor)[0] == ["new", "late"]
            messages, latest = shown(run, *target, "--after-cursor", cursor, "--filter", "severity=error")
            assert messages == ["new"]
            assert shown(run, *target, "--after-cursor", latest) == ([], latest)


def test_a_cursor_may_begin_with_a_dash(run: Run, data: Path) -> None:
    change_meta(data / "sim", lineage=b"\xf8lineage")  # random: one archive in 64 has such cursors
    marked = decode_cursor(shown(run, "--data", data)[1])
    cursor = encode_cursor(marked._replace(fingerprint=None))  # as earlier versions issued them
    assert cursor.startswith("-")
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("new"))
    assert shown(run, "--data", data, "--after-cursor", cursor)[0] == ["new"]


@pytest.mark.parametrize("local", [False, True])
@pytest.mark.parametrize("before", [0, 3])
def test_rows_that_follow_have_their_cells_below_the_headings(local: bool, before: int) -> None:
    events = [
        Event("m", source="S", type="T", severity=severity, generation_time=time, seq_number=0)
        for severity in (Severity.INFO, Severity.DISTRESS)
        for time in (0, 123_000, 123_456)
    ]
    head, *rows = table(iter(events[:before]), local=local, following=iter(events[before:]))
    assert len(rows) == len(events)
    for heading, cell in (("MESSAGE", "m"), ("SOURCE", "S"), ("TYPE", "T")):
        assert {row[head.index(heading) :].split()[0] for row in rows} == {cell}
        assert {row[head.index(heading) - 1] for row in rows} == {" "}


def test_a_table_ends_with_the_cursor_as_journalctl_shows_it(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("only", generation_time=0))
        cursor = archive.instance("sim").cursor()
    ran = run("events", "log", "--data", data, "--show-cursor")
    assert ran.out.splitlines()[-1] == f"-- cursor: {cursor}"
    assert (ran.status, ran.err) == (0, "")


def test_an_invalid_cursor_is_refused_in_one_line(run: Run, data: Path) -> None:
    with at_hand(data) as served:
        for target in (("--data", data), ("--url", served.url)):
            ran = run("events", "log", *target, "--after-cursor", "made-up", "--show-cursor")
            assert (ran.status, ran.out) == (1, "")
            assert "made-up" in ran.err
            assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    "options",
    [
        ("-f", "--reverse"),
        ("-f", "-u", "today"),
        ("-f", "--format", "json"),
        ("-f", "-u", "@0"),
        ("--after-cursor", "x", "-n", "3"),
        ("--after-cursor", "x", "-n", "0"),
        ("--after-cursor", "x", "--first", "0"),
        ("--show-cursor", "--first", "0"),
        ("--instance", ""),
        ("--after-cursor", "x", "--reverse"),
        ("--filter", "foo=1"),
    ],
)
def test_contradictory_options_are_refused(run: Run, data: Path, options: tuple[str, ...]) -> None:
    ran = run("events", "log", "--data", data, *options)
    assert (ran.status, ran.out) == (2, "")


def test_events_of_another_process_are_shown_as_they_come_until_ctrl_c(data: Path) -> None:
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        sim.append_many(Event(f"before {n}", generation_time=n) for n in range(12))
        with following("--data", data, "-f", "--format", "jsonl") as log:
            assert [log.message() for _ in range(10)] == [f"before {n}" for n in range(2, 12)]
            sim.append(Event("first", generation_time=20))
            assert log.message() == "first"
            sim.compact()
            sim.append(Event("late", generation_time=-5))
            assert log.message() == "late"
            assert log.interrupt() == (130, "", [])


def test_a_followed_table_shows_each_row_at_once_and_its_cursor_at_the_end(data: Path) -> None:
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        options = ("-f", "--show-cursor", "--source", "AOCS", "--severity", "watch")
        with following("--data", data, *options) as log:
            assert log.line().split() == ["SEVERITY", "TIME", "MESSAGE", "SOURCE", "TYPE"]
            for severity, source, message in (
                (Severity.INFO, "AOCS", "too low"),
                (Severity.SEVERE, "EPS", "another's"),
                (Severity.SEVERE, "AOCS", "wanted"),
            ):
                sim.append(Event(message, source=source, severity=severity, generation_time=0))
            assert log.line().split() == ["SEVERE", "1970-01-01T00:00:00Z", "wanted", "AOCS", "-"]
            assert log.interrupt() == (130, "", [f"-- cursor: {sim.cursor()}"])


def test_a_served_archive_is_followed_across_a_restart_of_its_server(data: Path) -> None:
    with serving(data) as served, following("--url", served.url, "-f", "--format", "jsonl") as log:
        post(served.connect(), {"message": "first", "source": "S"})
        assert log.message() == "first"
        assert served.stop() == (0, "")
        again = Served(data, "--port", served.port, "--instance", "sim")
        try:
            post(again.connect(), {"message": "second", "source": "S"})
            assert log.message() == "second"
            status, complaints, _ = log.interrupt()
        finally:
            again.close()
    assert status == 130
    assert [line for line in complaints.splitlines() if "trying again" not in line] == []


def test_a_reader_that_leaves_ends_following_without_a_word(data: Path) -> None:
    with Archive.open(data) as archive:
        sim = archive.instance("sim")
        with stopping(command_anew("events", "log", "--data", data, "-f")) as process:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            sim.append(Event("for nobody"))
            assert process.wait(WAIT_S) == 1
            assert process.stderr is not None
            assert process.stderr.read() == ""


@pytest.mark.parametrize("after", range(0, 2301, 100))
def test_history_goes_over_into_arrivals_with_each_event_once(sim: Instance, after: int) -> None:
    sim.append_many(Event(f"{n}", generation_time=n * 10) for n in range(2300))
    tail = Tail(sim, LogRequest(lines=None, filter=Filter("-unwanted")), None)
    found: list[str] = []
    for index, event in enumerate(tail.history(follow=True)):
        found.append(event.message)
        if index == after:
            for n in (after - 700, after, after + 700, 5000):  # before the position of the read, and after it
                sim.append(Event(f"new {n}", source="X", generation_time=n * 10 + 5))
                sim.append(Event(f"unwanted {n}", source="Y", generation_time=n * 10 + 6))
    news = [f"new {n}" for n in (after - 700, after, after + 700, 5000)]
    expected = [str(n) for n in range(2300)] + (news if after < 2300 else [])
    assert sorted(found) == sorted(expected)
    assert list(tail.stored()) == []
    assert tail.cursor == sim.cursor()
    sim.append(Event("later"))
    assert [event.message for event in tail.stored()] == ["later"]


def test_no_child_is_left(data: Path) -> None:
    with following("--data", data, "-f") as log:
        log.line()
    with pytest.raises(ProcessLookupError):
        os.kill(log.process.pid, 0)


def test_a_server_that_is_gone_when_history_ends_is_asked_again(
    sim: Instance, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    refusals, found = [None, None], follow.commits

    def commits(target: Target, after: str, *, wait: bool) -> Iterator[Commit]:
        if refusals:
            refusals.pop()
            raise ServerUnavailableError("http://127.0.0.1:1", "no answer")
        return found(target, after, wait=wait)

    monkeypatch.setattr(follow, "commits", commits)
    sim.append(Event("first", generation_time=0))
    tail = Tail(sim, LogRequest(lines=None), None)
    assert [event.message for event in tail.history(follow=True)] == ["first"]
    assert capsys.readouterr().err == "yamcs-archive: no answer; trying again\n"
    assert tail.cursor == sim.cursor()
