"""DATE on the command line, from text to int microseconds: the forms that the Yamcs tools accept, and more.

1. A date without an offset is local time, by the rules of the system's time zone at that date.
2. A day begins with its first instant. That is midnight, unless the clocks are put forward at midnight.
3. A number alone is Unix time if its digits say its unit; otherwise it is refused.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, date, datetime, timedelta

from yamcs_archive.errors import BadTimeError
from yamcs_archive.times import now_us, parse_rfc3339, to_us
from yamcs_archive.wall_clock import as_if_not_jumped, jump, local_offset_s, shown_at

FORMS = (
    "RFC 3339, ISO (local time where it has no offset), YYYY-DDDThh:mm:ssZ, 1h (an hour ago), Unix seconds,"
    " now, today, yesterday, tomorrow"
)

_DAYS_FROM_TODAY = {"now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}
_WORD = re.compile(r"(now|today|yesterday|tomorrow)( UTC)?", re.IGNORECASE)
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})(?!\d)(.*)", re.ASCII)
_AGO = re.compile(
    r"-?(?=\d)(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII
)
_AGO_S = (7 * 86_400, 86_400, 3600, 60, 1)
_AT = re.compile(r"@(-?)(\d{1,12})(?:\.(\d+))?", re.ASCII)
_NUMBER = re.compile(r"[+-]?\d+(?:\.\d*)?", re.ASCII)
_SECONDS = re.compile(r"(\d{10})(?:\.(\d+))?", re.ASCII)
_FINER_US = {13: 1000, 16: 1}
"""Microseconds in one unit, by the number of digits. Ten digits (seconds) cover the years 2001 to 2286."""
_COMPACT_DATE_DIGITS = 8
_EPOCH = datetime(1970, 1, 1)


def parse_date(text: str) -> int:
    """Return the microseconds since 1970 of a DATE; for argparse, whose ArgumentTypeError it raises.

    A date without an offset is local time. A date without a time is the first instant of that day, ``today
    UTC`` is midnight in UTC. ``1h30m`` is an hour and a half ago. Ten digits (``1795435200``), and any number
    after ``@``, are seconds since 1970.

    >>> parse_date("2026-327T12:00:00Z") == parse_date("2026-11-23T12:00:00Z") == parse_date("1795435200")
    True
    >>> parse_date("today UTC") % 86_400_000_000
    0
    """
    text = text.strip()
    try:
        if word := _WORD.fullmatch(text):
            return _day(word[1].lower(), utc=word[2] is not None)
        if ago := _AGO.fullmatch(text):
            counts = zip(ago.groups(), _AGO_S, strict=True)
            return to_us(now_us() - sum(int(count or 0) * unit_s for count, unit_s in counts) * 1_000_000)
        if (found := _unix(text)) is not None:
            return to_us(found)
        return _written(_with_month(text))
    except (ValueError, OverflowError, OSError):  # OSError: from time.localtime, far beyond the year 9999
        raise ArgumentTypeError(f"{text!r} is not a date; give {FORMS}") from None


def _day(word: str, *, utc: bool) -> int:
    if word == "now":
        return now_us()
    now = datetime.now(UTC) if utc else datetime.now()  # the user means local time
    day = now.date() + timedelta(_DAYS_FROM_TODAY[word])
    return _seconds(day) * 1_000_000 if utc else _first_instant(day)


def _unix(text: str) -> int | None:
    """Return the microseconds of a number, None for other text; ArgumentTypeError if the unit is unclear."""
    if at := _AT.fullmatch(text):
        instant = int(at[2]) * 1_000_000 + _fraction(at[3])
        return -instant if at[1] else instant
    if seconds := _SECONDS.fullmatch(text):
        return int(seconds[1]) * 1_000_000 + _fraction(seconds[2])
    if not _NUMBER.fullmatch(text) or (text.isdigit() and len(text) == _COMPACT_DATE_DIGITS):
        return None
    if text.isdigit() and len(text) in _FINER_US:
        return int(text) * _FINER_US[len(text)]
    raise ArgumentTypeError(
        f"{text!r} does not say its unit: 10 digits are Unix seconds, 13 milliseconds, 16 microseconds; give"
        f" seconds as @{text}, or {FORMS}"
    )


def _fraction(digits: str | None) -> int:
    return int((digits or "")[:6].ljust(6, "0"))


def _written(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except BadTimeError:  # ISO is wider: no offset, a date alone, weeks
        moment = datetime.fromisoformat(text)
    if moment.tzinfo:
        return to_us(moment)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return to_us(_instant(_seconds(moment)) + moment.microsecond)
    return _first_instant(day)


def _with_month(text: str) -> str:
    """Write a day of the year as month and day; return any other text unchanged."""
    match = _DAY_OF_YEAR.fullmatch(text)
    if match is None:
        return text
    year, day, rest = int(match[1]), int(match[2]), match[3]
    found = datetime(year, 1, 1) + timedelta(day - 1)  # a calendar date, not an instant
    if found.year != year:
        raise ValueError(text)
    return f"{found.date().isoformat()}{rest}"


# --- local time ---


def _seconds(shown: date) -> int:
    """Return the seconds from 1970 to a date or a naive datetime, as if both were UTC."""
    moment = shown if isinstance(shown, datetime) else datetime(shown.year, shown.month, shown.day)
    delta = moment - _EPOCH
    return delta.days * 86_400 + delta.seconds


def _first_instant(day: date) -> int:
    """Return the first instant of a local day, in microseconds. A skipped day begins with the next one."""
    wall_s = _seconds(day)
    found = shown_at(wall_s, local_offset_s)
    return to_us((found[0] if found else jump(wall_s, local_offset_s)) * 1_000_000)


def _instant(wall_s: int) -> int:
    """Return the microseconds at which a wall clock shows a time; the first, if it shows it twice.

    If the clock jumps over that time, it is read as if the clock had not jumped.
    """
    found = shown_at(wall_s, local_offset_s)
    return (found[0] if found else as_if_not_jumped(wall_s, local_offset_s)) * 1_000_000
