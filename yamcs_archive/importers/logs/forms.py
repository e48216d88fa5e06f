"""What a kind of log says of itself: where a record begins and ends, and which event it is. Pure.

1. A record is what becomes one event: most often a line. Its place is the line at which it begins, from 1.
2. A form turns a record into an event, which has its time and, only if the log itself gives one, its number.
   A record that is not of that form is :class:`Unfit`, which says why; nothing is guessed.
3. What a log says, and an event has no field for, is kept in ``extra`` under the log's own names; a severity
   that the log has in words or numbers of its own too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol, runtime_checkable

from yamcs_archive.event import Event


class Unfit(Exception):  # noqa: N818  # it is caught for each record, and tells why that one is rejected
    """A record that is not of its form, or does not say what an event needs."""


class Record(NamedTuple):
    """Some bytes of a log that should become one event."""

    line: int
    """The line at which it begins, from 1."""
    raw: bytes
    """Its bytes, without the end of its last line."""
    size: int
    """The number of its bytes. It is larger than ``raw`` is long if the record is too long to be kept."""
    lines: int = 1
    """The number of lines that it takes."""


class Form(Protocol):
    """A kind of log. Its methods are called in the order of the file."""

    unit: str
    """What its records are called by their place: ``line``."""

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the records of a file, blank ones left out."""

    def event(self, text: str) -> Event | None:
        """Return the event of a record; None for a heading and the like. Raises :class:`Unfit`."""


@runtime_checkable
class BinaryForm(Protocol):
    """A kind of log whose records are not text."""

    unit: str
    """What its records are called by their place: ``entry``."""

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the records of a file."""

    def event_of(self, raw: bytes) -> Event | None:
        """Return the event of a record; None for one without meaning. Raises :class:`Unfit`."""
