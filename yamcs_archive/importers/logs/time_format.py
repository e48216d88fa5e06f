"""Reads times as a format describes them: ``--time-format``. Pure.

1. A format is a name of :data:`NAMES`, or has the directives of strptime. It is compiled once to a regular
   expression: strptime takes longer, depends on the locale, and has no time without a year.
2. Names of months and days are English, in any letter case. Digits finer than a microsecond are cut off.
   Second 60 is the following second, as everywhere in this package.
3. A blank in a format stands for any number of blanks, at least one.
4. A time that has its own offset is exact; any other goes to the clock, which knows the zone and the year.
"""

from __future__ import annotations

import re
from calendar import isleap
from collections.abc import Callable

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.importers.logs.clock import DAY_S, Clock, days_of
from yamcs_archive.importers.logs.forms import Unfit

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
"""The first letters of the months, in order."""
MONTH_NUMBERS = {name: number for number, name in enumerate(MONTHS, 1)}
NAMES = {
    "iso": "2026-01-31T12:00:00.5+01:00, with T or a blank, a point or a comma, with its offset or not",
    "unix": "seconds since 1970, with a fraction or not",
    "unix-ms": "milliseconds since 1970",
    "unix-us": "microseconds since 1970",
    "unix-ns": "nanoseconds since 1970",
    "excel": "days since the end of 1899, as spreadsheets count them, in the zone of the log",
}
"""The names of formats that strptime cannot describe, and what each is."""
Parse = Callable[[str, Clock], int]
"""Returns the instant of a text in microseconds since 1970; raises Unfit."""

_MONTH = "(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:tember)?"
_MONTH += "|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_WEEKDAY = "(?:mon|tues?|wed(?:nes)?|thu(?:rs)?|fri|sat(?:ur)?|sun)(?:day)?"
_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d\d?)",
    "b": f"(?P<b>{_MONTH})",
    "d": r"(?P<d> ?\d\d?)",
    "j": r"(?P<j>\d{1,3})",
    "H": r"(?P<H> ?\d\d?)",
    "I": r"(?P<I> ?\d\d?)",
    "p": "(?P<p>[ap]m)",
    "M": r"(?P<M>\d\d?)",
    "S": r"(?P<S>\d\d?)",
    "f": r"(?P<f>\d+)",
    "z": r"(?P<z>z|utc|gmt|[+-]\d\d(?::?\d\d)?)",
    "s": r"(?P<s>-?\d{1,12})",
    "a": _WEEKDAY,
    "%": "%",
}
_SAME = {"B": "b", "h": "b", "e": "d", "k": "H", "l": "I", "A": "a", "Z": "z"}
_LONGER = {"T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y", "F": "%Y-%m-%d"}
_ISO = re.compile(
    r"(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?:[Tt]| +)(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?"
    r"(?: ?(Z|z|UTC|GMT|[+-]\d\d(?::?\d\d)?))?",
    re.ASCII,
)
_DAY_OF_YEAR = re.compile(r"(\d{4})-(\d{3})[Tt ](\d\d):(\d\d):(\d\d)(?:[.,](\d+))?(Z|z)?", re.ASCII)
_UNIX = re.compile(r"(-?)(\d{1,19})(?:\.(\d*))?", re.ASCII)
_UNIX_NS = {"unix": 1_000_000_000, "unix-ms": 1_000_000, "unix-us": 1000, "unix-ns": 1}
_EXCEL_DAYS = 25_569
"""Days from 1899-12-30, which spreadsheets count from, to 1970."""


def compiled(text: str) -> Parse:
    """Return the function that reads times of a format.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` if the format is none, or its times would be
    incomplete.

    >>> from yamcs_archive.importers.logs.clock import Zone
    >>> clock = Clock(Zone.named("UTC"))
    >>> compiled("%d/%b/%Y:%H:%M:%S %z")("01/Jan/1970:01:00:00 +0100", clock)
    0
    >>> compiled("iso")("1970-01-01 00:00:01,5", clock), compiled("unix-ms")("1500", clock)
    (1500000, 1500000)
    """
    if text == "iso":
        return iso
    if text in _UNIX_NS:
        return lambda value, clock: unix(value, clock, _UNIX_NS[text])
    if text == "excel":
        return _excel
    if "%" not in text:
        raise InvalidInputError(
            "time format", text, f"must be one of {', '.join(NAMES)}, or have directives as %Y-%m-%d %H:%M:%S"
        )
    pattern = _pattern(text)
    has = set(pattern.groupindex)
    if "s" not in has:
        date = has >= {"b", "d"} or has >= {"m", "d"} or has >= {"Y", "j"} or has >= {"y", "j"}
        if not date or not has >= ({"I", "p"} if "I" in has else {"H"}):
            raise InvalidInputError(
                "time format", text, "must have at least a day (%m or %b and %d, or %Y and %j) and an hour"
            )
    return lambda value, clock: _matched(pattern, value, clock)


