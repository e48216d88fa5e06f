"""Records of the log as lines: text, or JSON. Pure: no streams, no files.

1. A record cannot forge another one. In text, control characters and all others that are not printable are
   escaped, and the lines of a traceback begin with a mark that no record begins with. In JSON a record is one
   line of ASCII.
2. A line has a bounded length, because what clients send can be long.
3. A record that cannot be formatted becomes a line that says so.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

LINE_CHARACTERS_MAX = 8192
"""Longest line, in characters; of a longer one the beginning is kept."""
TRACEBACK_LINES_MAX = 200
"""Number of lines of a traceback; of a longer one the end is kept, because it names the error."""
FIELDS = "fields"
"""The attribute of a record that has more fields for JSON: a dictionary."""
_MARK = "  | "
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
"""The priorities of syslog, which journald reads from the beginning of a line."""
_DEBUG = 7


def printable(text: str) -> str:
    r"""Return ``text`` with everything escaped that is not printable.

    >>> printable("a\nb\x1b[31m \u202e é")
    'a\\nb\\x1b[31m \\u202e é'
    """
    if not text.isprintable():
        text = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
    return text


def _cut(text: str) -> str:
    if len(text) <= LINE_CHARACTERS_MAX:
        return text
    return f"{text[:LINE_CHARACTERS_MAX]}… ({len(text)} characters)"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:
        return f"a message of the log that cannot be formatted: {record.msg!r:.200}: {error!r:.200}"


def _traceback(record: logging.LogRecord) -> list[str]:
    parts = []
    if record.exc_info and record.exc_info[0] is not None:
        try:
            parts.append(logging.Formatter().formatException(record.exc_info))
        except Exception as error:  # an exception whose text cannot be made
            parts.append(f"{record.exc_info[0].__name__}, of which there is no traceback: {error!r:.200}")
    if record.stack_info:
        parts.append(record.stack_info)
    lines = "\n".join(parts).split("\n") if parts else []
    if len(lines) > TRACEBACK_LINES_MAX:
        left_out = len(lines) - TRACEBACK_LINES_MAX
        lines = [f"({left_out} lines are left out)", *lines[-TRACEBACK_LINES_MAX:]]
    return lines


class _Clock:
    """Formats times in UTC, with milliseconds; the seconds are formatted once."""

    def __init__(self) -> None:
        self._last = (-1, "")

    def text(self, created: float) -> str:
        milliseconds = int(created * 1000)
        second, rest = divmod(milliseconds, 1000)
        last = self._last  # taken once: other threads replace it
        if last[0] != second:
            self._last = last = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
        return f"{last[1]}.{rest:03}Z"


class TextLines(logging.Formatter):
    """``2026-11-30T12:00:00.000Z WARNING message``, and a traceback below.

    >>> record = logging.makeLogRecord({"msg": "a\\nb", "created": 0, "levelname": "INFO", "levelno": 20})
    >>> TextLines().format(record)
    '1970-01-01T00:00:00.000Z INFO a\\\\nb'
    """

    def __init__(self) -> None:
        super().__init__()
        self._clock = _Clock()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as lines, without the last line feed."""
        head = f"{self._clock.text(record.created)} {record.levelname} {printable(_cut(_message(record)))}"
        return "\n".join([head, *(f"{_MARK}{printable(_cut(line))}" for line in _traceback(record))])


class JsonLines(logging.Formatter):
    """``{"time": …, "level": …, "logger": …, "message": …}``, with ``traceback`` and what else a record has.

    >>> record = logging.makeLogRecord({"msg": "é", "created": 0, "levelname": "INFO", "name": "a"})
    >>> JsonLines().format(record)
    '{"time": "1970-01-01T00:00:00.000Z", "level": "INFO", "logger": "a", "message": "\\\\u00e9"}'
    """

    def __init__(self) -> None:
        super().__init__()
        self._clock = _Clock()

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, without the line feed."""
        fields: dict[str, Any] = {
            "time": self._clock.text(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _cut(_message(record)),
        }
        if traceback := _traceback(record):
            fields["traceback"] = "\n".join(map(_cut, traceback))
        fields |= getattr(record, FIELDS, {})
        return json.dumps(fields, ensure_ascii=True).replace("\x7f", "\\u007f")


class JournalLines(logging.Formatter):
    """Lines for journald: each begins with its priority. The journal has the time and the level itself.

    >>> record = logging.makeLogRecord({"msg": "full", "levelno": logging.WARNING})
    >>> JournalLines().format(record)
    '<4>full'
    """

    def __init__(self, inner: logging.Formatter | None = None) -> None:
        """``inner`` makes the lines; None: the message, and a traceback below."""
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as lines, without the last line feed."""
        if self._inner is not None:
            lines = self._inner.format(record).split("\n")
        else:
            lines = [printable(_cut(_message(record)))]
            lines += [f"{_MARK}{printable(_cut(line))}" for line in _traceback(record)]
        priority = next((priority for level, priority in _PRIORITIES if record.levelno >= level), _DEBUG)
        return "\n".join(f"<{priority}>{line}" for line in lines)
