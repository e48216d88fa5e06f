"""The two forms (generations) of the events API, and the severities and times of each; pure.

1. 2016: integer milliseconds, three severities, protobuf extensions.
2. Today's: RFC 3339 or protobuf timestamps, six severities.
3. The archive keeps microseconds, and every severity as given. A form shows the nearest value that it has:
   2016 rounds times down to milliseconds (before 1970 too) and has INFO, WARNING and ERROR; today's shows the
   old ERROR as SEVERE.
"""

from __future__ import annotations

import enum

from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import Severity
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import parse_rfc3339


class Form(enum.Enum):
    """A generation of the API."""

    V2016 = "2016"
    TODAY = "today"


SEVERITIES_2016 = {"INFO": Severity.INFO, "WARNING": Severity.WARNING, "ERROR": Severity.ERROR}
"""The severities of the 2016 form by name, in the order of their numbers there: 0, 1, 2."""

SHOWN_2016 = {
    Severity.INFO: "INFO",
    Severity.WATCH: "INFO",
    Severity.WARNING: "WARNING",
    Severity.DISTRESS: "ERROR",
    Severity.CRITICAL: "ERROR",
    Severity.SEVERE: "ERROR",
    Severity.ERROR: "ERROR",
}
"""The name of each severity in the 2016 form."""

SHOWN_TODAY = {severity: severity.name for severity in Severity} | {Severity.ERROR: "SEVERE"}
"""The name of each severity in today's form."""

_MS_US = 1000


def to_ms(time_us: int) -> int:
    """Return microseconds as milliseconds, rounded down.

    >>> to_ms(1999), to_ms(-1)
    (1, -1)
    """
    return time_us // _MS_US


def from_ms(time_ms: int, field: str) -> int:
    """Return microseconds of the 2016 form's milliseconds; BadTimeError outside the years 0001 to 9999.

    >>> from_ms(-1, "generationTime")
    -1000
    """
    time_us = time_ms * _MS_US
    if not TIME_MIN_US <= time_us <= TIME_MAX_US:
        raise BadTimeError(
            field, time_ms, "must be milliseconds since 1970 that lie in the years 0001 to 9999 (UTC)"
        )
    return time_us


def reconciled(time_us: int | None, utc: str | None, field: str) -> int | None:
    """Return the time that a 2016 body gives as a number, as text in ``fieldUTC``, or both.

    Raises InvalidInputError unless both are the same millisecond; then the text counts, which may be finer.

    >>> reconciled(None, "1970-01-01T00:00:01Z", "generationTime")
    1000000
    >>> reconciled(1000, "1970-01-01T00:00:00.001002Z", "generationTime")
    1002
    >>> reconciled(5000, "1970-01-01T00:00:01Z", "generationTime")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: generationTimeUTC '1970-01-01T00:00:01Z': is another instant ...
    """
    if utc is None:
        return time_us
    given = parse_rfc3339(utc, f"{field}UTC")
    if time_us is None:
        return given
    if to_ms(given) != to_ms(time_us):
        raise InvalidInputError(f"{field}UTC", utc, f"is another instant than {field}, {to_ms(time_us)} ms")
    return given


def severity_2016(name: str) -> Severity:
    """Return the severity of a name of the 2016 form, in any letter case.

    >>> severity_2016("error")
    <Severity.ERROR: 6>
    """
    found = SEVERITIES_2016.get(name.upper()) if name.isascii() else None
    if found is None:
        raise InvalidInputError(
            "severity", name, f"must be one of {', '.join(SEVERITIES_2016)} in the 2016 form"
        )
    return found


def severity_2016_numbered(number: int) -> Severity:
    """Return the severity of a number of the 2016 form's enumeration.

    >>> severity_2016_numbered(2)
    <Severity.ERROR: 6>
    """
    if not 0 <= number < len(SEVERITIES_2016):
        raise InvalidInputError("severity", number, "must be 0 (INFO), 1 (WARNING) or 2 (ERROR)")
    return tuple(SEVERITIES_2016.values())[number]
