"""Instants of the times in a log, which may lack their zone or their year. Pure, but for the system's zone.

1. A time without a zone is that of one zone for the whole log: the system's, or the one that the user names.
   A time that the clock shows twice, because it was put back, is the first, unless lines before it are
   already later than that: then it is the second. A time that the clock skips is read as if it had not
   jumped.
2. A time without a year lies in the year that puts it nearest to the line before. The year of the first line
   follows from that of the last, which is not later than the file's modification time and a day. To find out
   how many New Years are between the two, the file is read once before. What cannot be read twice is taken
   to begin within the year before that time.
3. What was assumed is counted, so that it can be said: :meth:`Clock.assumptions`.
"""

from __future__ import annotations

import re
import time
from calendar import isleap
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.importers.logs.forms import Unfit
from yamcs_archive.limits import DAY_US, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import to_datetime
from yamcs_archive.wall_clock import OFFSET_S_MAX, Offset, as_if_not_jumped, local_offset_s, shown_at

DAY_S = 86_400
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_DISORDER_S = 300
"""Seconds by which a line may be earlier than one before it, and is still not taken for the second time that
the clock shows its time: 5 minutes."""
_DAYS_KEPT = 4096
_QUARTER_S = 900
_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)
_MONTH_STARTS = (0, 31, 60, 91, 121, 152, 182, 213, 244, 274, 305, 335)
"""Days before each month, in a year of 366 days."""
_YEAR_DAYS = 366


@dataclass(frozen=True)
class Zone:
    """A time zone, by name."""

    name: str
    offset_s: Offset

    @classmethod
    def named(cls, name: str) -> Zone:
        """Return a zone: ``local``, ``UTC``, an offset as ``+02:00``, or a name as ``Europe/Berlin``.

        Raises :class:`~yamcs_archive.errors.InvalidInputError` for any other name.

        >>> Zone.named("+02:00").offset_s(0), Zone.named("Asia/Tokyo").offset_s(0)
        (7200, 32400)
        """
        if name == "local":
            return cls(f"local time ({'/'.join(dict.fromkeys(time.tzname))})", local_offset_s)
        if name in ("UTC", "Z"):
            return cls("UTC", lambda _: 0)
        if found := _OFFSET.fullmatch(name):
            sign, hours, minutes = found.groups()
            offset = (int(hours) * 3600 + int(minutes) * 60) * (1 if sign == "+" else -1)
            if int(minutes) < 60 and abs(offset) < DAY_S:
                return cls(f"UTC{name}", lambda _: offset)
        try:
            zone = ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # OSError: the name of a directory
            raise InvalidInputError(
                "timezone", name, "must be a name of the tz database, as Europe/Berlin; UTC, local, or +02:00"
            ) from None
        return cls(name, lambda instant: _zone_offset_s(zone, instant))


def _times(number: int) -> str:
    return "1 time" if number == 1 else f"{number} times"


def _zone_offset_s(zone: ZoneInfo, instant: int) -> int:
    offset = datetime.fromtimestamp(instant, UTC).astimezone(zone).utcoffset()
    return 0 if offset is None else offset.days * DAY_S + offset.seconds


class YearOrder(NamedTuple):
    """The order of times without a year, up to the last one."""

    years: int
    """How many New Years are between the first and the last."""
    month: int
    day: int
    second: int
    """The last time: its month, its day and its second of the day."""


