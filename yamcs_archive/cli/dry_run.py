"""``events import --dry-run``: the first ten events of a file as they would be stored."""

from __future__ import annotations

from collections.abc import Iterator

from yamcs_archive.cli.table import table
from yamcs_archive.event import Event
from yamcs_archive.importers.file import EventFile
from yamcs_archive.importers.yamcs import Imported
from yamcs_archive.printable import printable

_SHOWN = 10


def preview(file: EventFile, done: Imported) -> Iterator[str]:
    """Yield the lines that show the events, then read on to the end; count in ``done`` what the file has."""
    first: list[Event] = []
    for part in file.parts():
        done.read += part.size
        if len(first) < _SHOWN:
            first += part.cut(0, _SHOWN - len(first)).events()
            if len(first) == _SHOWN:
                yield from _shown(first)
    if len(first) < _SHOWN:
        yield from _shown(first)


def _shown(events: list[Event]) -> Iterator[str]:
    if not events:
        return
    heading, *rows = table(iter(events), local=False)
    yield heading
    for row, event in zip(rows, events, strict=True):
        yield row
        yield _beside(event)


def _beside(event: Event) -> str:
    """Return what the table does not show of an event."""
    shown = [f"number={event.seq_number}"]
    shown += [f"{printable(name)}={_quoted(printable(value))}" for name, value in event.extra.items()]
    return "    " + " ".join(shown)


def _quoted(value: str) -> str:
    return value if value and " " not in value and "'" not in value else f"'{value}'"