def _pattern(text: str) -> re.Pattern[str]:
    for short, long in _LONGER.items():
        text = text.replace(f"%{short}", long)
    parts: list[str] = []
    for found in re.finditer(r"%(.?)|\s+|[^%\s]+", text, re.DOTALL):
        if found[0][0] == "%":
            name = _SAME.get(found[1], found[1])
            if name not in _DIRECTIVES:
                raise InvalidInputError("time format", text, f"has %{found[1]}, which is not known here")
            parts.append(_DIRECTIVES[name])
        else:
            parts.append(r"\s+" if found[0].isspace() else re.escape(found[0]))
    try:
        return re.compile("".join(parts), re.ASCII | re.IGNORECASE)
    except re.error:
        raise InvalidInputError("time format", text, "has the same directive twice") from None


def _matched(pattern: re.Pattern[str], text: str, clock: Clock) -> int:
    found = pattern.fullmatch(text.strip())
    if found is None:
        raise Unfit(f"its time {text[:60]!r} is not of the format")
    part = found.groupdict()
    micros = _micros(part.get("f"))
    if "s" in part:
        return clock.instant(int(part["s"]) * 1_000_000 + micros)
    hour = int(part.get("H") or part["I"])
    if "H" not in part:
        if not 1 <= hour <= 12:
            raise Unfit(f"its time {text[:60]!r} has no hour of 12")
        hour = hour % 12 + (12 if part["p"].lower() == "pm" else 0)
    second = second_of_day(hour, int(part.get("M") or 0), int(part.get("S") or 0))
    year = _year(part)
    if year is None:
        return clock.yearless(_month(part), int(part["d"]), second, micros)
    by_number = "j" in part
    days = _day_of_year(year, int(part["j"])) if by_number else days_of(year, _month(part), int(part["d"]))
    return _instant(days * DAY_S + second, micros, part.get("z"), clock)


def _year(part: dict[str, str]) -> int | None:
    if "Y" in part:
        return int(part["Y"])
    if "y" not in part:
        return None
    year = int(part["y"])
    return year + (1900 if year >= 69 else 2000)  # as POSIX has it


def _month(part: dict[str, str]) -> int:
    return MONTH_NUMBERS[part["b"][:3].lower()] if "b" in part else int(part["m"])


def iso(text: str, clock: Clock) -> int:
    """Return the instant of a time in one of the forms of ISO 8601 that logs use; raise Unfit."""
    found = _ISO.fullmatch(text)
    if found is None:
        return _by_day_of_year(text, clock)
    year, month, day, hour, minute, second, fraction, offset = found.groups()
    wall_s = days_of(int(year), int(month), int(day)) * DAY_S
    wall_s += second_of_day(int(hour), int(minute), int(second or 0))
    return _instant(wall_s, _micros(fraction), offset, clock)


def _by_day_of_year(text: str, clock: Clock) -> int:
    found = _DAY_OF_YEAR.fullmatch(text)
    if found is None:
        raise Unfit(f"its time {text[:60]!r} is not ISO 8601")
    year, day, hour, minute, second, fraction, offset = found.groups()
    wall_s = _day_of_year(int(year), int(day)) * DAY_S + second_of_day(int(hour), int(minute), int(second))
    return _instant(wall_s, _micros(fraction), offset, clock)


def _day_of_year(year: int, day: int) -> int:
    if not 1 <= day <= 365 + isleap(year):
        raise Unfit(f"{year} has no day {day}")
    return days_of(year, 1, 1) + day - 1


def _instant(wall_s: int, micros: int, offset: str | None, clock: Clock) -> int:
    if offset is None:
        return clock.at(wall_s, micros)
    return clock.instant((wall_s - _offset_s(offset)) * 1_000_000 + micros)


def _offset_s(offset: str) -> int:
    if offset[0] not in "+-":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:
        raise Unfit(f"its offset {offset} is none")
    return (hours * 3600 + minutes * 60) * (-1 if offset[0] == "-" else 1)


def second_of_day(hour: int, minute: int, second: int) -> int:
    """Return the second of the day; second 60 is the following one. Raises Unfit for an impossible time.

    >>> second_of_day(23, 59, 60)
    86400
    """
    if hour > 23 or minute > 59 or second > 60:
        raise Unfit(f"there is no {hour:02}:{minute:02}:{second:02}")
    return hour * 3600 + minute * 60 + second


def _micros(digits: str | None) -> int:
    return int(digits[:6].ljust(6, "0")) if digits else 0


def unix(text: str, clock: Clock, unit_ns: int) -> int:
    """Return the instant of a number of units since 1970; what is finer than a microsecond is cut off."""
    found = _UNIX.fullmatch(text.strip())
    if found is None:
        raise Unfit(f"its time {text[:60]!r} is not a number")
    sign, digits, fraction = found.groups()
    nanos = int(digits) * unit_ns + int((fraction or "")[:9].ljust(9, "0")) * unit_ns // 1_000_000_000
    return clock.instant((-nanos if sign else nanos) // 1000)


def _excel(text: str, clock: Clock) -> int:
    found = _UNIX.fullmatch(text.strip())
    if found is None or found[1]:
        raise Unfit(f"its time {text[:60]!r} is not a number of days")
    parts = int((found[3] or "")[:12].ljust(12, "0"))
    # A spreadsheet has some 15 digits: nothing finer than a millisecond is meant.
    millis = (parts * DAY_S * 1000 + 500_000_000_000) // 1_000_000_000_000
    wall_ms = (int(found[2]) - _EXCEL_DAYS) * DAY_S * 1000 + millis
    return clock.at(wall_ms // 1000, wall_ms % 1000 * 1000)
