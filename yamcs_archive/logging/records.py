"""A log record becomes an event, in two steps; pure.

1. :func:`taken` runs in the thread that logs. It makes text of everything that may change after the call
   (arguments, objects in ``extra``, the traceback), and copies the rest as it is.
2. :class:`EventMaker` works later, in the thread that stores. It always makes a valid event, of texts that
   are made to fit (:mod:`~yamcs_archive.fitting`).
3. The names in ``Event.extra`` are those of OpenTelemetry's semantic conventions, and of the Elastic Common
   Schema for ``log.level`` and ``log.logger``. An attribute that the program gives has its own name, and
   precedes one of ours with that name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from yamcs_archive.event import Event, Severity
from yamcs_archive.fitting import TYPE_BYTES_MAX, bounded, cut, shortened, text_of
from yamcs_archive.limits import MESSAGE_BYTES_MAX, TIME_MAX_US, TIME_MIN_US

Naming = Callable[[logging.LogRecord], str | None]
"""Gives a record's source, or its type."""

_ITEM_BYTES = 700
"""Memory of a record that waits, in bytes beside its texts."""
_LINES_MAX = 10_000
"""Number of lines of programs of which is kept what their events have in common."""
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Names of the attributes that all records have, or get from formatters."""
_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
_INT_BITS_MAX = 1_000
"""Larger numbers are made text at once: Python refuses to write those of some thousand digits."""
_PLAIN = frozenset({int, float, bool, type(None)})
_exceptions = logging.Formatter()


class Taken(NamedTuple):
    """What is taken from a record: values that cannot change, and that JSON can hold.

    The fields from ``source`` on are the same for all records of one line of a program, most often.
    """

    message: str
    created: float
    """Seconds since 1970."""
    attributes: dict[str, Any] | None
    """What the program gave as ``extra``: text, numbers, bools and None."""
    exception: tuple[str, str, str] | None
    """Class, text and traceback."""
    stack: str | None
    task: str | None
    source: str
    type: str | None
    level: int
    level_name: str
    logger: str
    file: str | None = None
    line: int | None = None
    process: int | None = None
    thread: str | None = None


_LINE = slice(Taken._fields.index("source"), None)


class _Line(NamedTuple):
    """What is the same in the events of one line of a program."""

    source: str
    severity: Severity
    type: str | None
    extra: dict[str, str]


def taken(
    record: logging.LogRecord,
    message: str,
    source: str,
    kind: str | None,
    formatter: logging.Formatter | None,
) -> tuple[tuple[Any, ...], int]:
    """Return the values of a :class:`Taken`, as a plain tuple, which is faster; and about its bytes."""
    # The attributes come before the dict: CPython makes a dict of an object only when it is asked for, and
    # then it takes longer to read the attributes.
    line = (
        source,
        kind,
        record.levelno,
        record.levelname,
        record.name,
        record.pathname,
        record.lineno,
        record.process,
        record.threadName,
    )
    created, stack, info, text = record.created, record.stack_info, record.exc_info, record.exc_text
    values = record.__dict__
    size = len(message) + _ITEM_BYTES
    attributes = exception = None
    if len(values) > _STANDARD_COUNT:
        attributes = _attributes(values)
        size += sum(map(_size, attributes.values()))
    if info or text:
        exception = _exception(info, text, formatter or _exceptions)
        size += sum(map(len, exception or ()))
    if stack:
        size += len(stack)
    return (message, created, attributes, exception, stack, values.get("taskName"), *line), size


def _attributes(values: Mapping[str, Any]) -> dict[str, Any]:
    found = {}
    for name, value in values.items():
        if name in _STANDARD:
            continue
        if name == "extra" and isinstance(value, dict):  # loguru's, or one that was given twice
            for inner, one in value.items():
                found[str(inner)] = _unchanging(one)
        else:
            found[name if type(name) is str else text_of(name)] = _unchanging(value)
    return found


def _unchanging(value: object) -> object:
    kind = type(value)
    if kind is int and value.bit_length() > _INT_BITS_MAX:  # type: ignore[attr-defined]  # it is an int
        return text_of(value)
    return value if kind is str or kind in _PLAIN else text_of(value)


def _size(value: object) -> int:
    return len(value) + 100 if type(value) is str else 100


def _exception(info: Any, text: str | None, formatter: logging.Formatter) -> tuple[str, str, str] | None:
    if not (isinstance(info, tuple) and info[0] is not None):
        found = (text or "").strip()  # all that is left after a QueueHandler, for instance
        return ("", "", found) if found else None
    kind = f"{info[0].__module__}.{info[0].__qualname__}".removeprefix("builtins.")
    return kind, text_of(info[1]), formatter.formatException(info)


def _no_number(_source: str) -> None:
    """Leave the number to the archive."""


class EventMaker:
    """Makes events of what was taken from records."""

    def __init__(self, severities: Mapping[int, Severity], host: str) -> None:
        """``severities`` has the least level of each; ``host`` is the name of this machine."""
        self._steps = sorted(severities.items(), reverse=True)
        self._host = host
        self._lines: dict[tuple[Any, ...], _Line] = {}

    def severity(self, level: int) -> Severity:
        """Return the severity of a level: that of the greatest configured level that is not above it."""
        for least, severity in self._steps:
            if level >= least:
                return severity
        return Severity.INFO

    def event_of(self, values: tuple[Any, ...], number: Callable[[str], int | None] = _no_number) -> Event:
        """Return the event of a :class:`Taken`; ``number`` gives that of the next event of a source.

        What has fields of strange types is kept as text.
        """
        try:
            return self._event_of(values, number)
        except Exception as error:
            texts = [text_of(value) for value in values]
            extra = dict(zip(Taken._fields[1:], texts[1:], strict=True)) | {"log.fault": text_of(error)}
            return Event(cut(texts[0], MESSAGE_BYTES_MAX), extra=bounded(extra))

    def _event_of(self, values: tuple[Any, ...], number: Callable[[str], int | None]) -> Event:
        line = self._lines.get(values[_LINE])
        if line is None:
            line = self._line_of(Taken._make(values))
        message, created, attributes, exception, stack, task = values[: _LINE.start]
        extra = line.extra
        if attributes or exception is not None or stack or task is not None:
            extra = bounded(_whole(extra, attributes, exception, stack, task))
        return Event(
            cut(message, MESSAGE_BYTES_MAX),
            line.source,
            line.severity,
            line.type,
            _time_us(created),
            number(line.source),
            extra=extra,
        )

    def _line_of(self, one: Taken) -> _Line:
        """Return what all events of a line have, and keep it for the next one."""
        source = shortened(one.source)
        extra: dict[str, Any] = {}
        if source != one.logger:
            extra["log.logger"] = one.logger
        if one.source not in (source, one.logger):
            extra["log.source"] = one.source
        extra["log.level"] = one.level_name
        if one.file is not None:
            extra["code.file.path"] = one.file
            extra["code.line.number"] = str(one.line)
        if one.process is not None:
            extra["process.pid"] = str(one.process)
        if one.thread is not None:
            extra["thread.name"] = one.thread
        if self._host:
            extra["host.name"] = self._host
        kind = None if one.type is None else cut(one.type, TYPE_BYTES_MAX).replace("\0", "\\0")
        line = _Line(source, self.severity(one.level), kind, bounded(extra))
        if len(self._lines) >= _LINES_MAX:
            self._lines.clear()
        self._lines[tuple(one)[_LINE]] = line
        return line


def _whole(
    of_line: dict[str, str],
    attributes: dict[str, Any] | None,
    exception: tuple[str, str, str] | None,
    stack: str | None,
    task: str | None,
) -> dict[str, str]:
    """Return what belongs to one record alone, and what belongs to its line."""
    extra = {name: value if type(value) is str else str(value) for name, value in (attributes or {}).items()}
    if task is not None:
        extra.setdefault("asyncio.task", task)
    if exception is not None:
        kind, text, trace = exception
        if kind:
            extra.setdefault("exception.type", kind)
            extra.setdefault("exception.message", text)
        extra.setdefault("exception.stacktrace", trace)
    if stack:
        extra.setdefault("code.stacktrace", stack)
    return extra | {name: text for name, text in of_line.items() if name not in extra}


def _time_us(seconds: float) -> int | None:
    """Return microseconds since 1970; None, for the archive's clock, for what is no time."""
    try:
        time_us = round(seconds * 1_000_000)
    except (OverflowError, TypeError, ValueError):
        return None
    return time_us if TIME_MIN_US <= time_us <= TIME_MAX_US else None
