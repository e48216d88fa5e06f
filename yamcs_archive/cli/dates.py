"""DATE on the command line: what the Yamcs tools take, and day of year; text to int microseconds."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

from yamcs_archive.errors import BadTimeError
from yamcs_archive.times import to_us

FORMS = "RFC 3339, ISO without an offset (local time), YYYY-DDDThh:mm:ssZ, or now, today, yesterday, tomorrow"

_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})(T.*)?", re.ASCII)


def parse_date(text: str) -> int:
    """Return the microseconds since 1970 of a DATE; for argparse, whose error it raises.

    A date without an offset is local time; a date without a time is its midnight.

    >>> parse_date("2026-327T12:00:00Z") == parse_date("2026-11-23T12:00:00Z")
    True
    """
    word, _, zone = text.strip().partition(" ")
    try:
        if zone in ("", "UTC") and word.lower() in ("now", *_DAYS):
            now = datetime.now(UTC) if zone else datetime.now().astimezone()
            if word.lower() == "now":
                return to_us(now)
            midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(_DAYS[word.lower()])
            return to_us(midnight if zone else midnight.replace(tzinfo=None).astimezone())
        return to_us(_moment(text.strip()))
    except (ValueError, OverflowError, BadTimeError):
        raise ArgumentTypeError(f"{text!r} is not a date; give {FORMS}") from None


def _moment(text: str) -> datetime:
    match = _DAY_OF_YEAR.fullmatch(text)
    if match:
        year, day, rest = match.groups()
        first = datetime(int(year), 1, 1)
        date = first + timedelta(int(day) - 1)
        if date.year != first.year or day == "000":
            raise ValueError(text)
        text = f"{date:%Y-%m-%d}{rest or ''}"
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.astimezone()
