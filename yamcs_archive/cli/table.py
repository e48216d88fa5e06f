"""The table of ``events log``. The first rows decide the widths of its columns. Pure: events to lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from yamcs_archive.cli.colours import painted
from yamcs_archive.cli.log_columns import TABLE, TIMES, text
from yamcs_archive.event import Event
from yamcs_archive.printable import printable

_MEASURED_ROWS_MAX = 1_000
_MEASURED_CHARACTERS_MAX = 1 << 20
"""Rows, and their characters, that decide the widths; later rows are printed as they are read."""
_WIDTHS_FOLLOWING = {"severity": 8, "message": 60, "source": 12, "type": 4}
"""Least widths of columns if more rows follow later."""
_WIDTH_TIME, _WIDTH_LOCAL_TIME = 27, 32
_WIDTH_MAX = 120
"""Largest width of a column, in characters; a longer cell is shown whole, and moves the cells after it."""

Row = tuple[str, ...]


def table(
    events: Iterator[Event],
    *,
    local: bool = False,
    columns: Sequence[str] = TABLE,
    colours: Mapping[str, str] | None = None,
    following: Iterator[Event] | None = None,
) -> Iterator[str]:
    """Yield the lines of a table, the header first. A field that an event does not have is shown as ``-``.

    The events of ``following`` come later, one by one, and do not change the widths. ``colours`` has the
    attributes of severities (:mod:`~yamcs_archive.cli.colours`).

    >>> event = Event("a", source="S", generation_time=0, seq_number=0)
    >>> for line in table(iter([event])):
    ...     print(line)
    SEVERITY  TIME                  MESSAGE  SOURCE  TYPE
    INFO      1970-01-01T00:00:00Z  a        S       -
    """
    rows: Iterator[Row] = (_row(event, columns, local=local) for event in events)
    first: list[Row] = [tuple(name.upper().replace("_", " ") for name in columns)]
    characters = 0
    for row in rows:
        first.append(row)
        characters += sum(map(len, row))
        if len(first) > _MEASURED_ROWS_MAX or characters > _MEASURED_CHARACTERS_MAX:
            break
    widths = [min(_WIDTH_MAX, max(map(len, column))) for column in zip(*first, strict=True)]
    if following is not None:
        widths = [max(pair) for pair in zip(widths, _least(columns, local=local), strict=True)]
        rows = chain(rows, (_row(event, columns, local=local) for event in following))
    for row in chain(first, rows):
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        if colours:
            _paint(cells, row, columns, colours)
        yield "  ".join(cells).rstrip()


def _row(event: Event, columns: Sequence[str], *, local: bool) -> Row:
    return tuple(printable(text(event, column, local=local) or "") or "-" for column in columns)


def _least(columns: Sequence[str], *, local: bool) -> list[int]:
    time = _WIDTH_LOCAL_TIME if local else _WIDTH_TIME
    return [time if column in TIMES else _WIDTHS_FOLLOWING.get(column, 0) for column in columns]


def _paint(cells: list[str], row: Row, columns: Sequence[str], colours: Mapping[str, str]) -> None:
    """Give the severity its colour: only the word, not the blanks after it."""
    for at, column in enumerate(columns):
        if column == "severity":
            word = row[at]
            cells[at] = painted(word, colours.get(word, "")) + cells[at][len(word) :]
