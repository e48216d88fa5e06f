"""The history of another server is imported whole, even over connections that break, and again later."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.cli.conftest import Run
from tests.http.feeds import waitress_server
from tests.wire.test_yamcs_event import message
from yamcs_archive import Archive, Event, Instance, Severity
from yamcs_archive.errors import ServerRefusedError, ServerUnavailableError, UnavailableError
from yamcs_archive.importers.yamcs import NOTE, History, Imported, import_history
from yamcs_archive.limits import CHUNK_EVENTS_MAX
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf import encode_event
from yamcs_archive.wire.protobuf_scan import varint


class Recorded:
    """A server that streams messages in the order of time and can break off; it records the requests."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self.break_after: list[int] = []
        """For each of the next answers: the number of messages after which the connection breaks."""
        self.asked: list[int | None] = []
        self.status = 200

    def add(self, event: Event) -> None:
        """Add an event, in the order of time."""
        self.messages.append(encode_event(event, Form.TODAY))
        self.messages.sort(key=lambda one: today.Event.FromString(one).generationTime.ToMicroseconds())


@contextmanager
def served(recorded: Recorded) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            asked = today.StreamEventsRequest.FromString(self.rfile.read(int(self.headers["content-length"])))
            start = asked.start.ToMicroseconds() if asked.HasField("start") else None
            recorded.asked.append(start)
            self.send_response(recorded.status)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            left = recorded.break_after.pop(0) if recorded.break_after else None
            for one in recorded.messages:
                time = today.Event.FromString(one).generationTime.ToMicroseconds()
                if start is not None and time < start:
                    continue
                whole = varint(len(one)) + one
                if left == 0:
                    self._chunk(whole[:-1])
                    self.close_connection = True
                    return
                left = None if left is None else left - 1
                self._chunk(whole)
            self._chunk(b"")

        def _chunk(self, part: bytes) -> None:
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

        def log_message(self, format: str, *args: object) -> None:  # the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def recorded() -> Recorded:
    return Recorded()


@pytest.fixture
def url(recorded: Recorded) -> Iterator[str]:
    with served(recorded) as where:
        yield where


def event(n: int, text: str = "") -> Event:
    return Event(
        text or f"m{n}", source="S", generation_time=n, seq_number=n, reception_time=n, created_by="ada"
    )


def taken(history: History, sim: Instance, folder: Path) -> Imported:
    return import_history(history, sim, folder, lambda _: None, wait=lambda _: None)


