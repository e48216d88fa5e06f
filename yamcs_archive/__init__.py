"""yamcs_archive: an embedded, append-only event archive with a Yamcs events API.

Begin with :class:`Archive`: it opens a directory and returns its instances. ``docs/`` has the rest.

Each name is loaded when it is first used, so that a program which needs only :class:`Event`, say, does not
wait for the storage engine.
"""

import logging
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
else:
    # Type checkers do not read this: because of __getattr__ they would accept any name.
    _MODULE_OF = {
        "AppendCounts": "results",
        "Appended": "results",
        "Archive": "archive",
        "ArchiveError": "errors",
        "Change": "results",
        "ClosedError": "errors",
        "CompactionResult": "results",
        "Conflict": "results",
        "ConflictError": "errors",
        "Event": "event",
        "EventKey": "event",
        "ExpiredError": "errors",
        "Filter": "filter.compiled",
        "FilterBounds": "filter.bounds",
        "FilterError": "errors",
        "Instance": "instance",
        "InstanceStats": "results",
        "InvalidInputError": "errors",
        "LockedError": "errors",
        "Options": "options",
        "OutOfSpaceError": "errors",
        "OutcomeUnknownError": "errors",
        "Severity": "event",
        "SourceStats": "results",
        "Stretch": "event",
        "UnknownInstanceError": "errors",
    }
    """The module that defines each name, below this package."""

    def __getattr__(name):
        if name == "errors":  # the module, whose other errors a program may want to catch
            return import_module(f"{__name__}.errors")
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
