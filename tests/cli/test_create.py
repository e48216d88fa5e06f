"""``events create``: the events that it stores, and its errors, of one line each."""

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from tests.child import ROOT, WAIT_S
from tests.cli.conftest import Run
from tests.server.serving import serving
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.limits import MESSAGE_BYTES_MAX


def stored(data: Path) -> list[Event]:
    with Archive.open(data, readonly=True) as archive:
        return list(archive.instance("sim").events())


def test_an_event_is_stored_with_every_option_and_nothing_is_printed(run: Run, data: Path) -> None:
    options = ["-m", "Wheel 3", "--date", "1970-01-01T00:00:01Z", "--sequence-number", "-7", "--severity"]
    options += ["Distress", "--source", "AOCS", "--type", "FDIR", "--extra", "a=b=c", "--extra", "unit="]
    ran = run("events", "create", "--data", data, *options)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    (event,) = stored(data)
    assert event == Event(
        "Wheel 3",
        source="AOCS",
        severity=Severity.DISTRESS,
        type="FDIR",
        generation_time=1_000_000,
        seq_number=-7,
        reception_time=event.reception_time,
        extra={"a": "b=c", "unit": ""},
    )


def test_an_event_of_a_message_alone_gets_the_rest_from_the_archive(run: Run, data: Path) -> None:
    assert run("events", "create", "--data", data, "-m", "").status == 0  # a message may be empty
    (event,) = stored(data)
    assert (event.message, event.source, event.severity, event.seq_number) == ("", "User", Severity.INFO, 0)


def test_show_prints_the_event_as_it_is_stored(run: Run, data: Path) -> None:
    ran = run("events", "create", "--data", data, "-m", "é", "--date", "1970-01-01T00:00:00Z", "--show")
    shown = msgspec.json.decode(ran.out)
    assert (shown["message"], shown["generationTime"], shown["seqNumber"]) == ("é", "1970-01-01T00:00:00Z", 0)


def test_the_same_is_stored_through_a_url(run: Run, data: Path) -> None:
    options = [
        "-m",
        "Wheel 3",
        "--date",
        "2026-327T12:00:00.123456Z",
        "--severity",
        "error",
        "--extra",
        "a=b",
    ]
    options += ["--source", "AOCS", "--sequence-number", "3", "--type", "FDIR"]
    with serving(data) as served:
        ran = run("events", "create", "--url", served.url, *options)
        assert (ran.status, ran.out, ran.err) == (0, "", "")
        clash = run("events", "create", "--url", served.url, *options, "-m", "other")
        assert (clash.status, clash.out) == (1, "")
        assert "another event is stored under" in clash.err
        assert clash.err.count("\n") == 1
        beside = run("events", "create", "--data", data, "-m", "from a second writer")
        assert beside.status == 1
        assert served.url in beside.err
    (event,) = stored(data)
    assert (event.severity, event.seq_number, event.extra) == (Severity.ERROR, 3, {"a": "b"})
    assert event.generation_time == 1_795_435_200_123_456


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stdin is a terminal."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)


