"""Events of F Prime: ``event.log`` of the GDS, what ``fprime-cli events`` prints, and the console of the
target.

1. The GDS writes a time as text in the zone of its machine, without the zone. Where it also writes the raw
   time, in seconds since 1970, that is taken: it is exact.
2. The component is the source, and the event's name the type. ``id``, ``severity`` and the time base are in
   ``extra``.
3. A clock that was not set (``TB_NONE``, ``TB_PROC_TIME``) counts from the start of the target. Its events
   are stored as of 1970, as the GDS shows them, with ``time_base``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from yamcs_archive.event import Event
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.importers.logs import severities
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.json_values import object_of, text_of
from yamcs_archive.importers.logs.lines import records_of_lines
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.time_format import iso

_TIME = r"(?P<time>\d{4}-\d\d-\d\d[T ][\d:.]+(?:Z|[+-]\d\d:?\d\d)?|\w+: \d{1,10}\.\d{6}s, context=\d+)"
_RAW = r"\((?P<base>\w+)\((?P<context>\d+)\)-(?P<seconds>\d{1,10}):(?P<micros>\d{1,6})\)"
_NAME = r"(?P<name>[\w.]+)"
_SEVERITY = r"(?:[\w.]*\.)?(?P<severity>[A-Z_]+)"
_FORMS = tuple(
    re.compile(text, re.ASCII | re.DOTALL)
    for text in (
        f"{_TIME},{_RAW},{_NAME},(?P<id>\\d+),{_SEVERITY},(?P<text>.*)",
        f"{_TIME}: {_NAME} \\((?P<id>\\d+)\\) {_RAW} {_SEVERITY} : (?P<text>.*)",
        f"{_TIME},{_NAME},{_SEVERITY},(?P<text>.*)",
        f"{_TIME}: {_NAME} {_SEVERITY} : (?P<text>.*)",
    )
)
_CONSOLE = re.compile(
    r"EVENT: \((?P<id>\d+)\) \((?P<base>\d+):(?P<seconds>\d{1,10}),(?P<micros>\d{1,6})\) "
    r"(?P<severity>[A-Z_]+): (?:\((?P<component>[^)]*)\) (?P<name>\w+) ?: )?(?P<text>.*)",
    re.ASCII | re.DOTALL,
)
_UNSET = re.compile(
    r"(?P<base>\w+): (?P<seconds>\d{1,10})\.(?P<micros>\d{6})s, context=(?P<context>\d+)", re.ASCII
)
_HEADINGS = ("Time,Name,", "Time,Raw Time,Name,")
_CONSOLE_SOURCE = "FSW"
"""The source of a line of the console that names no component."""


class FPrime:
    """The form of such events."""

    unit = "line"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._forms = list(_FORMS)

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the lines."""
        return records_of_lines(chunks)

    def event(self, text: str) -> Event | None:
        """Return the event of a line.

        >>> from yamcs_archive.importers.logs.clock import Zone
        >>> form = FPrime(Clock(Zone.named("UTC")))
        >>> event = form.event("EVENT: (1280) (2:5,250) COMMAND: (cmdDisp) OpCodeDispatched : Opcode 0x1")
        >>> event.source, event.type, event.generation_time, event.message
        ('cmdDisp', 'OpCodeDispatched', 5000250, 'Opcode 0x1')
        """
        if text[0] == "{":
            return self._of_object(object_of(text))
        if text.startswith(_HEADINGS):
            return None
        for nth, form in enumerate(self._forms):
            if found := form.fullmatch(text):
                if nth:  # a file has one form: try it first
                    self._forms.insert(0, self._forms.pop(nth))
                return self._logged(found.groupdict())
        if found := _CONSOLE.fullmatch(text):
            part = found.groupdict()
            return self._event(part, part["component"] or _CONSOLE_SOURCE, part["name"], self._raw(part))
        raise Unfit("is not an event of F Prime")

    def _logged(self, part: dict[str, str]) -> Event:
        component, _, name = part["name"].rpartition(".")
        if part.get("seconds"):
            return self._event(part, component, name, self._raw(part))
        if unset := _UNSET.fullmatch(part["time"]):
            return self._event({**part, **unset.groupdict()}, component, name, self._raw(unset.groupdict()))
        return self._event(part, component, name, iso(part["time"], self._clock))

    def _raw(self, part: dict[str, str]) -> int:
        return self._clock.instant(int(part["seconds"]) * 1_000_000 + int(part["micros"]))

    @staticmethod
    def _event(part: dict[str, str], source: str, name: str | None, time: int) -> Event:
        severity = severities.FPRIME.get(part["severity"])
        if severity is None:
            raise Unfit(f"its severity {part['severity'][:40]!r} is none of F Prime's")
        extra = {"severity": part["severity"]}
        if part.get("id"):
            extra["id"] = part["id"]
        if part.get("base"):
            context = part.get("context")
            extra["time_base"] = part["base"] + (f"({context})" if context else "")
        return Event(part["text"], source, severity, name, time, extra=extra)

    def _of_object(self, fields: dict[str, Any]) -> Event:
        """Return the event of a line of ``fprime-cli events --json``."""
        try:
            part = {name: str(fields[name]) for name in ("time", "name", "severity")}
        except KeyError as error:
            raise Unfit(f"has no {error.args[0]}") from None
        part["severity"] = part["severity"].rpartition(".")[2]
        part["text"] = text_of(fields.get("display_text", ""))
        part["id"] = text_of(fields.get("id", ""))
        if raw := re.fullmatch(_RAW, str(fields.get("raw_time", "")), re.ASCII):
            part |= raw.groupdict()
        event = self._logged(part)
        if fields.get("args"):
            event.extra["args"] = text_of(fields["args"])
        return event


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log."""
    return opened(source, options, lambda clock, _: FPrime(clock))
