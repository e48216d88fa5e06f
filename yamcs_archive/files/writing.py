"""What a writer of a file of events is: bytes for the beginning, for some events, for the end; pure.

Joined in that order, they are a file from which equal events are read. A writer is for one file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from yamcs_archive.event_vectors import StoredVectors


class EventWriter(Protocol):
    """Writes the events of one file."""

    def head(self) -> bytes:
        """Return the beginning of the file; called once."""

    def encode(self, events: StoredVectors) -> bytes:
        """Return the next events, at least one; a writer may hold some back."""

    def tail(self) -> bytes:
        """Return what is held back, and the end of the file; called once."""


@dataclass(frozen=True)
class Records:
    """A writer for a form in which each event is a record of its own.

    >>> Records(lambda events: b"a" * events.size, b"heading ").head()
    b'heading '
    """

    records: Callable[[StoredVectors], bytes]
    heading: bytes = b""

    def head(self) -> bytes:
        """Return the heading."""
        return self.heading

    def encode(self, events: StoredVectors) -> bytes:
        """Return the records of some events."""
        return self.records(events)

    def tail(self) -> bytes:
        """Return nothing."""
        return b""
