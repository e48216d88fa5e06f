"""Lines of the log: whatever is logged, a record is one record, and can be read back."""

import json
import logging
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from yamcs_archive.server.log_lines import (
    FIELDS,
    LINE_CHARACTERS_MAX,
    TRACEBACK_LINES_MAX,
    JournalLines,
    JsonLines,
    TextLines,
)

FORGED = "2026-11-30T12:00:00.000Z CRITICAL forged"


def record(message: str, *arguments: object, level: int = logging.INFO, **more: Any) -> logging.LogRecord:
    return logging.getLogger("yamcs_archive.test").makeRecord(
        "yamcs_archive.test", level, __file__, 1, message, arguments, **({"exc_info": None} | more)
    )


def raised(text: str) -> Any:
    try:
        raise ValueError(text)
    except ValueError:
        return sys.exc_info()


@settings(max_examples=of_full(60))
@given(st.text(max_size=20) | st.text("\r\n\x0b\x0c\x1b\x1c\x85\u2028\u2029\u202e\0\x7f<5> a", max_size=20))
def test_any_text_is_one_line_that_can_be_shown_and_json_gives_it_back(text: str) -> None:
    for lines in (TextLines(), JournalLines(), JsonLines(), JournalLines(JsonLines())):
        line = lines.format(record("said: %s", text))
        assert len(line.splitlines()) == 1
        assert line.isprintable()
        line.encode()
    assert json.loads(JsonLines().format(record("said: %s", text)))["message"] == f"said: {text}"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028", "\x0b"])
def test_an_error_forges_no_line_either(end: str) -> None:
    error = raised(f"a{end}{FORGED}{end}<0>b\x1b[2J")
    text = TextLines().format(record("failed", exc_info=error)).splitlines()
    assert text[0].endswith(" INFO failed")
    assert text[1] == "  | Traceback (most recent call last):"
    assert all(line.startswith("  | ") and line.isprintable() for line in text[1:])
    journal = JournalLines().format(record("failed", level=logging.ERROR, exc_info=error)).splitlines()
    assert journal[0] == "<3>failed"
    assert all(line.startswith("<3>  | ") for line in journal[1:])
    line = JsonLines().format(record("failed", exc_info=error))
    assert len(line.splitlines()) == 1
    found = json.loads(line)
    assert found["message"] == "failed"
    assert FORGED in found["traceback"]
    assert set(found) == {"time", "level", "logger", "message", "traceback"}


def test_fields_of_a_record_are_fields_of_its_json() -> None:
    found = json.loads(JsonLines().format(record("a", extra={FIELDS: {"path": "/é\n", "status": None}})))
    assert (found["path"], found["status"], found["logger"]) == ("/é\n", None, "yamcs_archive.test")


@pytest.mark.parametrize(
    ("level", "priority"),
    [(0, 7), (10, 7), (19, 7), (20, 6), (29, 6), (30, 4), (39, 4), (40, 3), (49, 3), (50, 2), (99, 2)],
)
def test_the_journal_gets_the_priority_of_each_level(level: int, priority: int) -> None:
    assert JournalLines().format(record("a", level=level)) == f"<{priority}>a"
    assert JournalLines(JsonLines()).format(record("a", level=level)).startswith(f'<{priority}>{{"time"')


@pytest.mark.parametrize("length", [LINE_CHARACTERS_MAX - 1, LINE_CHARACTERS_MAX, LINE_CHARACTERS_MAX + 1])
def test_a_line_has_a_bounded_length(length: int) -> None:
    message = JournalLines().format(record("%s", "a" * length))
    cut = length > LINE_CHARACTERS_MAX
    assert message == "<6>" + "a" * min(length, LINE_CHARACTERS_MAX) + (
        f"… ({length} characters)" if cut else ""
    )
    found = json.loads(JsonLines().format(record("%s", "a" * length, exc_info=raised("b" * length))))
    assert found["message"] == message[3:]
    assert ("characters)" in found["traceback"]) is (length + len("ValueError: ") > LINE_CHARACTERS_MAX)


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_of_a_long_traceback_the_end_is_kept(more: int) -> None:
    frames = len(TextLines().format(record("a", exc_info=raised("x"))).split("\n")) - 1
    error = raised("x\n" * (TRACEBACK_LINES_MAX + more - frames) + "the end")
    lines = TextLines().format(record("a", exc_info=error)).split("\n")[1:]
    assert lines[-1] == "  | the end"
    assert len(lines) == TRACEBACK_LINES_MAX + more
    assert lines[0] == (
        "  | (1 lines are left out)" if more > 0 else "  | Traceback (most recent call last):"
    )


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no\ntext")

    __repr__ = __str__


def test_what_cannot_be_formatted_is_logged_as_that() -> None:
    for lines in (TextLines(), JsonLines(), JournalLines()):
        for broken in (record("%d", "x"), record("%s", UnspeakableError()), record("%s %s", 1)):
            assert "a message of the log that cannot be formatted: " in lines.format(broken)
        try:
            raise UnspeakableError
        except UnspeakableError:
            assert "UnspeakableError" in lines.format(record("failed", exc_info=sys.exc_info()))


def test_times_are_utc_with_milliseconds() -> None:
    said = record("a")
    lines = TextLines()
    for created, text in (
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.9999, "1970-01-01T00:00:00.999Z"),
        (1795435200.001, "2026-11-23T12:00:00.001Z"),
        (-0.5, "1969-12-31T23:59:59.500Z"),
    ):
        said.created = created
        assert lines.format(said) == f"{text} INFO a"