@pytest.fixture
def drafts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of drafts."""
    folder = tmp_path / "drafts"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.usefixtures("terminal")
def test_without_a_message_the_editor_writes_it(
    run: Run, data: Path, tmp_path: Path, drafts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    editor = tmp_path / "editor with blanks"
    editor.write_text('#!/bin/sh\nprintf "%s\\n" "$1" >"$2"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}' 'written there'")
    assert run("events", "create", "--data", data).status == 0
    assert [event.message for event in stored(data)] == ["written there"]
    assert not list(drafts.iterdir())


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("true", "the text is empty"),
        ("false", "the editor 'false' ended with status 1; nothing was stored"),
        (
            "no-such-editor",
            "the editor 'no-such-editor' cannot be started: No such file or directory; set VISUAL",
        ),
        ("/dev/null", "the editor '/dev/null' cannot be started: Permission denied"),
        ("vi '", "cannot be started: No closing quotation; set VISUAL or EDITOR, or give -m TEXT"),
        ("sh -c 'kill -9 $$'", "ended with status -9"),
        ("""sh -c 'printf "\\n \\n" >"$0"'""", "the text is empty"),
        ("""sh -c 'printf " \\n" >"$0"; exit 3'""", "ended with status 3"),
    ],
)
@pytest.mark.usefixtures("terminal")
def test_an_editor_that_writes_nothing_or_fails_stores_nothing(
    run: Run, data: Path, drafts: Path, monkeypatch: pytest.MonkeyPatch, *, editor: str, said: str
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    ran = run("events", "create", "--data", data)
    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err
    assert ran.err.count("\n") == 1
    assert stored(data) == []
    assert not list(drafts.iterdir())  # nothing was written, so no draft stays


@pytest.mark.parametrize(
    ("write", "options", "said"),
    [
        ('printf long >"$0"; exit 1', (), "ended with status 1"),
        ('printf long >"$0"; kill -9 $$', (), "ended with status -9"),
        (r'printf "long \377" >"$0"', (), "must be UTF-8"),
        ('printf long >"$0"', ("--instance", "nosuch"), "No instance named 'nosuch'"),
        ('printf long >"$0"', ("--source", "x" * 256), "source"),
        ('printf long >"$0"', ("--url",), "no answer from"),
    ],
)
@pytest.mark.usefixtures("terminal")
def test_a_text_that_was_written_but_not_stored_stays_in_a_file_that_is_named(
    run: Run,
    data: Path,
    drafts: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    write: str,
    options: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setenv("VISUAL", f"sh -c '{write}'")
    place = (
        ("--data", data) if options != ("--url",) else ("--url", "http://127.0.0.1:1", "--instance", "sim")
    )
    ran = run("events", "create", *place, *(() if options == ("--url",) else options))
    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err
    (kept,) = re.findall(r"what was written is kept in (.*)\n", ran.err)
    assert [str(path) for path in drafts.iterdir()] == [kept]
    assert Path(kept).read_bytes().startswith(b"long")
    assert Path(kept).stat().st_mode & 0o077 == 0
    assert stored(data) == []


@pytest.mark.usefixtures("terminal")
def test_no_editor_opens_where_the_command_line_is_wrong_anyway(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISUAL", f"touch {tmp_path / 'opened'}")
    assert run("events", "create").status == 2
    assert run("events", "create", "--data", data, "--extra", "a=1", "--extra", "a=1").status == 2
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("options", [(), ("-m", "-"), ("--message=-",)], ids=str)
@pytest.mark.parametrize(
    ("piped", "message"),
    [
        (b"text\n", "text"),
        (b"text", "text"),
        (b" two\nlines \r\n\n", " two\nlines "),
        ("é\u00a0".encode(), "é\u00a0"),
        (b"-", "-"),
        (b"x" * MESSAGE_BYTES_MAX + b"\r\n", "x" * MESSAGE_BYTES_MAX),
    ],
    ids=["line", "no line break", "lines", "UTF-8", "a dash", "the longest"],
)
def test_piped_input_is_the_message(
    run: Run,
    data: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    options: tuple[str, ...],
    piped: bytes,
    message: str,
) -> None:
    monkeypatch.setenv("VISUAL", "false")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped), encoding="ascii"))
    ran = run("events", "create", "--data", data, *options)
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    assert [event.message for event in stored(data)] == [message]


@pytest.mark.parametrize(
    ("piped", "said"),
    [
        (b"", "the text is empty, so nothing was stored"),
        (b"\n\n", "the text is empty, so nothing was stored"),
        (b"\xff", "must be UTF-8"),
        (b"x" * (MESSAGE_BYTES_MAX + 1), "message"),
        (b"x" * (MESSAGE_BYTES_MAX + 3), "message"),
        (b"x" * (MESSAGE_BYTES_MAX * 3), "must be at most 1048576 bytes"),
    ],
    ids=["nothing", "line breaks", "not UTF-8", "a byte more", "three bytes more", "three times as long"],
)
def test_piped_input_that_is_no_message_stores_nothing(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, piped: bytes, said: str
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(piped)))
    ran = run("events", "create", "--data", data)
    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err
    assert len(ran.err) < 500
    assert stored(data) == []


def test_a_pipe_is_read_and_a_terminal_gets_the_editor(data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yamcs_archive", "events", "create", "--data", str(data)]
    environment = os.environ | {"VISUAL": """sh -c 'printf "by the editor" >"$0"'"""}
    subprocess.run(command, cwd=ROOT, env=environment, input=b"by a pipe\n", check=True, timeout=WAIT_S)
    ours, theirs = pty.openpty()
    try:
        subprocess.run(command, cwd=ROOT, env=environment, stdin=theirs, check=True, timeout=WAIT_S)
    finally:
        os.close(ours)
        os.close(theirs)
    assert {event.message for event in stored(data)} == {"by a pipe", "by the editor"}


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--severity", "fatal"), 2, "choose from"),
        (("--date", "soon"), 2, "'soon' is not a date; give RFC 3339"),
        (("--extra", "novalue"), 2, "'novalue' is not KEY=VALUE"),
        (("--sequence-number", "1.5"), 2, "'1.5'"),
        (("--sequence-number", 2**31), 2, "--sequence-number 2147483648: must be -2147483648 to 2147483647"),
        (("--sequence-number", -(2**31) - 1), 2, "-2147483649"),
        (("--sequence-number", "1_0"), 2, "'1_0': must be a whole number"),
        (("--sequence-number", "٣"), 2, "must be a whole number"),
        (("--sequence-number", "9" * 5000), 2, "must be -2147483648 to 2147483647"),
        (("--sev", "info"), 2, "unrecognized arguments: --sev"),
        (("--extra", "k=1", "--type", "T", "--extra", "k=2"), 2, "--extra k: given twice"),
        (("--data", ""), 2, "--data '': must name a directory"),
        (("--data", "~no-such-user/x"), 2, "home directory"),
        (("--source", "x" * 256), 1, "source"),
        (("--instance", "nosuch"), 1, "No instance named 'nosuch' (there are: sim)"),
        (("--url", "http://127.0.0.1:1"), 2, "not allowed with"),
    ],
)
def test_a_bad_option_is_named_and_nothing_is_stored(
    run: Run, data: Path, options: tuple[object, ...], status: int, said: str
) -> None:
    ran = run("events", "create", "--data", data, "-m", "a", *options)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err
    assert stored(data) == []


@pytest.mark.parametrize("number", [-(2**31), 2**31 - 1])
def test_the_first_and_the_last_number_are_taken(run: Run, data: Path, number: int) -> None:
    assert run("events", "create", "--data", data, "-m", "a", "--sequence-number", number).status == 0
    assert [event.seq_number for event in stored(data)] == [number]


@pytest.mark.parametrize("option", ["-m", "--message"])
@pytest.mark.parametrize("message", ["-wheel", "--wheel", "-5", "--message=x", "-- a", "-n", "---"])
def test_a_text_may_begin_with_a_dash(run: Run, data: Path, option: str, message: str) -> None:
    if message == "--message=x":
        assert run("events", "create", "--data", data, option, message).status == 2  # that is an option
        return
    options = (option, message, "--source", "-s", "--type", "-t", "--extra", "-k=-v")
    assert run("events", "create", "--data", data, *options).status == 0
    (event,) = stored(data)
    assert (event.message, event.source, event.type, event.extra) == (message, "-s", "-t", {"-k": "-v"})


def test_an_empty_directory_is_not_made_an_archive(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for command in (("events", "create", "-m", "a"), ("compact",), ("instances", "list"), ("events", "log")):
        ran = run(*command, "--data", tmp_path / "empty")
        assert (ran.status, ran.out) == (1, "")
        assert "it is empty" in ran.err
        assert not list((tmp_path / "empty").iterdir())


def test_a_mistyped_directory_is_not_made(run: Run, tmp_path: Path) -> None:
    ran = run("events", "create", "--data", tmp_path / "dtaa", "-m", "a")
    assert ran.status == 1
    assert "there is no such directory" in ran.err
    assert not (tmp_path / "dtaa").exists()
