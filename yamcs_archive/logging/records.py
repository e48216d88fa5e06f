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
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""Names of the attributes that all records have, or get from formatters."""
_STANDARD_COUNT = len(vars(logging.makeLogRecord({})))
_PLAIN = frozenset({int, float, bool, type(None)})
_exceptions = logging.Formatter()


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
        source = shortened(one.source)
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
