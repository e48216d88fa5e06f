"""``events import FILE`` stores the output of ``events log`` once, and reports events that it refuses."""

from __future__ import annotations

import gzip
import io
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.cli.conftest import Run
from tests.examples import of_full
from tests.http.feeds import waitress_server
from tests.strategies import stored_events
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.cli.main import main
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.importers.formats import format_of
from yamcs_archive.instance import Instance
from yamcs_archive.wire import json
from yamcs_archive.wire.api_generations import SHOWN_TODAY, Form


def command(*arguments: object, given: bytes | None = None) -> tuple[int, bytes, str]:
    """Run a command with these bytes as its standard input."""
    raw, err = io.BytesIO(), io.StringIO()
    out = io.TextIOWrapper(raw, newline="")
    stdin = io.TextIOWrapper(io.BytesIO(given or b""))
    with redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "stdin", stdin):
        status = main([str(argument) for argument in arguments])
    out.flush()
    return status, raw.getvalue(), err.getvalue()


def events_in(directory: Path, instance: str = "sim") -> list[Event]:
    with Archive.open(directory, readonly=True) as archive:
        return list(archive.instance(instance).events())


def kept(event: Event) -> Event:
    """An event as the output of ``events log`` keeps it: unchanged, except that ERROR becomes SEVERE."""
    return replace(event, severity=Severity[SHOWN_TODAY[event.severity]])


@given(st.lists(stored_events, min_size=1, max_size=20, unique_by=lambda event: event.key))
@settings(max_examples=of_full(15))
def test_the_output_of_events_log_is_imported_event_by_event(events: list[Event]) -> None:
    with TemporaryDirectory() as folder:
        there, copy = Path(folder) / "there", Path(folder) / "copy"
        with Archive.open(there) as archive:
            archive.instance("sim", create=True).append_many(events)
        status, printed, _ = command("events", "log", "--data", there, "-n", "all", "--format", "jsonl")
        assert (status, printed.count(b"\n")) == (0, len(events))
        into = ("events", "import", "-", "--data", copy, "--instance", "sim")
        for stored in (len(events), 0):
            status, said, _ = command(*into, given=printed)
            counted = f"{len(events)} read, {stored} stored, {len(events) - stored} duplicates, 0 conflicts"
            assert (status, said.decode().startswith(counted)) == (0, True)
        assert events_in(copy) == [kept(event) for event in sorted(events, key=lambda event: event.key)]
        assert command(*into[:3], "--data", there, given=printed)[0] == 0  # where it came from, too
        assert events_in(there) == sorted(events, key=lambda event: event.key)


def history(count: int) -> list[Event]:
    return [
        Event(
            f"m{n}",
            source="S",
            severity=Severity.ERROR if n % 2 else Severity.WATCH,
            generation_time=n * 1001,
            seq_number=n,
            reception_time=n,
            created_by="ada" if n % 4 == 0 else None,
            extra={"k": "v"} if n % 5 == 0 else {},
        )
        for n in range(count)
    ]


def lines(events: Iterable[Event]) -> bytes:
    return b"".join(msgspec.json.encode(json.shown(event, Form.TODAY)) + b"\n" for event in events)


def maps(events: Iterable[Event]) -> bytes:
    return b"".join(msgpack.packb(json.shown(event, Form.TODAY)) for event in events)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.jsonl", lines),
        ("a.NDJSON", lines),
        ("a.json", lambda events: b"\xef\xbb\xbf" + lines(events)),
        (
            "a.jsonl.gz",
            lambda events: gzip.compress(lines(events[:100])) + gzip.compress(lines(events[100:])),
        ),
        ("zipped.jsonl", lambda events: gzip.compress(lines(events))),
        ("a.msgpack", maps),
        ("a.msgpack.gz", lambda events: gzip.compress(maps(events))),
    ],
)
def test_files_of_each_kind_fill_an_archive_that_is_made(
    run: Run,
    tmp_path: Path,
    name: str,
    body: Callable[[list[Event]], bytes],
) -> None:
    events = history(300)
    (tmp_path / name).write_bytes(body(events))
    command_line = ("events", "import", tmp_path / name, "--data", tmp_path / "new", "--instance", "sim")
    ran = run(*command_line)
    assert (ran.status, ran.out, ran.err) == (
        0,
        "300 read, 300 stored, 0 duplicates, 0 conflicts, 0 expired\n",
        "",
    )
    assert events_in(tmp_path / "new") == [kept(event) for event in events]
    assert run(*command_line, "--format", "msgpack" if "msgpack" in name else "jsonl").status == 0


