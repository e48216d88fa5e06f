"""DATE: every form that is accepted, and texts that are refused."""

import time
import zoneinfo
from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from yamcs_archive.cli.dates import parse_date

_DAY_US = 86_400_000_000
_NOON_US = 1_795_435_200_000_000
"""2026-11-23T12:00:00Z, the 327th day of its year."""


@pytest.fixture(params=["UTC", "UTC+5", "Europe/Brussels"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", request.param)
        time.tzset()
        yield request.param
    time.tzset()


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-11-23T12:00:00Z", _NOON_US),
        ("2026-11-23T14:00:00+02:00", _NOON_US),
        ("2026-11-23 12:00:00+00:00", _NOON_US),
        ("2026-11-23T12:00:00.123456789Z", _NOON_US + 123_456),
        ("2026-327T12:00:00Z", _NOON_US),
        ("2026-327T12:00:00.5Z", _NOON_US + 500_000),
        ("2024-366T00:00:00Z", 1_735_603_200_000_000),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ("0001-001T00:00:00Z", -62_135_596_800_000_000),
        (" 1970-01-01T00:00:00Z ", 0),
    ],
)
def test_a_date_with_an_offset_is_that_instant_everywhere(zone: str, text: str, instant: int) -> None:
    assert parse_date(text) == instant


@pytest.mark.parametrize(
    ("text", "naive"),
    [
        ("2026-07-01T12:00:00", datetime(2026, 7, 1, 12)),
        ("2026-07-01 12:00", datetime(2026, 7, 1, 12)),
        ("2026-12-01", datetime(2026, 12, 1)),
        ("2026-335", datetime(2026, 12, 1)),
        ("2026-182T12:00:00", datetime(2026, 7, 1, 12)),
    ],
)
def test_a_date_without_an_offset_is_local_time(zone: str, text: str, naive: datetime) -> None:
    assert parse_date(text) == round(naive.timestamp() * 1e6)


def test_words_name_local_midnights_and_with_utc_those_of_greenwich(zone: str) -> None:
    for _ in range(2):  # try again if midnight came between the two readings of the clock
        utc, local = datetime.now(UTC), datetime.now()
        words = ("yesterday", "today", "tomorrow", "Yesterday UTC", "today UTC", "TOMORROW UTC")
        found = [parse_date(word) for word in words]
        if datetime.now().day == local.day and datetime.now(UTC).day == utc.day:
            break
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    here = [round((midnight + timedelta(days)).timestamp() * 1e6) for days in (-1, 0, 1)]
    today = round(utc.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e6)
    assert found == [*here, today - _DAY_US, today, today + _DAY_US]


@pytest.mark.parametrize("word", ["now", "now UTC"])
def test_now_is_now(zone: str, word: str) -> None:
    before = round(datetime.now(UTC).timestamp() * 1e6)
    assert before <= parse_date(word) + 1 <= round(datetime.now(UTC).timestamp() * 1e6) + 2


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "soon",
            "now CET",
            "2026-02-30",
            "2026-13-01T00:00:00Z",
            "12:00",
            "1h ago",
            "h",
            "1m1h",
            "1.5h",
        ),
        *("99999999w", "@", "@1_0", "@999999999999", "@1,5", "١٧٠٠٠٠٠٠٠٠", "1H", "--1h", "+1h"),
        *("2026-000", "2026-366T00:00:00Z", "2026-1234", "0001-01-01T00:00:00+10:00", "2026-11-23T25:00:00Z"),
    ],
)
def test_a_text_that_is_no_date_is_refused_and_the_error_lists_the_forms(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a date; give RFC 3339"):
        parse_date(text)


@pytest.mark.parametrize(
    ("text", "passed_s"),
    [
        *(("1h", 3600), ("-1h", 3600), ("30m", 1800), ("2d", 172_800), ("1w", 604_800), ("45s", 45)),
        *(("1h30m", 5400), ("1w2d3h4m5s", 788_645), ("0s", 0), ("90m", 5400), (" 1h ", 3600)),
    ],
)
def test_a_duration_means_that_long_ago(text: str, passed_s: int) -> None:
    before = time.time_ns() // 1000
    found = parse_date(text) + passed_s * 1_000_000
    assert before <= found <= time.time_ns() // 1000


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        *(("1795435200", _NOON_US), ("1795435200.25", _NOON_US + 250_000)),
        *(("1000000000", 10**15), ("9999999999", 9_999_999_999_000_000)),
        *(("1795435200123", _NOON_US + 123_000), ("1795435200123456", _NOON_US + 123_456)),
        *(("@0", 0), ("@-1.5", -1_500_000), ("@999999999", 999_999_999_000_000), ("@1795435200", _NOON_US)),
        ("@1.1234567", 1_123_456),
    ],
)
def test_a_number_whose_digits_say_its_unit_is_unix_time_in_every_zone(
    zone: str, text: str, instant: int
) -> None:
    assert parse_date(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        *("0", "5", "1.5", "999999999", "10000000000", "999999999999", "10000000000000", "1" * 15, "1" * 17),
        *("1" * 19, "-5", "-1795435200", "+1795435200", "1795435200123.5", "20261123.5", "9" * 5000),
    ],
)
def test_a_number_that_may_be_of_several_units_is_refused_with_the_way_to_say_it(text: str) -> None:
    with pytest.raises(
        ArgumentTypeError, match=f"does not say its unit: 10 digits .* @{text[:1]}".replace("+", ".")
    ):
        parse_date(text)