def test_a_whole_history_is_imported_and_a_second_import_adds_new_events(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    for n in range(0, 50, 2):
        recorded.add(event(n))
    done = taken(History(url, "there"), sim, tmp_path)
    assert (done.read, done.stored, done.whole, done.reached) == (25, 25, True, 48)
    assert list(sim.events()) == [event(n) for n in range(0, 50, 2)]
    recorded.add(event(11))  # late there
    again = taken(History(url, "there"), sim, tmp_path)
    assert (again.read, again.stored, again.duplicates) == (26, 1, 25)
    assert not (tmp_path / NOTE).exists()


def test_a_broken_stream_is_continued_at_the_time_reached(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    for n in range(100):
        recorded.add(event(n))
    recorded.break_after = [10, 0, 0, 0, 30]
    done = taken(History(url, "there"), sim, tmp_path)
    assert recorded.asked == [None, 9, 9, 9, 9, 38]
    assert done.whole
    assert (done.stored, sim.stats().events) == (100, 100)


def test_a_server_that_stays_away_ends_it_and_the_next_import_goes_on_there(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    for n in range(100):
        recorded.add(event(n))
    recorded.break_after = [40] + [0] * 4
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1"):
        taken(History(url, "there"), sim, tmp_path)
    assert sim.stats().events == 40
    assert '"reached": 39' in (tmp_path / NOTE).read_text()
    recorded.asked.clear()
    done = taken(History(url, "there"), sim, tmp_path)
    assert recorded.asked == [39]
    assert (done.read, done.stored, done.duplicates) == (61, 60, 1)


@pytest.mark.parametrize("same_time", [1, 30])
def test_a_server_that_always_breaks_off_at_one_place_ends_it_too(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path, same_time: int
) -> None:
    """The events of the time that was reached come again each time, and do not count as progress."""
    for n in range(100):
        recorded.add(replace(event(n), generation_time=min(n, 41 - same_time) if n <= 40 else n))
    recorded.break_after = [41] + [same_time] * 50
    with pytest.raises(ServerUnavailableError, match=r"127\.0\.0\.1"):
        taken(History(url, "there"), sim, tmp_path)
    assert sim.stats().events == 41
    assert len(recorded.break_after) > 40
    recorded.break_after.clear()
    done = taken(History(url, "there"), sim, tmp_path)
    assert (done.stored, done.duplicates) == (59, same_time)


def test_conflicts_are_shown_at_their_positions_in_later_chunks_too(sim: Instance, tmp_path: Path) -> None:
    there = [event(n) for n in range(CHUNK_EVENTS_MAX + 20)]
    at = [0, 7, CHUNK_EVENTS_MAX - 1, CHUNK_EVENTS_MAX, CHUNK_EVENTS_MAX + 13]
    sim.append_many([replace(there[n], message="ours") for n in at])

    class Streamed(History):
        def messages(self, start: int | None) -> Iterator[bytes]:
            return (encode_event(one, Form.TODAY) for one in there)

    done = taken(Streamed("http://127.0.0.1:8090", "there"), sim, tmp_path)
    assert (done.conflict_count, done.stored) == (5, len(there) - 5)
    assert [(found.position, found.offered.message) for found in done.conflicts] == [(n, f"m{n}") for n in at]


def test_the_note_of_another_history_or_a_torn_one_counts_as_none(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    recorded.add(event(1))
    for text in (
        '{"url": "http://other", "instance": "there", "start": null, "stop": null, "reached": 9}',
        "{",
        "[]",
    ):
        (tmp_path / NOTE).write_text(text)
        assert taken(History(url, "there"), sim, tmp_path).read == 1
    assert recorded.asked == [None] * 3


@pytest.mark.parametrize("lost", [99, 40, 39, 0])
def test_a_server_that_lost_the_last_imported_event_is_read_from_the_beginning(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path, lost: int
) -> None:
    """The history was put back, and its present events before the time that was reached were not read."""
    for n in range(100):
        recorded.add(event(n))
    recorded.break_after = [40] + [0] * 4
    with pytest.raises(ServerUnavailableError):
        taken(History(url, "there"), sim, tmp_path)
    recorded.messages[lost:] = []
    recorded.asked.clear()
    for n in range(20):
        recorded.add(Event(f"new {n}", source="T", generation_time=5 * n, seq_number=n, reception_time=n))
    done = taken(History(url, "there"), sim, tmp_path)
    whole = lost > 39
    assert recorded.asked == ([39] if whole else [39, None])
    assert (done.restarts, done.whole) == (0 if whole else 1, True)
    if not whole:
        assert done.read == len(recorded.messages)  # the first events of the other history were not stored
    assert not (tmp_path / NOTE).exists()
    messages = {event.message for event in sim.events()}
    assert messages == {f"m{n}" for n in range(max(40, lost))} | {
        f"new {n}" for n in range(20) if 5 * n >= 39 or not whole
    }


def test_a_history_that_changes_between_two_connections_is_read_anew(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    for n in range(30):
        recorded.add(event(n))
    recorded.break_after = [20]

    def replaced(_: float) -> None:
        recorded.messages.clear()
        for n in range(10, 40):
            recorded.add(
                Event(f"new {n}", source="S", generation_time=n, seq_number=100 + n, reception_time=n)
            )

    done = import_history(History(url, "there", start=5), sim, tmp_path, lambda _: None, wait=replaced)
    assert recorded.asked == [5, 24, 5]
    assert (done.restarts, done.stored, sim.stats().events) == (1, 50, 50)


def test_a_history_that_changes_again_and_again_is_given_up(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    recorded.break_after = [1, 9, 1] * 20
    recorded.add(event(0))
    recorded.add(event(1))

    def replaced(_: float) -> None:
        recorded.messages.clear()
        turn = len(recorded.asked)
        for n in (0, 1):
            recorded.add(Event("m", source=f"S{turn}", generation_time=n, seq_number=n, reception_time=n))

    with pytest.raises(ServerUnavailableError, match="another one 6 times"):
        import_history(History(url, "there"), sim, tmp_path, lambda _: None, wait=replaced)


@pytest.mark.parametrize("last", [None, ["S", 39]])
def test_a_note_of_an_earlier_version_is_used(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path, last: list[object] | None
) -> None:
    note = {"url": url, "instance": "there", "start": None, "stop": None, "reached": 39}
    (tmp_path / NOTE).write_text(json.dumps(note if last is None else {**note, "last": last}))
    for n in range(30, 50):
        recorded.add(event(n))
    assert taken(History(url, "there"), sim, tmp_path).read == 11
    assert recorded.asked == [39]


@pytest.mark.parametrize("before", [0, 1, 4])
def test_of_events_of_one_time_any_may_be_the_one_that_was_reached(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path, before: int
) -> None:
    for n in range(6):
        recorded.add(Event(f"m{n}", source="S", generation_time=7, seq_number=n, reception_time=n))
    recorded.break_after = [before + 1]
    done = taken(History(url, "there"), sim, tmp_path)
    assert (done.restarts, done.stored) == (0, 6)
    assert recorded.asked == [None, 7]


def test_conflicts_and_refused_events_are_counted_and_shown(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    sim.append(event(3, "other"))
    for n in range(5):
        recorded.add(event(n))
    recorded.messages.insert(2, message(message="x" * (2 << 20)))
    done = taken(History(url, "there"), sim, tmp_path)
    assert (done.read, done.stored, done.conflict_count, done.refused_count) == (6, 4, 1, 1)
    assert not done.whole
    assert [(one.stored.message, one.offered.message) for one in done.conflicts] == [("other", "m3")]
    assert "message" in done.refused[0]
    assert "message 2 of the stream" in done.refused[0]


def test_a_refusal_of_the_server_is_told_with_its_status(
    recorded: Recorded, url: str, sim: Instance, tmp_path: Path
) -> None:
    recorded.status = 404
    with pytest.raises(ServerRefusedError, match="404"):
        taken(History(url, "nosuch"), sim, tmp_path)
    assert len(recorded.asked) == 1  # asking again would not help
    recorded.status = 503
    with pytest.raises(ServerUnavailableError, match="503"):
        taken(History(url, "there"), sim, tmp_path)
    assert len(recorded.asked) > 2


@pytest.mark.parametrize("sources", [1, 2, 300])
def test_the_command_takes_the_history_of_a_served_archive(
    run: Run,
    tmp_path: Path,
    sources: int,
) -> None:
    with Archive.open(tmp_path / "there") as there:
        sim = there.instance("sim", create=True)
        sim.append_many(
            Event(f"m{n}", source=f"S{n % sources}", severity=Severity.WATCH, generation_time=n)
            for n in range(1500)
        )
        with waitress_server(there) as port:
            command = ("events", "import", "yamcs", f"http://127.0.0.1:{port}", "--data", tmp_path / "here")
            ran = run(*command, "--since", "1970-01-01T00:00:00.001Z")
            assert ran.out == "sim: 500 read, 500 stored, 0 duplicates, 0 conflicts, 0 expired, 0 refused\n"
            assert ran.status == 0
            assert "1500 read, 1000 stored, 500 duplicates" in run(*command).out
            assert "1500 read, 0 stored, 1500 duplicates" in run(*command).out
            assert run(*command, "--from", "nosuch").status == 1
        expected = list(sim.events())
    with Archive.open(tmp_path / "here", readonly=True) as here:
        assert list(here.instance("sim").events()) == expected


def test_the_command_shows_conflicts_and_ends_with_1(run: Run, tmp_path: Path) -> None:
    with Archive.open(tmp_path / "there") as there, Archive.open(tmp_path / "here") as here:
        for archive, text in ((there, "theirs"), (here, "ours")):
            archive.instance("sim", create=True).append(event(1, text))
        here.close()
        with waitress_server(there) as port:
            ran = run("events", "import", "yamcs", f"http://127.0.0.1:{port}", "--data", tmp_path / "here")
    assert ran.status == 1
    assert "'ours'" in ran.err
    assert "'theirs'" in ran.err
    assert "1 conflicts" in ran.out


def test_the_command_names_a_missing_option(run: Run) -> None:
    assert "use --data DIR" in run("events", "import", "yamcs", "http://127.0.0.1:1").err
    assert run("events", "import", "yamcs", "127.0.0.1:1", "--data", "x").status == 2


def test_a_note_that_cannot_be_written_does_not_stop_an_import(
    tmp_path: Path, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = Recorded()
    for n in range(3):
        recorded.add(Event(f"{n}", source="S", seq_number=n, generation_time=n, reception_time=n))
    with served(recorded) as url:
        done = import_history(History(url, "sim"), sim, tmp_path / "gone", lambda _: None)
    assert (done.stored, done.whole) == (3, True)


def test_the_end_of_an_import_is_durable(
    tmp_path: Path, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        real(descriptor)
        if (folder := os.readlink(f"/proc/self/fd/{descriptor}")) == str(tmp_path):
            assert not (tmp_path / NOTE).exists()
            synced.append(folder)

    recorded = Recorded()
    recorded.add(Event("a", source="S", seq_number=0, generation_time=0, reception_time=0))
    monkeypatch.setattr(os, "fsync", fsync)
    with served(recorded) as url:
        import_history(History(url, "sim"), sim, tmp_path, lambda _: None)
    # Otherwise a power cut could bring the note back, and the next import would miss late events.
    assert synced == [str(tmp_path)]

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "unlink", refuse)
    with served(recorded) as url, pytest.raises(UnavailableError, match="remove it before the next one"):
        import_history(History(url, "sim"), sim, tmp_path, lambda _: None)
