"""Notices times that are seconds or milliseconds where microseconds are expected, and warns; no I/O.

1. A number is never refused for its size: simulators count from 1970. A warning says what it looks like, once
   for each line of a program that gives such numbers.
2. The caller of the library is warned. The package's own commands and servers, which pass on what others
   sent, are not: :meth:`~yamcs_archive.Archive.diagnose` finds such events later.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any, NamedTuple

SECONDS_MIN, SECONDS_MAX = 1_000_000_000, 4_200_000_000
"""Numbers that are seconds of the years 2001 to 2103, or microseconds of the first 70 minutes of 1970."""
MILLISECONDS_MIN, MILLISECONDS_MAX = SECONDS_MIN * 1_000, SECONDS_MAX * 1_000
"""Numbers that are milliseconds of those years, or microseconds of January and February 1970."""
_PASSED = (
    "yamcs_archive.aio",
    "yamcs_archive.client",
    "yamcs_archive.event",
    "yamcs_archive.frames",
    "yamcs_archive.gathering",
    "yamcs_archive.instance",
    "yamcs_archive.time_units",
    "yamcs_archive.times",
)
"""The rooms between a user's call and this module."""


class TimeUnitWarning(UserWarning):
    """A time in microseconds that looks like seconds or milliseconds.

    If times of 1970 are meant, say so with ``warnings.simplefilter("ignore", TimeUnitWarning)``; to have such
    numbers refused, with ``"error"``.
    """


class CallSite(NamedTuple):
    """The line of a program that called the library."""

    filename: str
    line: int
    module: str
    registry: dict[Any, Any]
    """Where Python notes which warnings a module has had."""


def call_site() -> CallSite | None:
    """Return the line outside of the package that is running; None if another part of the package called.

    >>> call_site().filename.endswith(".py")
    True
    """
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith(_PASSED):
        if frame.f_back is None:
            return None
        frame = frame.f_back
    module = str(frame.f_globals.get("__name__", "<unknown>"))
    if module.partition(".")[0] == "yamcs_archive":
        return None
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    return CallSite(frame.f_code.co_filename, frame.f_lineno, module, registry)


def looks_like(number: int) -> str | None:
    """Return the unit that a number of microseconds seems to have instead, or None.

    >>> looks_like(1_767_225_600), looks_like(1_767_225_600_000), looks_like(1_767_225_600_000_000)
    ('seconds', 'milliseconds', None)
    >>> looks_like(0), looks_like(SECONDS_MIN - 1), looks_like(SECONDS_MAX), looks_like(MILLISECONDS_MAX)
    (None, None, None, None)
    """
    if SECONDS_MIN <= number < SECONDS_MAX:
        return "seconds"
    return "milliseconds" if MILLISECONDS_MIN <= number < MILLISECONDS_MAX else None


def warn_of_unit(number: int, field: str, site: CallSite | None = None) -> None:
    """Warn if the number looks like another unit; ``site`` is the caller's, if it was noted before.

    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", TimeUnitWarning)
    ...     warn_of_unit(1_767_225_600, "start")
    Traceback (most recent call last):
      ...
    yamcs_archive.time_units.TimeUnitWarning: start is a time of 1970 in microseconds, and looks like ...
    """
    unit = looks_like(number)
    site = site or (call_site() if unit else None)
    if unit is None or site is None:
        return
    factor = "1_000_000" if unit == "seconds" else "1_000"
    # Without the number: Python shows each text once for a line.
    text = (
        f"{field} is a time of 1970 in microseconds, and looks like {unit}: multiply it by {factor}, or give"
        " an aware datetime. If 1970 is meant: warnings.simplefilter('ignore', yamcs_archive.TimeUnitWarning)"
    )
    warnings.warn_explicit(text, TimeUnitWarning, site.filename, site.line, site.module, site.registry)
