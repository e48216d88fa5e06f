"""A log record becomes an event, in two steps; pure.

1. :func:`taken` runs in the thread that logs. It makes text of everything that may change after the call
   (arguments, objects in ``extra``, the traceback), and copies the rest as it is.
2. :func:`event_of` runs later, in the thread that stores. It always makes a valid event: a text that is too
   long is cut, and ends with a mark that says how long it was; what UTF-8 cannot hold is escaped.
3. The names in ``Event.extra`` are those of OpenTelemetry's semantic conventions, and of the Elastic Common
   Schema for ``log.level`` and ``log.logger``. An attribute that the program gives has its own name, and
   precedes one of ours with that name.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from hashlib import blake2b
from itertools import chain
from types import TracebackType
from typing import Any, NamedTuple

from yamcs_archive.event import Event, Severity
from yamcs_archive.limits import (
    ATTACHED_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)

Naming = Callable[[logging.LogRecord], str | None]
"""Gives a record's source, or its type."""

TYPE_BYTES_MAX = 1_000
"""Longest type that is made of a record, in UTF-8 bytes: names of functions are shorter."""
_EXTRA_BYTES_MAX = ATTACHED_BYTES_MAX - 2 * TYPE_BYTES_MAX
_VALUE_BYTES_MIN = 200
"""Room below which an attribute is left out: less of it would say nothing."""
_OMITTED_BYTES = 100
"""Room that is kept for the number of attributes left out."""
_ITEM_BYTES = 700
"""Memory of a record that waits, in bytes beside its texts."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Names of the attributes that all records have, or get from formatters."""
_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
_PLAIN = frozenset({int, float, bool, type(None)})
_exceptions = logging.Formatter()

ExcInfo = tuple[type[BaseException] | None, BaseException | None, TracebackType | None]


class Taken(NamedTuple):
    """What is taken from a record: values that cannot change, and that JSON can hold."""

    message: str
    source: str
    type: str | None
    created: float
    """Seconds since 1970."""
    level: int
    level_name: str
    logger: str
    file: str | None = None
    line: int | None = None
    process: int | None = None
    thread: str | None = None
    task: str | None = None
    attributes: dict[str, Any] | None = None
    """What the program gave as ``extra``: text, numbers, bools and None."""
    exception: tuple[str, str, str] | None = None
    """Class, text and traceback."""
    stack: str | None = None


def taken(
    record: logging.LogRecord,
    message: str,
    source: str,
    kind: str | None,
    formatter: logging.Formatter | None,
) -> tuple[tuple[Any, ...], int]:
    """Return the values of a :class:`Taken`, as a plain tuple, which is faster; and about its bytes."""
    size = len(message) + _ITEM_BYTES
    values = record.__dict__
    attributes = None
    if len(values) > _STANDARD_COUNT:
        attributes = _attributes(values)
        size += sum(map(_size, attributes.values()))
    exception = None
    if record.exc_info or record.exc_text:
        exception = _exception(record, formatter or _exceptions)
        size += sum(map(len, exception or ()))
    stack = record.stack_info
    if stack is not None:
        size += len(stack)
    return (
        message,
        source,
        kind,
        record.created,
        record.levelno,
        record.levelname,
        record.name,
        record.pathname,
        record.lineno,
        record.process,
        record.threadName,
        values.get("taskName"),
        attributes,
        exception,
        stack,
    ), size


def _attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        if name in _STANDARD:
            continue
        if name == "extra" and isinstance(value, dict):  # loguru's, or one that was given twice
            for inner, one in value.items():
                found[str(inner)] = _unchanging(one)
        else:
            found[name] = _unchanging(value)
    return found


def _unchanging(value: object) -> object:
    kind = type(value)
    return value if kind is str or kind in _PLAIN else text_of(value)


def text_of(value: object) -> str:
    """Return a value as text: JSON for what has parts, else as ``str`` writes it.

    >>> text_of(3), text_of({"a": [1, None]}), text_of(b"x")
    ('3', '{"a": [1, null]}', "b'x'")
    """
    try:
        if isinstance(value, dict | list | tuple):
            return json.dumps(value, ensure_ascii=False, default=str)
        return str(value)
    except Exception:  # a class of the program may raise anything, and a circle is an error too
        return _repr(value)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


def _size(value: object) -> int:
    return len(value) + 100 if type(value) is str else 100


def _exception(record: logging.LogRecord, formatter: logging.Formatter) -> tuple[str, str, str] | None:
    info: Any = record.exc_info
    if not (isinstance(info, tuple) and info[0] is not None):
        text = (record.exc_text or "").strip()  # all that is left after a QueueHandler, for instance
        return ("", "", text) if text else None
    kind = f"{info[0].__module__}.{info[0].__qualname__}".removeprefix("builtins.")
    return kind, text_of(info[1]), formatter.formatException(info)