def test_the_format_comes_from_the_option_or_the_name_of_the_file(run: Run, tmp_path: Path) -> None:
    assert [format_of(name) for name in ("a.gz", "a", "a.jsonl.bak", "A.MSGPACK")] == [
        None,
        None,
        None,
        "msgpack",
    ]
    odd = tmp_path / "events.bin"
    odd.write_bytes(maps(history(3)))
    into = ("--data", tmp_path / "new", "--instance", "sim")
    ran = run("events", "import", odd, *into)
    assert (ran.status, ran.out, "--format" in ran.err) == (2, "", True)
    assert run("events", "import", odd, *into, "--format", "msgpack").status == 0
    assert command("events", "import", "-", *into, "--format", "msgpack", given=maps(history(5)))[0] == 0
    assert len(events_in(tmp_path / "new")) == 5


def test_an_import_through_a_url_stores_the_same_except_for_the_creator(
    run: Run,
    tmp_path: Path,
) -> None:
    events = history(300)
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(events))
    with Archive.open(tmp_path / "served") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events[:7])
        with waitress_server(archive) as port:
            url = f"http://127.0.0.1:{port}"
            ran = run("events", "import", path, "--url", url)
            assert ran.out == "300 read, 293 stored, 7 duplicates, 0 conflicts, 0 expired\n"
            assert run("events", "import", path, "--url", url, "--instance", "sim").status == 0
            path.write_bytes(b"\n" + lines([replace(event, message="other") for event in events[4:6]]))
            ran = run("events", "import", path, "--url", url)
            assert (ran.status, ran.out[:50]) == (1, "2 read, 0 stored, 0 duplicates, 2 conflicts, 0 exp")
            assert "conflict in line 2" in ran.err
            assert "conflict in line 3" in ran.err
            bad = replace(events[9], extensions=b"\x08\x01")  # kept from an owner, refused over a network
            path.write_bytes(b"\n\n" + lines([*events[7:9], bad, *events[10:]]))
            ran = run("events", "import", path, "--url", url)
            assert (ran.status, ran.out[:28]) == (1, "2 read, 0 stored, 2 duplicat")
            assert f"line 5 of {path}: extensions" in ran.err
            assert run("events", "import", path, "--url", url, "--instance", "nosuch").status == 1
        assert list(sim.events()) == events[:7] + [
            replace(kept(event), created_by=None) for event in events[7:]
        ]
        assert sim.stats().events == 300


class Breaking(BaseHTTPRequestHandler):
    """Answers the first batch as stored, and does not answer the second."""

    batches = 0

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        type(self).batches += 1
        if self.batches > 1:
            return
        counts = {"stored": body.count(b"\n") + 1, "duplicates": 0, "expired": 0}
        answer = msgspec.json.encode(counts | {"conflictCount": 0, "conflicts": []})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # the base class's name
        pass


def test_the_error_of_an_unanswered_batch_says_that_it_may_be_stored(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(history(12_000)))
    with HTTPServer(("127.0.0.1", 0), Breaking) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            ran = run("events", "import", path, "--url", url, "--instance", "sim")
        finally:
            server.shutdown()
            thread.join()
    stored = int(ran.out.split()[0])
    assert (ran.status, 0 < stored < 12_000) == (1, True)
    assert ran.out.startswith(f"{stored} read, {stored} stored, 0 duplicates")
    assert f"of the {12_000 - stored} events that were sent last, some or all may be stored" in ran.err


