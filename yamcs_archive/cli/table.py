"""The table of ``events log``. The first rows decide the widths of its columns. Pure: values to text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from yamcs_archive.cli.printable import printable

COLUMNS = ("SEVERITY", "TIME", "MESSAGE", "SOURCE", "TYPE")
_MEASURED_ROWS_MAX = 1_000
_MEASURED_CHARACTERS_MAX = 1 << 20
"""Rows, and their characters, that decide the widths; later rows are printed as they are read."""
_WIDTHS_FOLLOWING = (8, 27, 60, 12, 4)
"""Least widths of the columns if more rows follow later; a time in UTC fits its column."""
_WIDTH_LOCAL_TIME = 32
_WIDTH_MAX = 120
"""Largest width of a column, in characters; a longer cell is shown whole, and moves the cells after it."""


def table(
    events: Iterator[Mapping[str, Any]],
    *,
    local: bool,
    following: Iterator[Mapping[str, Any]] | None = None,
) -> Iterator[str]:
    """Yield the lines of a table, the header first. A field that an event does not have is shown as ``-``.

    The events of ``following`` come later, one by one, and do not change the widths.

    >>> event = {"severity": "INFO", "generationTime": "1970-01-01T00:00:00Z", "message": "a", "source": "S"}
    >>> for line in table(iter([event]), local=False):
    ...     print(line)
    SEVERITY  TIME                  MESSAGE  SOURCE  TYPE
    INFO      1970-01-01T00:00:00Z  a        S       -
    """
    rows: Iterator[tuple[str, ...]] = (_row(event, local=local) for event in events)
    first: list[tuple[str, ...]] = [COLUMNS]
    characters = 0
    for row in rows:
        first.append(row)
        characters += sum(map(len, row))
        if len(first) > _MEASURED_ROWS_MAX or characters > _MEASURED_CHARACTERS_MAX:
            break
    widths = [min(_WIDTH_MAX, max(map(len, column))) for column in zip(*first, strict=True)]
    if following is not None:
        widths = [max(pair) for pair in zip(widths, _WIDTHS_FOLLOWING, strict=True)]
        if local:
            widths[COLUMNS.index("TIME")] = max(widths[COLUMNS.index("TIME")], _WIDTH_LOCAL_TIME)
        rows = chain(rows, (_row(event, local=local) for event in following))
    for row in chain(first, rows):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _row(event: Mapping[str, Any], *, local: bool) -> tuple[str, str, str, str, str]:
    return (
        event["severity"],
        _local(event["generationTime"]) if local else event["generationTime"],
        printable(event["message"]) or "-",
        printable(event["source"]) or "-",
        printable(event.get("type", "")) or "-",
    )


def _local(time: str) -> str:
    try:
        return str(datetime.fromisoformat(time).astimezone())
    except (OverflowError, ValueError):  # within a day of the years 0001 and 9999 there is no local time
        return time
