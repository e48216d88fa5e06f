"""yamcs_archive: an embedded, append-only event archive with a Yamcs events API.

The doors are :class:`Archive` and what it hands out; ``docs/`` has the rest.
"""

import logging
from typing import TYPE_CHECKING

from yamcs_archive.archive import Archive
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    ConflictError,
    ExpiredError,
    FilterError,
    InvalidInputError,
    LockedError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ServerRefusedError,
    ServerUnavailableError,
    UnknownInstanceError,
)
from yamcs_archive.event import Event, EventKey, Severity, Stretch
from yamcs_archive.filter.bounds import FilterBounds
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.instance import Instance
from yamcs_archive.options import Options
from yamcs_archive.results import (
    AppendCounts,
    Appended,
    Change,
    CompactionResult,
    Conflict,
    InstanceStats,
    SourceStats,
)

if TYPE_CHECKING:
    from yamcs_archive.client import Client, RemoteInstance

__all__ = [
    "AppendCounts",
    "Appended",
    "Archive",
    "ArchiveError",
    "Change",
    "Client",
    "ClosedError",
    "CompactionResult",
    "Conflict",
    "ConflictError",
    "Event",
    "EventKey",
    "ExpiredError",
    "Filter",
    "FilterBounds",
    "FilterError",
    "Instance",
    "InstanceStats",
    "InvalidInputError",
    "LockedError",
    "Options",
    "OutOfSpaceError",
    "OutcomeUnknownError",
    "RemoteInstance",
    "ServerRefusedError",
    "ServerUnavailableError",
    "Severity",
    "SourceStats",
    "Stretch",
    "UnknownInstanceError",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    """Load the client when it is first used: it brings protobuf, which the archive itself needs not."""
    if name in ("Client", "RemoteInstance"):
        from yamcs_archive import client  # noqa: PLC0415  # not before it is used

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
