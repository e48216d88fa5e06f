"""DATE: every form that is taken, and what is not."""

import time
from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

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
    for _ in range(2):  # once more if midnight came between the two looks at the clock
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
        *("", "soon", "now CET", "2026-02-30", "2026-13-01T00:00:00Z", "12:00", "1700000000"),
        *("2026-000", "2026-366T00:00:00Z", "2026-1234", "0001-01-01T00:00:00+10:00", "2026-11-23T25:00:00Z"),
    ],
)
def test_what_is_no_date_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ArgumentTypeError, match="is not a date; give RFC 3339"):
        parse_date(text)
