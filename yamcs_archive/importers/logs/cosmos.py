"""Text logs of COSMOS: those of OpenC3 COSMOS, lines of JSON after a time, and the messages of COSMOS 4.

1. A line of ``text_logs`` is the time in nanoseconds since 1970, a tab, and an object of JSON. The output of
   a container has the object alone. The microservice is the source, or else the container; the type is
   COSMOS' (``log``, ``notification``, ``alert``); everything else is in ``extra``.
2. Nanoseconds that an event cannot have are in ``extra`` as ``time``.
3. A line of COSMOS 4 is ``2015/01/23 13:45:12.345  INFO: message``, in the zone of its machine, perhaps with
   a detail in parentheses before the level.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from yamcs_archive.event import Event, Severity
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.importers.logs import severities
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.json_values import object_of, text_of
from yamcs_archive.importers.logs.lines import records_of_lines
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.time_format import iso

_STAMPED = re.compile(r"(?:(\d{1,19})\t)?(?=\{)", re.ASCII)
_OLD = re.compile(
    r"(?P<time>\d{4}/\d\d/\d\d \d\d:\d\d:\d\d(?:\.\d+)?(?: UTC| [+-]\d{4})?) +"
    r"(?:\((?P<detail>[^)]*)\): *)?(?P<level>[A-Z]+): ?(?P<message>.*)",
    re.ASCII | re.DOTALL,
)
_SOURCE = "COSMOS"
_MICROSERVICE, _CONTAINER = "microservice_name", "container_name"
_DIGITS_MAX = 19
"""Most digits of a time: those of the greatest number of 64 bits."""


class Cosmos:
    """The form of such lines."""

    unit = "line"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the lines."""
        return records_of_lines(chunks)

    def event(self, text: str) -> Event:
        """Return the event of a line.

        >>> from yamcs_archive.importers.logs.clock import Zone
        >>> form = Cosmos(Clock(Zone.named("UTC")))
        >>> event = form.event("1970/01/01 00:00:01.500  WARN: INST HEALTH_STATUS TEMP1 is YELLOW_HIGH")
        >>> event.severity, event.generation_time, event.message
        (<Severity.WARNING: 2>, 1500000, 'INST HEALTH_STATUS TEMP1 is YELLOW_HIGH')
        """
        if stamped := _STAMPED.match(text):
            return self._of_object(stamped[1], object_of(text[stamped.end() :]))
        found = _OLD.fullmatch(text)
        if found is None:
            raise Unfit("is not a line of a text log of COSMOS")
        extra = {"level": found["level"]}
        if found["detail"]:
            extra["detail"] = found["detail"]
        time = iso(found["time"], self._clock)
        return Event(found["message"], _SOURCE, _severity(found["level"]), None, time, extra=extra)

    def _of_object(self, stamp: str | None, fields: dict[str, Any]) -> Event:
        extra: dict[str, str] = {}
        time = self._time(stamp, fields, extra)
        level = text_of(fields.get("level") or fields.get("severity") or "INFO")
        message = fields.pop("message", None)
        if message is None:
            message = fields.pop("log", None)
        if message is None:
            raise Unfit("has no message")
        source = fields.pop(_MICROSERVICE, None) or fields.get(_CONTAINER) or _SOURCE
        kind = fields.pop("type", None)
        for name, value in fields.items():
            if value is not None:
                extra[name] = text_of(value)
        return Event(
            text_of(message),
            text_of(source),
            _severity(level),
            None if kind is None else text_of(kind),
            time,
            extra=extra,
        )

    def _time(self, stamp: str | None, fields: dict[str, Any], extra: dict[str, str]) -> int:
        """Return the time of an object, and take it out of the object."""
        found = fields.pop("time", None)
        shown = fields.pop("@timestamp", None)
        if type(found) is int or isinstance(found, str):
            stamp = text_of(found)
            if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= _DIGITS_MAX):
                raise Unfit(f"its time {stamp[:40]!r} is not a number of nanoseconds")
        if stamp is not None:
            if int(stamp) % 1000:
                extra["time"] = stamp
            return self._clock.instant(int(stamp) // 1000)
        if isinstance(shown, str):
            return iso(shown, self._clock)
        raise Unfit("has neither time nor @timestamp")


def _severity(level: str) -> Severity:
    found = severities.COSMOS.get(level.upper())
    if found is None:
        raise Unfit(f"its level {level[:40]!r} is none of COSMOS'")
    return found


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log."""
    return opened(source, options, lambda clock, _: Cosmos(clock))
