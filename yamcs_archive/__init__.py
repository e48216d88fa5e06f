"""yamcs_archive: an embedded, append-only event archive with a Yamcs events API.

The doors are :class:`Archive` and what it hands out; ``docs/`` has the rest.
"""

import logging

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

__all__ = [
    "AppendCounts",
    "Appended",
    "Archive",
    "ArchiveError",
    "Change",
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
    "Severity",
    "SourceStats",
    "Stretch",
    "UnknownInstanceError",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
