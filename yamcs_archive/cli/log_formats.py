"""The formats of ``events log``: events to lines. Pure; ``arrow``, which is bytes, is in ``arrow_stream``.

1. Without chosen columns JSON is as the API answers. With them, an object has the columns by their names,
   null where an event has no such value.
2. CSV is RFC 4180 with line feeds: an absent value is an empty field, an empty one ``""``. In TSV a backslash
   comes before backslashes, and tabs and line ends are ``\\t``, ``\\n``, ``\\r``; there both are empty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import msgspec

from yamcs_archive.cli import log_columns
from yamcs_archive.cli.table import table
from yamcs_archive.event import Event
from yamcs_archive.printable import visible
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.json import encode, shown

_NEEDS_QUOTES = (",", '"', "\n", "\r")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """How events are shown."""

    columns: Sequence[str] | None = None
    """None: those that the format shows by default."""
    local: bool = False
    """Times of tables, CSV and TSV in local time."""
    colours: Mapping[str, str] = field(default_factory=dict)
    on_terminal: bool = False
    """No control characters: a table has none anyway; what other programs read keeps them."""


Lines = Callable[[Iterator[Event], Shape, Iterator[Event] | None], Iterator[str]]
"""Makes the lines of events, and of events that follow later, one by one."""


def _table(events: Iterator[Event], shape: Shape, following: Iterator[Event] | None) -> Iterator[str]:
    return table(
        events,
        local=shape.local,
        columns=log_columns.chosen(shape.columns, log_columns.TABLE),
        colours=shape.colours,
        following=following,
    )


def _fields(event: Event, columns: Sequence[str] | None) -> dict[str, Any]:
    if columns is None:
        fields = shown(event, Form.TODAY)
        return fields | {"extra": log_columns.value(event, "extra")} if event.extra else fields
    return {column: log_columns.value(event, column) for column in columns}


def _json(events: Iterator[Event], shape: Shape, _: Iterator[Event] | None) -> Iterator[str]:
    """Yield the lines of one JSON array, indented by two spaces.

    An element is held back until it is known whether a comma follows it.
    """
    held: list[str] = []
    for event in events:
        if held:
            yield from held[:-1]
            yield held[-1] + ","
        else:
            yield "["
        held = ["  " + line for line in encode(_fields(event, shape.columns)).decode().split("\n")]
    yield from (*held, "]") if held else ("[]",)


def _jsonl(events: Iterator[Event], shape: Shape, following: Iterator[Event] | None) -> Iterator[str]:
    """Yield one line of JSON for each event."""
    for event in chain(events, following or ()):
        yield msgspec.json.encode(_fields(event, shape.columns)).decode()


def _separated(separator: str, cell: Callable[[str | None], str]) -> Lines:
    """Return what makes a line of headings, and one for each event."""

    def lines(events: Iterator[Event], shape: Shape, following: Iterator[Event] | None) -> Iterator[str]:
        columns = log_columns.chosen(shape.columns, log_columns.ALL)
        yield separator.join(map(cell, columns))
        for event in chain(events, following or ()):
            texts = (log_columns.text(event, column, local=shape.local) for column in columns)
            yield separator.join(map(cell, texts))

    return lines


def _csv_field(text: str | None) -> str:
    """Return a text as a field of CSV.

    >>> [_csv_field(text) for text in (None, "", "10%", 'a "b" c')]
    ['', '""', '10%', '"a ""b"" c"']
    """
    if text is None:
        return ""
    if text == "" or any(sign in text for sign in _NEEDS_QUOTES):
        doubled = text.replace('"', '""')
        return f'"{doubled}"'
    return text


def _tsv_field(text: str | None) -> str:
    return "" if text is None else text.translate(_ESCAPES)


FORMATS: dict[str, Lines] = {
    "table": _table,
    "json": _json,
    "jsonl": _jsonl,
    "csv": _separated(",", _csv_field),
    "tsv": _separated("\t", _tsv_field),
}
"""What makes the lines of each format."""


def lines_of(
    kind: str, events: Iterator[Event], shape: Shape, following: Iterator[Event] | None = None
) -> Iterator[str]:
    r"""Return the lines of events in a format, and of those that follow later, one by one.

    >>> event = Event("a\x9bb", generation_time=0, seq_number=0)
    >>> print(*lines_of("csv", iter([event]), Shape(columns=["time", "message"], on_terminal=True)))
    time,message 1970-01-01T00:00:00Z,a\u009bb
    """
    lines = FORMATS[kind](events, shape, following)
    return map(visible, lines) if shape.on_terminal and kind != "table" else lines
