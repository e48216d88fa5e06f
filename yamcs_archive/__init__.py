"""yamcs_archive: an embedded, append-only event archive with a Yamcs events API.

The doors are :class:`Archive` and what it hands out; ``docs/`` has the rest.
"""

import logging

from yamcs_archive.archive import Archive
from yamcs_archive.errors import (
    ArchiveDataError,
    ArchiveError,
    BadCursorError,
    BadTimeError,
    ClosedError,
    ConflictError,
    CursorGoneError,
    DamagedError,
    ExpiredError,
    FilterError,
    ForkedError,
    FormatVersionError,
    GoneError,
    InstanceExistsError,
    InvalidInputError,
    LockedError,
    MirrorError,
    NotAnArchiveError,
    NumbersExhaustedError,
    OtherHistoryError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ReadOnlyError,
    RefusedError,
    ReplacedError,
    RequestIdError,
    RequestIdsFullError,
    UnavailableError,
    UnknownInstanceError,
)
from yamcs_archive.event import Event, EventKey, Severity, Stretch
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.filter.bounds import FilterBounds
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.instance import Instance
from yamcs_archive.options import Options
from yamcs_archive.results import (
    AppendCounts,
    Appended,
    Change,
    Commit,
    CompactionResult,
    Conflict,
    InstanceStats,
    MirrorState,
    SourceStats,
)

__all__ = [
    "AppendCounts",
    "Appended",
    "Archive",
    "ArchiveDataError",
    "ArchiveError",
    "BadCursorError",
    "BadTimeError",
    "Change",
    "ClosedError",
    "Commit",
    "CompactionResult",
    "Conflict",
    "ConflictError",
    "CursorGoneError",
    "DamagedError",
    "Event",
    "EventKey",
    "ExpiredError",
    "Filter",
    "FilterBounds",
    "FilterError",
    "ForkedError",
    "FormatVersionError",
    "GoneError",
    "Instance",
    "InstanceExistsError",
    "InstanceStats",
    "InvalidInputError",
    "LockedError",
    "MirrorError",
    "MirrorState",
    "NotAnArchiveError",
    "NumbersExhaustedError",
    "Options",
    "OtherHistoryError",
    "OutOfSpaceError",
    "OutcomeUnknownError",
    "ReadOnlyError",
    "RefusedError",
    "ReplacedError",
    "RequestIdError",
    "RequestIdsFullError",
    "Severity",
    "SourceStats",
    "StoredVectors",
    "Stretch",
    "UnavailableError",
    "UnknownInstanceError",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())