def test_an_error_by_its_own_name_stays_one(run: Run, tmp_path: Path) -> None:
    """A file may also contain requests of either form, if they have times and numbers."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        '{"message": "a", "severity": "ERROR", "seqNumber": 1, "generationTime": 5}\n'
        '{"message": "b", "severity": "ERROR", "sequenceNumber": 2, "time": "1970-01-01T00:00:00.005Z"}\n'
        '{"message": "c", "severity": "ERROR", "seqNumber": 3, "generationTime": "1970-01-01T00:00:00Z"}\n'
    )
    with Archive.open(tmp_path / "served") as archive:
        sim = archive.instance("sim", create=True)
        with waitress_server(archive) as port:
            assert run("events", "import", path, "--url", f"http://127.0.0.1:{port}").status == 0
            assert run("events", "import", path, "--url", f"http://127.0.0.1:{port}").status == 0
        assert [event.severity for event in sim.events()] == [Severity.ERROR] * 3
    assert run("events", "import", path, "--data", tmp_path / "new", "--instance", "sim").status == 0
    assert [event.severity for event in events_in(tmp_path / "new")] == [Severity.ERROR] * 3


BAD = [
    (b"{\n", "is not JSON"),
    (b'{"message": "a", "generationTime": "noon", "seqNumber": 1}\n', "generationTime 'noon'"),
    (b'{"message": "a", "seqNumber": 1, "generationTime": 5, "source": "%s"}\n' % (b"x" * 256), "source"),
    (b'{"message": "a", "generationTime": "1970-01-01T00:00:00Z"}\n', "seqNumber None: is missing"),
    (b'{"message": "a", "sequenceNumber": 1}\n', "generationTime None: is missing"),
    (b'[{"message": "a"}]\n', "must be a JSON object"),
]


@pytest.mark.parametrize(("bad", "said"), BAD, ids=[said for _, said in BAD])
@pytest.mark.parametrize("before", [0, 1, 64, 500])
def test_a_bad_line_is_named_and_all_before_it_is_stored_and_counted(
    run: Run,
    tmp_path: Path,
    bad: bytes,
    said: str,
    before: int,
) -> None:
    path, new = tmp_path / "a.jsonl", tmp_path / "new"
    good = lines(history(before))
    path.write_bytes(b"\r\n" + good + b"  \n" + bad + lines(history(900)))
    ran = run("events", "import", path, "--data", new, "--instance", "sim")
    assert ran.status == 1
    assert ran.err.startswith(f"yamcs-archive: line {before + 3} of {path}: ")
    assert said in ran.err
    assert ran.out.startswith(f"{before} read, {before} stored, 0 duplicates")
    assert new.exists() == (before > 0)  # nothing is created for a file whose first line is no event
    assert len(events_in(new)) == before if before else True


def test_a_bad_line_after_the_first_chunk_has_its_number(run: Run, tmp_path: Path) -> None:
    path, new = tmp_path / "a.jsonl", tmp_path / "new"
    events = history(10_002)
    for before in (9_999, 10_000, 10_001):
        path.write_bytes(b"\n" + lines(events[:before]) + b"\n\nx\n" + lines(events[before:]))
        ran = run("events", "import", path, "--data", new, "--instance", "sim")
        assert f"line {before + 4} of" in ran.err
        assert ran.out.startswith(f"{before} read, ")
    path.write_bytes(lines(events) + lines([replace(events[-1], message="other")]))
    ran = run("events", "import", path, "--data", new, "--instance", "sim")
    assert (ran.status, "conflict in line 10003, EventKey" in ran.err) == (1, True)
    assert ran.out == "10003 read, 1 stored, 10001 duplicates, 1 conflicts, 0 expired\n"


def test_a_bad_element_of_msgpack_is_named(run: Run, tmp_path: Path) -> None:
    path, new = tmp_path / "a.msgpack", tmp_path / "new"
    fields: dict[str, Any] = {"message": "a", "seqNumber": 1}
    path.write_bytes(maps(history(20)) + msgpack.packb({**fields, "generationTime": "noon"}))
    ran = run("events", "import", path, "--data", new, "--instance", "sim")
    assert ran.err.startswith(f"yamcs-archive: element 21 of {path}: generationTime 'noon'")
    path.write_bytes(msgpack.packb({**fields, "generationTime": msgpack.Timestamp(5)}))
    assert run("events", "import", path, "--data", new).status == 0
    path.write_bytes(maps(history(3))[:-1])
    ran = run("events", "import", path, "--data", new)
    assert (ran.status, "element 3 of" in ran.err, ran.out[:6]) == (1, True, "2 read")


def test_the_error_for_an_array_names_the_right_format(run: Run, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(json.encode([json.shown(event, Form.TODAY) for event in history(2)]))
    ran = run("events", "import", path, "--data", data)
    assert (ran.status, f"line 1 of {path}: " in ran.err, "--format jsonl" in ran.err) == (1, True, True)


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", b"\n \r\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_makes_nothing(run: Run, tmp_path: Path, body: bytes) -> None:
    (tmp_path / "a.jsonl").write_bytes(body)
    ran = run("events", "import", tmp_path / "a.jsonl", "--data", tmp_path / "new", "--instance", "sim")
    assert (ran.status, ran.out[:7], ran.err) == (0, "0 read,", "")
    assert not (tmp_path / "new").exists()


def test_the_whole_events_of_a_truncated_gzip_file_are_stored_and_counted(run: Run, tmp_path: Path) -> None:
    whole = lines(history(2000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(whole)[:-100])
    ran = run("events", "import", tmp_path / "a.jsonl.gz", "--data", tmp_path / "new", "--instance", "sim")
    assert (ran.status, "truncated" in ran.err) == (1, True)
    stored = events_in(tmp_path / "new")
    assert ran.out.startswith(f"{len(stored)} read, {len(stored)} stored")
    assert 1000 < len(stored) < 2000


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ((), 2, "which instance? give --instance"),
        (("--instance", "bad name"), 1, "bad name"),
        (("--url", "http://127.0.0.1:1"), 2, "not allowed with"),
        (("--format", "xml"), 2, "choose from"),
    ],
)
def test_a_command_line_that_says_too_little_makes_nothing(
    run: Run,
    tmp_path: Path,
    options: tuple[object, ...],
    status: int,
    said: str,
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(history(2)))
    ran = run("events", "import", tmp_path / "a.jsonl", "--data", tmp_path / "new", *options)
    assert (ran.status, said in ran.err) == (status, True)
    assert not (tmp_path / "new" / "sim").exists()


def test_where_there_is_one_instance_it_is_that_one(run: Run, data: Path, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(history(2)))
    assert run("events", "import", tmp_path / "a.jsonl", "--data", data).status == 0
    with Archive.open(data) as archive:
        archive.instance("other", create=True)
    assert "one of: other, sim" in run("events", "import", tmp_path / "a.jsonl", "--data", data).err
    assert run("events", "import", tmp_path / "a.jsonl", "--data", data, "--instance", "other").status == 0
    assert len(events_in(data, "other")) == len(events_in(data)) == 2


def test_the_files_own_faults_are_one_line(run: Run, data: Path, tmp_path: Path) -> None:
    ran = run("events", "import", tmp_path / "nosuch.jsonl", "--data", data)
    assert (ran.status, ran.out, ran.err.count("\n"), "nosuch.jsonl" in ran.err) == (1, "", 1, True)


def test_a_file_named_as_the_other_command_is_given_with_its_folder(
    run: Run,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("yamcs").write_bytes(lines(history(2)))
    assert run("events", "import", "yamcs", "--data", data).status == 2  # a URL is missing
    assert run("events", "import", "./yamcs", "--data", data, "--format", "jsonl").status == 0


def test_a_full_disk_or_ctrl_c_leaves_the_stored_events_and_prints_their_number(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, new = tmp_path / "a.jsonl", tmp_path / "new"
    path.write_bytes(lines(history(25_000)))
    real, calls = Instance.append_columns, 0

    def failing(error: BaseException) -> None:
        def append(self: Instance, *given: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls % 2 == 0:
                raise error
            return real(self, *given, **options)

        monkeypatch.setattr(Instance, "append_columns", append)

    command_line = ("events", "import", path, "--data", new, "--instance", "sim")
    failing(OutOfSpaceError("/data", "full"))
    first = run(*command_line)
    assert (first.status, "make room" in first.err) == (1, True)
    stored = len(events_in(new))
    assert (stored > 0, first.out.startswith(f"{stored} read, {stored} stored")) == (True, True)
    failing(KeyboardInterrupt())
    calls = 0
    second = run(*command_line)
    assert second.status == 130
    assert second.out == first.out.replace(f"{stored} stored, 0", f"0 stored, {stored}")
    monkeypatch.setattr(Instance, "append_columns", real)
    left = 25_000 - stored
    assert run(*command_line).out.startswith(f"25000 read, {left} stored, {stored} duplicates, 0 conflicts")


def test_an_interrupted_import_of_many_events_says_how_to_go_on(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, new = tmp_path / "a.jsonl", tmp_path / "new"
    path.write_bytes(lines(history(25_000)))
    monkeypatch.setattr("yamcs_archive.cli.events_import_file._RESUMED_MIN", 10_000)
    real, calls = Instance.append_columns, 0

    def append(self: Instance, *given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return real(self, *given, **options)

    command_line = ("events", "import", path, "--data", new, "--instance", "sim")
    with monkeypatch.context() as patch:
        patch.setattr(Instance, "append_columns", append)
        first = run(*command_line)
    stored = int(first.out.split()[0])
    assert (first.status, f"--skip {stored} goes on" in first.err) == (130, True)
    second = run(*command_line, "--skip", stored)
    assert second.out.startswith(f"{25_000 - stored} read, {25_000 - stored} stored, 0 duplicates")
    assert events_in(new) == [kept(event) for event in history(25_000)]
    assert run(*command_line, "--skip", 30_000).out.startswith("0 read")
    assert run(*command_line, "--skip", 1, "--format", "syslog").status == 2