@dataclass
class Clock:
    """Makes instants, in microseconds since 1970, of what the lines of one log say, in their order.

    ``latest_us`` is the time that the last line cannot be later than, by more than a day. ``survey`` reads
    the log once before, and returns the order of its times; without one, see rule 2. ``first_year`` is that
    of the first line, if it is known.

    >>> clock = Clock(Zone.named("Europe/Berlin"), latest_us=1_767_225_600_000_000)  # the end of 2025
    >>> clock.yearless(10, 26, 9000), clock.yearless(10, 26, 9001)  # 02:30 is shown twice
    (1761438600000000, 1761438601000000)
    >>> clock.yearless(10, 26, 8000)  # a time before: it is the second one
    1761441200000000
    """

    zone: Zone
    latest_us: int = 0
    first_year: int | None = None
    survey: Callable[[], YearOrder | None] | None = None

    def __post_init__(self) -> None:
        self.last_us: int | None = None
        self.zoneless = self.twice = self.skipped = 0
        self.years: tuple[int, int] | None = None
        self._days: dict[int, int | None] = {}
        self._quarters: dict[int, int | None] = {}
        self._order: YearOrder | None = None
        self._inferred = False

    def at(self, wall_s: int, micros: int = 0) -> int:
        """Return the instant at which the zone's clocks show a time; ``wall_s`` is as in ``wall_clock``."""
        self.zoneless += 1
        offset = self._offset_of_day(wall_s // DAY_S)
        instant = (wall_s - offset if offset is not None else self._odd(wall_s)) * 1_000_000 + micros
        return self.instant(instant)

    def instant(self, instant: int) -> int:
        """Return an instant that the log gives without doubt; raise Unfit if it cannot be stored."""
        if not TIME_MIN_US <= instant <= TIME_MAX_US:
            raise Unfit("its time is not in the years 0001 to 9999")
        self.last_us = instant
        return instant

    def dated(self, year: int, month: int, day: int, second: int, micros: int = 0) -> int:
        """Return the instant of a date and a second of the day."""
        return self.at(days_of(year, month, day) * DAY_S + second, micros)

    def yearless(self, month: int, day: int, second: int, micros: int = 0) -> int:
        """Return the instant of a time without a year; ``second`` is that of the day."""
        self._order = order = after(self._order, month, day, second)
        if self.first_year is None:
            self.first_year, self._inferred = self._first_year(order), True
        year = self.first_year + order.years
        days = days_of(year, month, day)
        if self._inferred and (days - 1) * DAY_US > self.latest_us + DAY_US:
            raise Unfit(f"its year cannot be told: in {year} it would be later than the file; give --year")
        instant = self.at(days * DAY_S + second, micros)
        low, high = self.years or (year, year)
        self.years = (min(low, year), max(high, year))
        return instant

    def surveyed(self) -> YearOrder | None:
        """Return the order of the times without a year that were read; None if there was none."""
        return self._order

    def assumptions(self) -> list[str]:
        """Return what was assumed, for people."""
        found = []
        if self.zoneless:
            found.append(f"{_times(self.zoneless)} without a zone, read as {self.zone.name}")
        if self.twice:
            found.append(f"{_times(self.twice)} shown twice there, told apart by the order of the lines")
        if self.skipped:
            found.append(f"{_times(self.skipped)} skipped there, read as if the clock had not jumped")
        if self.years:
            low, high = self.years
            between = f"{low}" if low == high else f"{low} to {high}"
            found.append(f"no year in the log, taken as {between}")
        return found

    def _offset_of_day(self, day: int) -> int | None:
        """Return the offset of a whole day on the wall; None if it changes within a day of it."""
        try:
            return self._days[day]
        except KeyError:
            pass
        if len(self._days) >= _DAYS_KEPT:
            self._days.clear()
        wall_s = day * DAY_S
        try:
            first = self.zone.offset_s(wall_s - OFFSET_S_MAX)
            around = range(wall_s - OFFSET_S_MAX, wall_s + DAY_S + OFFSET_S_MAX, 3600)
            same = all(self.zone.offset_s(instant) == first for instant in around)
        except (ValueError, OverflowError, OSError):  # near the years 1 and 9999
            raise Unfit("its time is not in the years 0001 to 9999") from None
        self._days[day] = found = first if same else None
        return found

    def _odd(self, wall_s: int) -> int:
        """Return the instant of a time on a day on which the offset changes, or beside one."""
        offset = self._offset_of_quarter(wall_s // _QUARTER_S)
        if offset is not None:
            return wall_s - offset
        found = shown_at(wall_s, self.zone.offset_s)
        if not found:
            self.skipped += 1
            return as_if_not_jumped(wall_s, self.zone.offset_s)
        if len(found) > 1:
            self.twice += 1
            if self.last_us is not None and found[0] < self.last_us // 1_000_000 - _DISORDER_S:
                return found[-1]
        return found[0]

    def _offset_of_quarter(self, quarter: int) -> int | None:
        """Return the offset of a quarter of an hour on the wall; None if it is shown twice or not as a
        whole."""
        try:
            return self._quarters[quarter]
        except KeyError:
            pass
        if len(self._quarters) >= _DAYS_KEPT:
            self._quarters.clear()
        ends = (quarter * _QUARTER_S, (quarter + 1) * _QUARTER_S - 1)
        shown = [[wall_s - instant for instant in shown_at(wall_s, self.zone.offset_s)] for wall_s in ends]
        found = shown[0][0] if len(shown[0]) == 1 and shown[0] == shown[1] else None
        self._quarters[quarter] = found
        return found

    def _first_year(self, order: YearOrder) -> int:
        last = self.survey() if self.survey is not None else None
        latest = to_datetime(min(self.latest_us + DAY_US, TIME_MAX_US))
        found = last or order
        year = latest.year
        while not _is_before(year, found, latest):
            year -= 1
        return year - found.years


def _is_before(year: int, order: YearOrder, latest: datetime) -> bool:
    """Say whether a time in a year is not later than another, as far as the day tells."""
    if order.month == 2 and order.day == 29 and not isleap(year):
        return False
    return (year, order.month, order.day) <= (latest.year, latest.month, latest.day)


def after(order: YearOrder | None, month: int, day: int, second: int) -> YearOrder:
    """Return the order with one more time: in the year that puts it nearest to the one before.

    >>> after(after(None, 12, 31, 0), 1, 1, 0).years, after(after(None, 1, 1, 0), 12, 31, 0).years
    (1, -1)
    """
    if not 1 <= month <= 12:
        raise Unfit("no such month")
    if order is None:
        return YearOrder(0, month, day, second)
    before = _MONTH_STARTS[order.month - 1] + order.day
    further = _MONTH_STARTS[month - 1] + day - before
    years = order.years
    if further < -_YEAR_DAYS // 2:
        years += 1
    elif further > _YEAR_DAYS // 2:
        years -= 1
    return YearOrder(years, month, day, second)


def days_of(year: int, month: int, day: int) -> int:
    """Return the days from 1970 to a date; raise Unfit if there is no such day.

    >>> days_of(1970, 1, 2)
    1
    """
    try:
        return date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise Unfit(f"there is no {year:04}-{month:02}-{day:02}") from None
