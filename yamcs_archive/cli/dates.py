"""DATE on the command line: what the Yamcs tools take, and day of year; text to int microseconds."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from yamcs_archive.errors import BadTimeError
from yamcs_archive.times import parse_rfc3339, to_us

FORMS = (
    "RFC 3339, ISO (local time where it has no offset), YYYY-DDDThh:mm:ssZ, now, today, yesterday, tomorrow"
)

_DAYS_FROM_TODAY = {"now": 0, "today": 0, "yesterday": -1, "tomorrow": 1}
_WORD = re.compile(r"(now|today|yesterday|tomorrow)( UTC)?", re.IGNORECASE)
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})(?!\d)(.*)", re.ASCII)


def parse_date(text: str) -> int:
    """Return the microseconds since 1970 of a DATE; for argparse, whose ArgumentTypeError it raises.

    A date without an offset is local time, a date without a time its midnight; ``today UTC`` is the
    midnight of Greenwich.

    >>> parse_date("2026-327T12:00:00Z") == parse_date("2026-11-23T12:00:00Z")
    True
    >>> parse_date("today UTC") % 86_400_000_000
    0
    """
    text = text.strip()
    try:
        word = _WORD.fullmatch(text)
        if word:
            return _day(word[1].lower(), utc=word[2] is not None)
        text = _with_month(text)
        try:
            return parse_rfc3339(text)
        except BadTimeError:  # ISO is wider: no offset, a date alone, weeks
            moment = datetime.fromisoformat(text)
            return to_us(moment if moment.tzinfo else moment.astimezone())
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is not a date; give {FORMS}") from None


def _day(word: str, *, utc: bool) -> int:
    now = datetime.now(UTC) if utc else datetime.now()  # local time is what is asked for
    if word != "now":
        now = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(_DAYS_FROM_TODAY[word])
    # A naive midnight gets the offset of its own day, which is not today's when the clocks change.
    return to_us(now if utc else now.astimezone())


def _with_month(text: str) -> str:
    """Return a date that has the day of the year as one with month and day; others as they are."""
    match = _DAY_OF_YEAR.fullmatch(text)
    if match is None:
        return text
    year, day, rest = int(match[1]), int(match[2]), match[3]
    date = datetime(year, 1, 1) + timedelta(day - 1)  # a calendar date, no instant
    if date.year != year:
        raise ValueError(text)
    return f"{date.date().isoformat()}{rest}"
