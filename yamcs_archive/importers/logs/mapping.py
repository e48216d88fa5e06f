"""Lines of JSON of any kind, by a mapping of the user's: ``--map message=.msg severity=.level``.

1. A mapping names a field of the event and, after ``=``, where its value is: a path as ``.a.b[0]`` or
   ``."a key"``, or, without a point at its head, a text that all events have.
2. Keys of the object that are mapped as a whole are used up, but for the severity; all others are kept in
   ``extra``: texts as they are, everything else as JSON. ``extra.NAME=.path`` names one.
3. A time is read as ``--time-format`` says. Without it, text is ISO 8601, and a number says its unit by its
   digits: 10 are seconds, 13 milliseconds, 16 microseconds, 19 nanoseconds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.importers.logs import time_format
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.json_values import object_of, text_of
from yamcs_archive.importers.logs.lines import records_of_lines
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.options import LogOptions
from yamcs_archive.importers.logs.pattern import FIELDS, Reading, event_of, reading_of

Step = str | int
Path = tuple[Step, ...]

_STEP = re.compile(r'\.([^.\[\]"=]+)|\."((?:[^"\\]|\\.)*)"|\[(\d{1,9})\]', re.DOTALL)
_EXTRA = "extra."
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_UNIT_NS = {10: 1_000_000_000, 13: 1_000_000, 16: 1000, 19: 1}
"""Nanoseconds of a unit, by the digits that its number of today has."""


def by_digits(text: str, clock: Clock) -> int:
    """Return the instant of a time: ISO 8601, or a number whose digits say its unit; raise Unfit.

    >>> from yamcs_archive.importers.logs.clock import Zone
    >>> clock = Clock(Zone.named("UTC"))
    >>> by_digits("1767225600.25", clock) - by_digits("1767225600000", clock)
    250000
    """
    if not _NUMBER.fullmatch(text):
        return time_format.iso(text, clock)
    unit = _UNIT_NS.get(len(text.lstrip("-").partition(".")[0]))
    if unit is None:
        raise Unfit(f"its time {text[:40]!r} does not say its unit: give --time-format, as unix-ms")
    return time_format.unix(text, clock, unit)


def mapped(pairs: Iterable[str]) -> dict[str, Path | str]:
    """Return a mapping of what a user writes. Raises InvalidInputError for what is none.

    >>> mapped(["message=.msg", 'type=."event name".kind', "time=.t[0]", "source=EPS"])
    {'message': ('msg',), 'type': ('event name', 'kind'), 'time': ('t', 0), 'source': 'EPS'}
    """
    found: dict[str, Path | str] = {}
    for pair in pairs:
        name, equals, where = pair.partition("=")
        if not equals or not (name in FIELDS or name.startswith(_EXTRA)):
            raise InvalidInputError(
                "map", pair, f"must be FIELD=.path, and FIELD one of {', '.join(FIELDS)}, {_EXTRA}NAME"
            )
        if name in found:
            raise InvalidInputError("map", pair, "is given twice")
        found[name] = _path(pair, where) if where.startswith((".", "[")) else where
    for needed in ("time", "message"):
        if needed not in found:
            raise InvalidInputError("map", " ".join(pairs), f"must say where the {needed} is: {needed}=.path")
    return found


def _path(pair: str, where: str) -> Path:
    steps: list[Step] = []
    at = 0
    while at < len(where):
        found = _STEP.match(where, at)
        if found is None:
            raise InvalidInputError("map", pair, f'has no path at {where[at:]!r}; give .a.b[0] or ."a key"')
        plain, quoted, index = found.groups()
        steps.append(int(index) if index is not None else plain or re.sub(r"\\(.)", r"\1", quoted))
        at = found.end()
    return tuple(steps)


class MappedLines:
    """The form of such lines."""

    unit = "line"

    def __init__(self, mapping: Mapping[str, Path | str], clock: Clock, reading: Reading) -> None:
        self._clock = clock
        self._reading = reading
        fixed = {name: where for name, where in mapping.items() if isinstance(where, str)}
        self._fixed = {name: text for name, text in fixed.items() if name in FIELDS}
        self._fixed_extra = {
            name.removeprefix(_EXTRA): text for name, text in fixed.items() if name not in FIELDS
        }
        self._paths = {name: where for name, where in mapping.items() if not isinstance(where, str)}
        self._used = {
            where[0] for name, where in self._paths.items() if len(where) == 1 and name != "severity"
        }

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the lines."""
        return records_of_lines(chunks)

    def event(self, text: str) -> Event:
        """Return the event of a line.

        >>> from yamcs_archive.importers.logs.clock import Zone
        >>> reading = Reading(time=by_digits)
        >>> form = MappedLines(mapped(["message=.msg", "time=.ts"]), Clock(Zone.named("UTC")), reading)
        >>> form.event('{"msg": "ready", "ts": 1767225600, "pid": 5}').extra
        {'pid': '5'}
        """
        fields = object_of(text)
        named, extra = dict(self._fixed), dict(self._fixed_extra)
        for name, value in fields.items():
            if name not in self._used and value is not None:
                extra[name] = text_of(value)
        for name, path in self._paths.items():
            value = _at(fields, path)
            if value is None:
                continue
            if name.startswith(_EXTRA):
                extra[name.removeprefix(_EXTRA)] = text_of(value)
            else:
                named[name] = text_of(value)
        for name in ("message", "time"):
            if name not in named:
                raise Unfit(f"has no {_shown(self._paths[name])}")
        event = event_of(named, named.pop("message"), self._clock, self._reading)
        event.extra.clear()
        event.extra.update(extra)
        return event


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(step, str) and isinstance(value, dict):
            value = value.get(step)
        elif isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        else:
            return None
    return value


def _shown(path: Path) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log. Raises InvalidInputError unless the options have a mapping."""
    mapping = mapped(getattr(options, "mapping", ()))

    def make(clock: Clock, how: LogOptions) -> MappedLines:
        return MappedLines(mapping, clock, reading_of(how, by_digits))

    return opened(source, options, make)
