"""The CSV that a Yamcs server exports: ``:exportEvents``, and its web page. Read by its heading.

1. The heading names the columns and shows the delimiter: tab, comma or semicolon. Source, time and text are
   needed, in any order; columns that are not known are kept in ``extra``.
2. A quoted field may hold line breaks, so a record is as many lines as it takes to close its quotes. Quotes
   inside are doubled; a quote inside a field that is not quoted is a character like others.
3. Such a file has neither severity nor number: its events are INFO, and are numbered by their content. They
   are not the events that ``events import yamcs`` stores of the same server, which has both.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from yamcs_archive.event import Event, Severity
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.lines import BLANKS, joined, records_of_rows
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.time_format import iso
from yamcs_archive.limits import BODY_BYTES_MAX

_SOURCE, _TIME, _RECEIVED, _TYPE, _TEXT = (
    "Source", "Generation Time", "Reception Time", "Event Type", "Event Text",
)  # fmt: skip
_SEVERITY, _NUMBER = "Severity", "Sequence Number"
_NEEDED = (_SOURCE, _TIME, _TEXT)
_DELIMITERS = "\t,;"
_DIGITS_MAX = 11
"""Most characters of a number: those of the least one of 32 bits."""


class YamcsCsv:
    """The form of such a file."""

    unit = "line"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._columns: list[str] | None = None
        self._delimiter = ""

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the records: lines, joined while a quote is open."""
        held: list[bytes] = []
        size = begun = 0
        for row in records_of_rows(chunks):
            odd = row.raw.count(b'"') % 2 == 1
            if not held:
                if not odd:
                    raw = row.raw.removesuffix(b"\r")
                    if raw.strip(BLANKS):
                        yield Record(row.line, raw, row.size)
                    continue
                begun = row.line
            if size <= BODY_BYTES_MAX:
                held.append(row.raw)
            size += row.size + 1
            if (odd and len(held) > 1) or size > BODY_BYTES_MAX:
                held[-1] = held[-1].removesuffix(b"\r")
                yield joined(begun, held, size - 1)
                held, size = [], 0
        if held:
            yield joined(begun, held, size - 1)

    def event(self, text: str) -> Event | None:
        """Return the event of a record; None for the heading.

        >>> from yamcs_archive.importers.logs.clock import Zone
        >>> form = YamcsCsv(Clock(Zone.named("UTC")))
        >>> form.event("Source,Generation Time,Reception Time,Event Type,Event Text")
        >>> form.event('AOCS,1970-01-01T00:00:05Z,1970-01-01T00:00:06Z,,"Wheel 3, over speed"').message
        'Wheel 3, over speed'
        """
        if self._columns is None:
            self._begin(text)
            return None
        cells = fields(text, self._delimiter)
        if len(cells) != len(self._columns):
            raise Unfit(f"has {len(cells)} fields, and the heading {len(self._columns)}")
        found = dict(zip(self._columns, cells, strict=True))
        received = found.pop(_RECEIVED, "")
        severity = found.pop(_SEVERITY, "")
        number = found.pop(_NUMBER, "")
        time = iso(found.pop(_TIME), self._clock)
        return Event(
            found.pop(_TEXT),
            found.pop(_SOURCE),
            Severity.parse(severity) if severity else Severity.INFO,
            found.pop(_TYPE, "") or None,
            time,
            _int(number) if number else None,
            iso(received, self._clock) if received else None,
            extra={name: value for name, value in found.items() if value},
        )

    def _begin(self, text: str) -> None:
        for delimiter in _DELIMITERS:
            columns = [column.strip() for column in fields(text, delimiter)]
            if all(name in columns for name in _NEEDED):
                self._columns, self._delimiter = columns, delimiter
                return
        raise Unfit(f"is no heading of a Yamcs export: it has not {', '.join(_NEEDED)}")


def _int(text: str) -> int:
    if not (text.removeprefix("-").isdigit() and text.isascii() and len(text) <= _DIGITS_MAX):
        raise Unfit(f"its number {text[:40]!r} is none")
    return int(text)


def fields(text: str, delimiter: str) -> list[str]:
    r"""Return the fields of a record. Raises Unfit for a quote that is not closed.

    >>> fields('a;"b;\"\"c";', ";")
    ['a', 'b;"c', '']
    """
    if '"' not in text:
        return text.split(delimiter)
    found: list[str] = []
    at = 0
    while True:
        if text[at : at + 1] == '"':
            cell, at = _quoted(text, at + 1)
            if at < len(text) and text[at] != delimiter:
                raise Unfit(f"has {text[at : at + 20]!r} after a closing quote")
        else:
            end = text.find(delimiter, at)
            end = len(text) if end < 0 else end
            cell, at = text[at:end], end
        found.append(cell)
        if at >= len(text):
            return found
        at += 1


def _quoted(text: str, at: int) -> tuple[str, int]:
    """Return what is up to the closing quote, and the place after it."""
    begun = at
    while True:
        end = text.find('"', at)
        if end < 0:
            raise Unfit("has a quote that is not closed")
        if text[end + 1 : end + 2] != '"':
            return text[begun:end].replace('""', '"'), end + 1
        at = end + 2


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log."""
    return opened(source, options, lambda clock, _: YamcsCsv(clock))
