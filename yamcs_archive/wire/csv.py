"""Events -> CSV, byte for byte as a Yamcs server exports them, or with the columns that it leaves out; pure.

A field is quoted only if it holds the delimiter, a quote, a line feed or a carriage return; quotes are
doubled; blanks at either end of a field are cut off. Rows end with a line feed. One thing differs: that
server does not quote a carriage return, which readers of CSV take for the end of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from yamcs_archive.event import Event
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.api_generations import SHOWN_TODAY

Column = tuple[str, Callable[[Event], str]]
"""A heading, and the function that returns an event's text below it."""

DELIMITERS = {"TAB": "\t", "COMMA": ",", "SEMICOLON": ";"}
BLANKS = "".join(map(chr, range(33)))
"""The characters that are cut off at either end of a field, as by Java's trim."""

PLAIN: tuple[Column, ...] = (
    ("Source", lambda event: event.source),
    ("Generation Time", lambda event: format_rfc3339(event.generation_time or 0)),
    ("Reception Time", lambda event: format_rfc3339(event.reception_time or 0)),
    ("Event Type", lambda event: event.type or ""),
    ("Event Text", lambda event: event.message),
)
"""The columns that a Yamcs server exports."""
ALL: tuple[Column, ...] = (
    *PLAIN,
    ("Severity", lambda event: SHOWN_TODAY[event.severity]),
    ("Sequence Number", lambda event: str(event.seq_number)),
    ("Created By", lambda event: event.created_by or ""),
    ("Extra", lambda event: msgspec.json.encode(event.extra).decode() if event.extra else ""),
)
"""All fields but the extensions of a 2016 message, which are bytes."""


def lines(events: Iterable[Event], columns: tuple[Column, ...], delimiter: str) -> Iterator[bytes]:
    """Yield the row of each event.

    >>> event = Event('a "b"', source="S", generation_time=0, reception_time=0)
    >>> print(*(line.decode() for line in lines([event], PLAIN, ",")), end="")
    S,1970-01-01T00:00:00Z,1970-01-01T00:00:00Z,,"a ""b""\"
    """
    for event in events:
        yield line([value(event) for _, value in columns], delimiter)


def line(fields: Iterable[str], delimiter: str) -> bytes:
    """Return a row of texts: those of an event, or the headings.

    >>> line(["Source", "a;b"], ";")
    b'Source;"a;b"\\n'
    """
    return (delimiter.join(field(text, delimiter) for text in fields) + "\n").encode()


def field(text: str, delimiter: str) -> str:
    """Return a text as a field of a row.

    >>> field(" a,b ", ","), field(" a,b ", ";"), field("10%\\r20%\\r", ";")
    ('"a,b"', 'a,b', '"10%\\r20%"')
    """
    text = text.strip(BLANKS)
    if delimiter in text or '"' in text or "\n" in text or "\r" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
