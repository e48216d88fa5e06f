"""``events create``: what is stored, and what is refused in one line."""

from pathlib import Path

import msgspec
import pytest

from tests.cli.conftest import Run
from tests.server.serving import serving
from yamcs_archive import Archive, Event, Severity


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


def test_without_a_message_the_editor_writes_it(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISUAL", raising=False)
    editor = tmp_path / "editor with blanks"
    editor.write_text('#!/bin/sh\nprintf "%s\\n" "$1" >"$2"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}' 'written there'")
    assert run("events", "create", "--data", data).status == 0
    assert [event.message for event in stored(data)] == ["written there"]


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("true", "the text is empty"),
        ("false", "non-zero exit status 1"),
        ("no-such-editor", "no-such-editor"),
        (r"""sh -c 'printf "\377" >"$0"'""", "message b'\\xff': must be UTF-8"),
    ],
)
def test_an_editor_that_writes_nothing_or_fails_stores_nothing(
    run: Run, data: Path, monkeypatch: pytest.MonkeyPatch, editor: str, said: str
) -> None:
    monkeypatch.setenv("VISUAL", editor)
    ran = run("events", "create", "--data", data)
    assert (ran.status, ran.out) == (1, "")
    assert said in ran.err
    assert stored(data) == []


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--severity", "fatal"), 2, "choose from"),
        (("--date", "soon"), 2, "'soon' is not a date; give RFC 3339"),
        (("--extra", "novalue"), 2, "'novalue' is not KEY=VALUE"),
        (("--sequence-number", "1.5"), 2, "'1.5'"),
        (("--sequence-number", 2**31), 1, "2147483648"),
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


def test_a_mistyped_directory_is_not_made(run: Run, tmp_path: Path) -> None:
    ran = run("events", "create", "--data", tmp_path / "dtaa", "-m", "a")
    assert ran.status == 1
    assert "there is no such directory" in ran.err
    assert not (tmp_path / "dtaa").exists()
