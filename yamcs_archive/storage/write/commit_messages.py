"""What the writer asks of the committer, and what it is told where there are no outcomes; pure.

1. HandOver and CommitFailed never leave the writer: its callers get outcomes, or an
   :class:`~yamcs_archive.errors.ArchiveError`.
2. After HandOver nothing is stored. After CommitFailed that is unknown, until the log was recovered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from yamcs_archive.columns import Columns
from yamcs_archive.event import Event
from yamcs_archive.storage.format.requests import RequestIds
from yamcs_archive.storage.write.outcomes import Group


class Batch(NamedTuple):
    """Events that become one commit."""

    submitted: Sequence[Columns[int]]
    """Those of each caller."""
    asked: Sequence[RequestIds | None] = ()
    """The ids of each caller's requests; empty if none has an id."""
    time: int | None = None
    """When another archive committed them, microseconds since 1970. None: they are committed here, now."""
    exact: bool = True
    """With a time: an event that is stored already must be the same in every field."""


class HandOver(Exception):  # noqa: N818  # a message to the writer, never seen outside
    """Nothing was stored, and more than one transaction is needed: the writer's own thread must do it."""


class CommitFailed(Exception):  # noqa: N818  # likewise
    """The commit of groups, from that number on, or a step after it raised: the facts may no longer hold."""

    def __init__(self, groups: Sequence[Group], number: int, error: Exception) -> None:
        self.groups, self.number, self.error = groups, number, error

    @property
    def events(self) -> tuple[Event, ...]:
        """The events of all groups, in the order of their submissions."""
        return tuple(
            event for group in self.groups for outcome in group.outcomes for event in outcome.columns.events()
        )

    @property
    def reason(self) -> str:
        """What went wrong, in words."""
        return str(self.error) or repr(self.error)