class EventMaker:
    """Makes events of what was taken from records."""

    def __init__(self, severities: Mapping[int, Severity], host: str) -> None:
        """``severities`` has the least level of each; ``host`` is the name of this machine."""
        self._steps = sorted(severities.items(), reverse=True)
        self._severity: dict[int, Severity] = {}
        self._host = host

    def severity(self, level: int) -> Severity:
        """Return the severity of a level: that of the greatest configured level that is not above it."""
        for least, severity in self._steps:
            if level >= least:
                return severity
        return Severity.INFO

    def event_of(self, one: Taken) -> Event:
        """Return the event, without a number; what has fields of strange types is kept as text."""
        try:
            return self._event_of(one)
        except Exception as error:
            texts = [text_of(value) for value in one]
            extra = dict(zip(Taken._fields[1:], texts[1:], strict=True)) | {"log.fault": text_of(error)}
            return Event(cut(texts[0], MESSAGE_BYTES_MAX), extra=bounded(extra))

    def _event_of(self, one: Taken) -> Event:
        if (severity := self._severity.get(one.level)) is None:
            severity = self.severity(one.level)
            if len(self._severity) < 1_000:
                self._severity[one.level] = severity
        ours: dict[str, str] = {}
        source = shortened(one.source, SOURCE_BYTES_MAX)
        if source != one.logger:
            ours["log.logger"] = one.logger
        if one.source not in (source, one.logger):
            ours["log.source"] = one.source
        ours["log.level"] = one.level_name
        if one.file is not None:
            ours["code.file.path"] = one.file
            ours["code.line.number"] = str(one.line)
        if one.process is not None:
            ours["process.pid"] = str(one.process)
        if one.thread is not None:
            ours["thread.name"] = one.thread
        if one.task is not None:
            ours["asyncio.task"] = one.task
        if self._host:
            ours["host.name"] = self._host
        if one.exception is not None:
            kind, text, trace = one.exception
            ours |= {"exception.type": kind, "exception.message": text} if kind else {}
            ours["exception.stacktrace"] = trace
        if one.stack:
            ours["code.stacktrace"] = one.stack
        extra = ours
        if one.attributes:
            extra = {
                name: value if type(value) is str else str(value) for name, value in one.attributes.items()
            }
            for name, text in ours.items():
                extra.setdefault(name, text)
        return Event(
            message=cut(one.message, MESSAGE_BYTES_MAX),
            source=source,
            severity=severity,
            type=None if one.type is None else cut(one.type, TYPE_BYTES_MAX).replace("\0", "\\0"),
            generation_time=_time_us(one.created),
            extra=bounded(extra),
        )


def _time_us(seconds: float) -> int | None:
    """Return microseconds since 1970; None, for the archive's clock, for what is no time."""
    try:
        time_us = round(seconds * 1_000_000)
    except (OverflowError, TypeError, ValueError):
        return None
    return time_us if TIME_MIN_US <= time_us <= TIME_MAX_US else None


def cut(text: str, bytes_max: int) -> str:
    """Return a text that UTF-8 can hold, of that many bytes at most; one that was cut ends with a mark.

    >>> cut("abc", 5), cut("a" * 100, 40)
    ('abc', 'aaaaaaaaaaaaaaaaaaaa… (cut: 100 bytes)')
    >>> cut("\\ud800", 100)
    '\\\\ud800'
    """
    if len(text) <= bytes_max and text.isascii():
        return text
    data = text.encode(errors="backslashreplace")
    if len(data) <= bytes_max:
        return data.decode()
    mark = f"… (cut: {len(data)} bytes)"
    return data[: bytes_max - len(mark.encode())].decode(errors="ignore") + mark


def shortened(name: str, bytes_max: int) -> str:
    """Return a name that a source can have; one that was cut ends with a hash, so that it is still its own.

    >>> shortened("AOCS", 255), shortened("a" * 300, 40)
    ('AOCS', 'aaaaaaaaaaaaaaaaaaaaa…8b397aa4c75429a2')
    """
    if len(name) <= bytes_max and name.isascii() and "\0" not in name:
        return name
    data = name.replace("\0", "\\0").encode(errors="backslashreplace")
    if len(data) <= bytes_max:
        return data.decode()
    mark = "…" + blake2b(data, digest_size=8).hexdigest()
    return data[: bytes_max - len(mark.encode())].decode(errors="ignore") + mark


def bounded(extra: dict[str, str]) -> dict[str, str]:
    """Return the pairs as an event can have them, together within the limit; the first ones come first.

    >>> bounded({"a": "b"})
    {'a': 'b'}
    >>> found = bounded({"big": "x" * 300_000, "code.line.number": "12"})
    >>> found["big"][-21:], found["code.line.number"]
    ('… (cut: 300000 bytes)', '12')
    """
    try:
        joined = "".join(chain(extra, extra.values()))
    except TypeError:  # not all of them are text
        extra = {text_of(name): text_of(value) for name, value in extra.items()}
        joined = "".join(chain(extra, extra.values()))
    if joined.isascii() and len(joined) <= _EXTRA_BYTES_MAX:
        return extra
    found: dict[str, str] = {}
    left = _EXTRA_BYTES_MAX - _OMITTED_BYTES
    # Long texts share what the short ones leave.
    most = left
    room = left - sum(len(cut(name, _VALUE_BYTES_MIN).encode()) for name in extra)
    lengths = sorted(len(text.encode(errors="backslashreplace")) for text in extra.values())
    for longer, length in zip(range(len(lengths), 0, -1), lengths, strict=True):
        if length > (share := room // longer):
            most = max(share, _VALUE_BYTES_MIN)
            break
        room -= length
    omitted = 0
    for name, text in extra.items():
        short, value = cut(name, _VALUE_BYTES_MIN), cut(text, most)
        size = len(short.encode()) + len(value.encode())
        if size > left or short in found:
            omitted += 1
            continue
        found[short] = value
        left -= size
    if omitted:
        found["log.omitted"] = f"{omitted} attributes, for which there was no room"
    return found