def test_eight_digits_are_a_date_as_iso_has_it(zone: str) -> None:
    assert parse_date("20261123") == parse_date("2026-11-23")


# --- days without a midnight: each zone of the system, each year that has rules ---


def _zones() -> list[str]:
    """One name for each set of rules in the system's table of time zones."""
    seen: dict[bytes, str] = {}
    for folder in map(Path, zoneinfo.TZPATH):
        for name in sorted(zoneinfo.available_timezones()):
            path = folder / name
            if path.is_file():
                seen.setdefault(path.read_bytes(), name)
    return sorted(seen.values())


def _odd_days(rules: zoneinfo.ZoneInfo) -> Iterator[date]:
    """Yield the days of 1970 to 2037 whose midnight a clock shows never or twice."""
    months = [datetime(year, month, 1, tzinfo=rules) for year in range(1970, 2038) for month in range(1, 13)]
    offsets = [month.utcoffset() for month in months]
    for first, here, there in zip(months, offsets, [*offsets[1:], None], strict=True):
        if here == there:
            continue
        for day in range(31):
            midnight = first + timedelta(day)
            if midnight.utcoffset() != midnight.replace(fold=1).utcoffset():
                yield midnight.date()


def test_a_day_begins_with_its_first_instant_in_every_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    zones = _zones()
    if not zones:
        pytest.skip("the system has no table of time zones")
    looked = 0
    with monkeypatch.context() as patched:
        for name in zones:
            rules = zoneinfo.ZoneInfo(name)
            days = list(_odd_days(rules))
            if not days:
                continue
            patched.setenv("TZ", name)
            time.tzset()
            for day in days[:: max(1, len(days) // 4)]:
                looked += 1
                _check_first_instant(parse_date(day.isoformat()), day, rules)
    time.tzset()
    assert looked > 200


def _check_first_instant(found_us: int, day: date, rules: zoneinfo.ZoneInfo) -> None:
    """Check that a clock shows that day from this instant on; a skipped day counts as the next one."""
    found = datetime.fromtimestamp(found_us // 1_000_000, UTC)
    where = (str(rules), day, found)
    assert found_us % 1_000_000 == 0, where
    assert found.astimezone(rules).date() >= day, where
    steps = [timedelta(seconds=1), *(timedelta(minutes=30 * n) for n in range(1, 49))]
    assert all((found - step).astimezone(rules).date() < day for step in steps), where


@pytest.mark.parametrize(
    ("name", "day", "expected"),
    [
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z"),  # put forward at midnight
        ("Africa/Cairo", "2026-114", "2026-04-23T22:00:00Z"),
        ("Africa/Cairo", "20260424", "2026-04-23T22:00:00Z"),
        ("America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"),  # put back to midnight, which comes twice
        ("America/Toronto", "1987-10-25", "1987-10-25T04:00:00Z"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"),  # a day that there was not
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"),
        ("Africa/Monrovia", "1972-01-07", "1972-01-07T00:44:30Z"),  # put forward by 44 min 30 s
        ("<+2459>-24:59", "2026-01-01", "2025-12-30T23:01:00Z"),
        ("<-2459>24:59", "2026-01-01", "2026-01-02T00:59:00Z"),
    ],
)
def test_days_that_begin_oddly(name: str, day: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not name.startswith("<") and name not in zoneinfo.available_timezones():
        pytest.skip("the system has no such zone")
    with monkeypatch.context() as patched:
        patched.setenv("TZ", name)
        time.tzset()
        found = parse_date(day)
    time.tzset()
    assert found == parse_date(expected)


def test_a_time_that_the_clock_jumps_over_is_read_as_if_it_had_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Europe/Brussels")
        time.tzset()
        found = [parse_date(f"2026-{text}") for text in ("03-29T02:30", "10-25T02:30", "10-25T02:30:00.5")]
    time.tzset()
    assert found == [
        parse_date("2026-03-29T01:30:00Z"),
        parse_date("2026-10-25T00:30:00Z"),  # the first of the two
        parse_date("2026-10-25T00:30:00.5Z"),
    ]
