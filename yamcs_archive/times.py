"""Converts instants between int microseconds since 1970-01-01T00:00:00Z, RFC 3339 text and aware datetimes.

1. Inside the package an instant is an int of microseconds; text and datetimes occur only in its interfaces.
2. No value wraps or is rounded: a time outside of the years 0001 to 9999 is an error, and digits finer than a
   microsecond are cut off, as a Yamcs server cuts off the digits that it cannot store.
3. No leap seconds: second 60 is the following second (POSIX time).
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import SupportsIndex

from yamcs_archive.errors import BadTimeError
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.scalars import plain_int, plain_text
from yamcs_archive.time_units import MILLISECONDS_MAX, SECONDS_MIN, warn_of_unit

Time = datetime | str | SupportsIndex
"""An instant as the library accepts it: an aware datetime, RFC 3339 text, or microseconds since 1970 as an
int (numpy's too)."""

_EPOCH = datetime(1970, 1, 1)
_EPOCH_UTC = datetime(1970, 1, 1, tzinfo=UTC)
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:)([0-5]\d|60)(?:\.(\d+))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_DAY_US = 86_400_000_000
_TEXT_RULE = "must be RFC 3339 with an offset, as 2026-01-01T00:00:00.123456Z"
_RANGE_RULE = "must lie in the years 0001 to 9999 (UTC)"


def now_us() -> int:
    """Return the system's clock in microseconds since 1970 (UTC).

    >>> now_us() > 1_700_000_000_000_000
    True
    """
    return time.time_ns() // 1000


def parse_rfc3339(text: str, field: str = "time") -> int:
    """Return the microseconds since 1970 of an RFC 3339 date-time.

    Any offset and any number of fraction digits are accepted. A missing offset, a date alone, blanks, lower
    case and impossible dates raise :class:`BadTimeError`, which names ``field``.

    >>> parse_rfc3339("1970-01-01T01:00:00.5+01:00")
    500000
    >>> parse_rfc3339("2016-12-31T23:59:60Z") == parse_rfc3339("2017-01-01T00:00:00Z")
    True
    """
    match = _RFC_3339.fullmatch(text)
    if match is None:
        raise BadTimeError(field, text, _TEXT_RULE)
    to_minute, second, fraction, offset = match.groups()
    try:
        instant = _minute_us(to_minute) + int(second) * 1_000_000
    except ValueError as error:
        raise BadTimeError(field, text, f"no such instant ({error})") from None
    if fraction is not None:
        instant += int(fraction[:6].ljust(6, "0"))
    if offset != "Z":
        minutes = int(offset[1:3]) * 60 + int(offset[4:6])
        instant -= (minutes if offset[0] == "+" else -minutes) * 60_000_000
    if not TIME_MIN_US <= instant <= TIME_MAX_US:
        raise BadTimeError(field, text, _RANGE_RULE)
    return instant


@lru_cache(maxsize=1024)  # the times of a batch share few minutes
def _minute_us(text: str) -> int:
    delta = datetime.fromisoformat(text + "00") - _EPOCH
    return delta.days * _DAY_US + delta.seconds * 1_000_000


def format_rfc3339(instant: int) -> str:
    """Return an instant as RFC 3339 in UTC, with 0, 3 or 6 fraction digits, whichever suffice.

    >>> format_rfc3339(0), format_rfc3339(1_500_000), format_rfc3339(-1)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01.500Z', '1969-12-31T23:59:59.999999Z')
    """
    moment = _EPOCH + timedelta(microseconds=instant)
    return (
        moment.isoformat(
            timespec="auto" if instant % 1000 else "milliseconds" if instant % 1_000_000 else "seconds"
        )
        + "Z"
    )


def to_datetime(instant: int) -> datetime:
    """Return an instant as an aware datetime in UTC.

    >>> to_datetime(0).isoformat()
    '1970-01-01T00:00:00+00:00'
    """
    return _EPOCH_UTC + timedelta(microseconds=instant)


def to_us(value: Time, field: str = "time") -> int:
    """Return ``value`` as int microseconds since 1970, whichever form of :data:`Time` it has.

    Digits finer than a microsecond, which pandas' Timestamp has, are cut off. Integers and texts of other
    types, such as numpy's, count as int and str. Warns of an int that looks like seconds or milliseconds
    (:mod:`~yamcs_archive.time_units`).

    Raises :class:`BadTimeError` for a naive datetime, for text that is not RFC 3339, for a time outside of
    the years 0001 to 9999, and for any other type (a float is not exact to the microsecond).

    >>> to_us("1970-01-01T00:00:01Z"), to_us(5)
    (1000000, 5)
    """
    if isinstance(value, datetime):
        instant = _of_datetime(value, field)
    else:
        text = plain_text(value)
        if isinstance(text, str):
            return parse_rfc3339(text, field)
        number = plain_int(value)
        if type(number) is not int:
            raise BadTimeError(
                field, value, "must be an aware datetime, RFC 3339 text or int microseconds since 1970"
            )
        instant = number
        if SECONDS_MIN <= instant < MILLISECONDS_MAX:
            warn_of_unit(instant, field)
    if not TIME_MIN_US <= instant <= TIME_MAX_US:
        raise BadTimeError(field, value, _RANGE_RULE)
    return instant


def _of_datetime(value: datetime, field: str) -> int:
    if value.tzinfo is None or value.utcoffset() is None:
        raise BadTimeError(field, value, "must be an aware datetime; give it a tzinfo, as datetime.UTC")
    try:
        delta = value - _EPOCH_UTC
    except (OverflowError, ValueError):  # a subclass may have years that datetime has not
        raise BadTimeError(field, value, _RANGE_RULE) from None
    # A subclass, such as pandas' Timestamp, may have a delta of its own that also has nanoseconds: they are
    # cut off, before 1970 too.
    return delta.days * _DAY_US + delta.seconds * 1_000_000 + delta.microseconds
