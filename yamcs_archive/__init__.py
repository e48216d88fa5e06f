"""yamcs_archive: an embedded, append-only event archive with a Yamcs events API.

Begin with :class:`Archive`: it opens a directory and returns its instances. ``docs/`` has the rest.

Each name is loaded when it is first used, so that a program that needs only :class:`Event`, for instance,
does not wait for the storage engine.
"""

import sys
from importlib import import_module
from logging import NullHandler, getLogger  # yamcs_archive.logging is a module of ours
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from yamcs_archive.activity import Distribution, InstanceActivity, InstanceUsage
    from yamcs_archive.aio import AsyncArchive, AsyncInstance
    from yamcs_archive.archive import Archive
    from yamcs_archive.backups import list_backups, verify_backup, verify_backup_stream
    from yamcs_archive.client import Client, RemoteInstance
    from yamcs_archive.errors import (
        ArchiveDataError,
        ArchiveError,
        BackupError,
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
        MissingPackageError,
        NotAMirrorError,
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
        ServerRefusedError,
        ServerUnavailableError,
        UnavailableError,
        UnknownInstanceError,
    )
    from yamcs_archive.event import Event, EventKey, Severity, StoredEvent, Stretch
    from yamcs_archive.event_vectors import StoredVectors
    from yamcs_archive.filter.bounds import FilterBounds
    from yamcs_archive.filter.compiled import Filter
    from yamcs_archive.frames.table import Table
    from yamcs_archive.instance import Instance
    from yamcs_archive.options import Options
    from yamcs_archive.pass_report.report import PassReport, ReportComparison, compare_reports
    from yamcs_archive.reports import Diagnosis, Finding, InstanceSummary
    from yamcs_archive.results import (
        AppendCounts,
        Appended,
        Backup,
        BackupCheck,
        BackupManifest,
        Change,
        Commit,
        CompactionResult,
        Conflict,
        Fault,
        InstanceStats,
        MirrorState,
        OddTimes,
        PruningResult,
        Restored,
        Salvage,
        SourceStats,
        StoredForms,
        Verification,
    )
    from yamcs_archive.time_units import TimeUnitWarning
else:
    # Hidden from type checkers, because with __getattr__ they would accept any name.
    _MODULE_OF = {
        "AppendCounts": "results",
        "Appended": "results",
        "Archive": "archive",
        "ArchiveDataError": "errors",
        "ArchiveError": "errors",
        "AsyncArchive": "aio",
        "AsyncInstance": "aio",
        "Backup": "results",
        "BackupCheck": "results",
        "BackupError": "errors",
        "BackupManifest": "results",
        "BadCursorError": "errors",
        "BadTimeError": "errors",
        "Change": "results",
        "Client": "client",
        "ClosedError": "errors",
        "Commit": "results",
        "CompactionResult": "results",
        "Conflict": "results",
        "ConflictError": "errors",
        "CursorGoneError": "errors",
        "DamagedError": "errors",
        "Diagnosis": "reports",
        "Distribution": "activity",
        "Event": "event",
        "EventKey": "event",
        "ExpiredError": "errors",
        "Fault": "results",
        "Filter": "filter.compiled",
        "FilterBounds": "filter.bounds",
        "FilterError": "errors",
        "Finding": "reports",
        "ForkedError": "errors",
        "FormatVersionError": "errors",
        "GoneError": "errors",
        "Instance": "instance",
        "InstanceActivity": "activity",
        "InstanceExistsError": "errors",
        "InstanceStats": "results",
        "InstanceSummary": "reports",
        "InstanceUsage": "activity",
        "InvalidInputError": "errors",
        "LockedError": "errors",
        "MirrorError": "errors",
        "MirrorState": "results",
        "MissingPackageError": "errors",
        "NotAMirrorError": "errors",
        "NotAnArchiveError": "errors",
        "NumbersExhaustedError": "errors",
        "OddTimes": "results",
        "Options": "options",
        "OtherHistoryError": "errors",
        "OutOfSpaceError": "errors",
        "OutcomeUnknownError": "errors",
        "PassReport": "pass_report.report",
        "PruningResult": "results",
        "ReadOnlyError": "errors",
        "RefusedError": "errors",
        "RemoteInstance": "client",
        "ReplacedError": "errors",
        "ReportComparison": "pass_report.report",
        "RequestIdError": "errors",
        "RequestIdsFullError": "errors",
        "Restored": "results",
        "Salvage": "results",
        "ServerRefusedError": "errors",
        "ServerUnavailableError": "errors",
        "Severity": "event",
        "SourceStats": "results",
        "StoredEvent": "event",
        "StoredForms": "results",
        "StoredVectors": "event_vectors",
        "Stretch": "event",
        "Table": "frames.table",
        "TimeUnitWarning": "time_units",
        "UnavailableError": "errors",
        "UnknownInstanceError": "errors",
        "Verification": "results",
        "compare_reports": "pass_report.report",
        "list_backups": "backups",
        "verify_backup": "backups",
        "verify_backup_stream": "backups",
    }
    """The module that defines each name, below this package."""

    def __getattr__(name):
        if name in ("errors", "logging"):  # modules: errors that a program may want to catch, and a handler
            return import_module(f"{__name__}.{name}")
        if name not in _MODULE_OF:
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__]
            )
        value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        return value

    def __dir__():
        return sorted({*globals(), *__all__})


__all__ = [
    "AppendCounts",
    "Appended",
    "Archive",
    "ArchiveDataError",
    "ArchiveError",
    "AsyncArchive",
    "AsyncInstance",
    "Backup",
    "BackupCheck",
    "BackupError",
    "BackupManifest",
    "BadCursorError",
    "BadTimeError",
    "Change",
    "Client",
    "ClosedError",
    "Commit",
    "CompactionResult",
    "Conflict",
    "ConflictError",
    "CursorGoneError",
    "DamagedError",
    "Diagnosis",
    "Distribution",
    "Event",
    "EventKey",
    "ExpiredError",
    "Fault",
    "Filter",
    "FilterBounds",
    "FilterError",
    "Finding",
    "ForkedError",
    "FormatVersionError",
    "GoneError",
    "Instance",
    "InstanceActivity",
    "InstanceExistsError",
    "InstanceStats",
    "InstanceSummary",
    "InstanceUsage",
    "InvalidInputError",
    "LockedError",
    "MirrorError",
    "MirrorState",
    "MissingPackageError",
    "NotAMirrorError",
    "NotAnArchiveError",
    "NumbersExhaustedError",
    "OddTimes",
    "Options",
    "OtherHistoryError",
    "OutOfSpaceError",
    "OutcomeUnknownError",
    "PassReport",
    "PruningResult",
    "ReadOnlyError",
    "RefusedError",
    "RemoteInstance",
    "ReplacedError",
    "ReportComparison",
    "RequestIdError",
    "RequestIdsFullError",
    "Restored",
    "Salvage",
    "ServerRefusedError",
    "ServerUnavailableError",
    "Severity",
    "SourceStats",
    "StoredEvent",
    "StoredForms",
    "StoredVectors",
    "Stretch",
    "Table",
    "TimeUnitWarning",
    "UnavailableError",
    "UnknownInstanceError",
    "Verification",
    "compare_reports",
    "list_backups",
    "verify_backup",
    "verify_backup_stream",
]

getLogger(__name__).addHandler(NullHandler())
