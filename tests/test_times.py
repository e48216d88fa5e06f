"""Instants: RFC 3339 and datetimes to microseconds and back, and the values that are refused."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive.errors import BadTimeError
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.times import format_rfc3339, parse_rfc3339, to_datetime, to_us

instants = st.integers(TIME_MIN_US, TIME_MAX_US)


@given(instants)
def test_every_instant_round_trips_as_text_and_as_datetime(instant: int) -> None:
    assert parse_rfc3339(format_rfc3339(instant)) == instant
    assert to_us(to_datetime(instant)) == instant == to_us(instant)


@given(instants)
def test_text_has_0_3_or_6_fraction_digits_whichever_suffice(instant: int) -> None:
    _, _, fraction = format_rfc3339(instant).rstrip("Z").partition(".")
    expected = 0 if instant % 1_000_000 == 0 else 3 if instant % 1000 == 0 else 6
    assert len(fraction) == expected


@given(st.datetimes(timezones=st.just(UTC)), st.integers(-23 * 60, 23 * 60))
def test_an_offset_means_the_same_instant(moment: datetime, minutes: int) -> None:
    shifted = timezone(timedelta(minutes=minutes))
    try:
        text = moment.astimezone(shifted).isoformat()
    except OverflowError:
        return
    assert parse_rfc3339(text) == to_us(moment)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("1970-01-01T00:00:00.1Z", 100_000),
        ("1970-01-01T00:00:00.1234567890Z", 123_456),
        ("1970-01-01T00:00:00.9999999Z", 999_999),
        ("1969-12-31T23:59:60Z", 0),
        ("2016-12-31T23:59:60.5Z", 1_483_228_800_500_000),
        ("1970-01-01T00:00:00-00:00", 0),
    ],
)
def test_a_text_that_is_a_time_is_parsed(text: str, instant: int) -> None:
    assert parse_rfc3339(text) == instant


@pytest.mark.parametrize(
    "text",
    [
        "", "now", "0", "2026-01-01", "2026-01-01T00:00:00", "2026-01-01 00:00:00Z", "2026-01-01t00:00:00Z",
        "2026-01-01T00:00:00z", "2026-02-30T00:00:00Z", "2026-01-01T25:00:00Z", "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00Z", "2026-01-01T00:00:00+0100", "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+01:60",
        "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "２０２６-01-01T00:00:00Z", "2026-01-01T00:00:00Z\n",
        " 2026-01-01T00:00:00Z", "2026-W01-1T00:00:00Z", "20260101T000000Z",
    ],
)  # fmt: skip
def test_text_that_is_refused_is_named(text: str) -> None:
    with pytest.raises(BadTimeError, match=r"^start "):
        parse_rfc3339(text, "start")


@pytest.mark.parametrize(
    "value",
    [datetime(2026, 1, 1), 1.5, None, True, b"2026", TIME_MAX_US + 1, TIME_MIN_US - 1, 10**30],
    ids=repr,
)
def test_values_that_are_no_instant_are_refused(value: object) -> None:
    with pytest.raises(BadTimeError):
        to_us(value, "start")  # type: ignore[arg-type]  # that is the point
