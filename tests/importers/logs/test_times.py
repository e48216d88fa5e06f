"""Times of logs: zones, clocks put forward and back, years that are missing, and the forms of times."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.importers.logs.samples import one, read
from yamcs_archive.files.reading import Rejected, Source
from yamcs_archive.importers.logs import time_format
from yamcs_archive.importers.logs.clock import Clock, Zone
from yamcs_archive.importers.logs.forms import Unfit
from yamcs_archive.importers.logs.options import LogOptions
from yamcs_archive.importers.logs.syslog import open_reader
from yamcs_archive.times import format_rfc3339, to_us

ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Africa/Cairo", "Asia/Kathmandu")
wall_times = st.datetimes(datetime(1960, 1, 1), datetime(2090, 1, 1))


def clock_of(zone: str = "UTC") -> Clock:
    return Clock(Zone.named(zone))


def shown(form: str, text: str, zone: str = "UTC") -> str:
    return format_rfc3339(time_format.compiled(form)(text, clock_of(zone)))


@given(st.sampled_from(ZONES), wall_times)
def test_a_time_without_a_zone_is_what_zoneinfo_makes_of_it(zone: str, wall: datetime) -> None:
    found = time_format.iso(wall.isoformat(), clock_of(zone))
    assert found == to_us(wall.replace(tzinfo=ZoneInfo(zone)))


FORMS = (
    "%Y-%m-%d %H:%M:%S.%f", "%d/%b/%Y:%H:%M:%S", "%A, %d %B %Y %I:%M %p", "%j %Y %H", "%y%m%d %H%M%S",
    "%F %T", "%a %b %d %H:%M:%S %Y %z",
)  # fmt: skip


@given(wall_times, st.sampled_from(FORMS))
def test_a_format_reads_what_strftime_writes(wall: datetime, form: str) -> None:
    if "%y" in form and not 1969 <= wall.year <= 2068:
        return
    aware = wall.replace(tzinfo=UTC)
    text = aware.strftime(form)
    known = {"%F %T": "%Y-%m-%d %H:%M:%S"}.get(form, form)
    expected = datetime.strptime(text, known).replace(tzinfo=UTC)
    assert time_format.compiled(form)(text, clock_of()) == to_us(expected)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("iso", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("iso", "2026-01-31  12:00:00,123", "2026-01-31T12:00:00.123Z"),
        ("iso", "2026-01-31 12:00:00.1234567 +0130", "2026-01-31T10:30:00.123456Z"),
        ("iso", "2026/01/31 12:00:00-02", "2026-01-31T14:00:00Z"),
        ("iso", "20260131T120000Z", "2026-01-31T12:00:00Z"),
        ("iso", "2026-01-31t12:00z", "2026-01-31T12:00:00Z"),
        ("iso", "2026-01-31 12:00:60 UTC", "2026-01-31T12:01:00Z"),
        ("iso", "2028-366T00:00:00.5", "2028-12-31T00:00:00.500Z"),
        ("unix", "1767225600", "2026-01-01T00:00:00Z"),
        ("unix", "1767225600.1234567", "2026-01-01T00:00:00.123456Z"),
        ("unix", "-1.5", "1969-12-31T23:59:58.500Z"),
        ("unix-ms", "1767225600001", "2026-01-01T00:00:00.001Z"),
        ("unix-us", "1767225600000001", "2026-01-01T00:00:00.000001Z"),
        ("unix-ns", "1767225600000001999", "2026-01-01T00:00:00.000001Z"),
        ("excel", "46023.5", "2026-01-01T12:00:00Z"),
        ("excel", "46023.000011574", "2026-01-01T00:00:01Z"),
        ("%b %e %H:%M:%S %Y %Z", "jan  1 09:00:00 2026 gmt", "2026-01-01T09:00:00Z"),
        ("[%s%%]", "[5%]", "1970-01-01T00:00:05Z"),
        ("%d.%m.%y %k:%M", "1.2.69  0:05", "1969-02-01T00:05:00Z"),
        ("%m/%d/%Y %I %p", "12/31/2026 12 am", "2026-12-31T00:00:00Z"),
    ],
)
def test_forms_of_times(form: str, text: str, expected: str) -> None:
    assert shown(form, text) == expected


@pytest.mark.parametrize(
    ("form", "text"),
    [
        *(("iso", text) for text in ("2026-02-29 00:00:00", "2026-01-01 24:00:00", "2026-01-01", "now", "",
            "2026-01-01T00:00:00+24:00", "2027-366T00:00:00", "2026-000T00:00:00", "0000-01-01T00:00:00",
            "0001-01-01T00:00:00+01:00", "٢٠٢٦-01-01T00:00:00Z")),
        *(("unix", text) for text in ("", "x", "1e9", "99999999999999", "٣")),
        *(("excel", text) for text in ("-1", "x", "99999999")),
        ("%Y-%m-%d %H:%M:%S", "2026-01-01 00:00"), ("%j %Y %H", "366 2026 00"), ("%I %p %m %d", "13 pm 1 1"),
    ],
)  # fmt: skip
def test_what_is_no_time_is_unfit(form: str, text: str) -> None:
    with pytest.raises(Unfit):
        shown(form, text)


@pytest.mark.parametrize(
    "form", ["", "x", "%Q %H", "%Y %H", "%m-%d", "%Y-%m-%d", "%H %H %m %d", "%Y-%m-%d %I:%M", "%"]
)
def test_a_format_that_is_none_says_so(form: str) -> None:
    with pytest.raises(ValueError, match="time format"):
        time_format.compiled(form)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "+25:00", "+02:60", "../../etc/passwd", "Europe", "+2"])
def test_a_zone_that_is_none_says_so(name: str) -> None:
    with pytest.raises(ValueError, match="timezone"):
        Zone.named(name)


def at(zone: Clock, text: str) -> str:
    return format_rfc3339(time_format.iso(text, zone))


def test_a_time_that_is_shown_twice_follows_the_order_of_the_lines() -> None:
    clock = clock_of("Europe/Berlin")
    wall = ["02:10", "02:59", "02:00", "02:30", "02:29", "03:00"]
    assert [at(clock, f"2025-10-26 {each}") for each in wall] == [
        f"2025-10-26T{each}:00Z" for each in ("00:10", "00:59", "01:00", "01:30", "01:29", "02:00")
    ]
    assert clock.twice == 5
    alone = clock_of("Europe/Berlin")
    assert at(alone, "2025-10-26 02:30:00") == "2025-10-26T00:30:00Z"
    assert alone.assumptions() == [
        "1 time without a zone, read as Europe/Berlin",
        "1 time shown twice there, told apart by the order of the lines",
    ]


def test_lines_a_little_out_of_order_stay_in_the_first_of_two_hours() -> None:
    clock = clock_of("Europe/Berlin")
    assert [at(clock, f"2025-10-26 {each}") for each in ("02:30:00", "02:25:00", "02:24:59")] == [
        f"2025-10-26T{each}Z" for each in ("00:30:00", "00:25:00", "00:24:59")
    ]
    clock = clock_of("Europe/Berlin")
    assert [at(clock, f"2025-10-26 {each}") for each in ("02:30:00", "02:24:59")] == [
        f"2025-10-26T{each}Z" for each in ("00:30:00", "01:24:59")
    ]


def test_a_time_that_is_skipped_is_read_as_if_the_clock_did_not_jump() -> None:
    clock = clock_of("Europe/Berlin")
    assert at(clock, "2026-03-29 02:30:00") == "2026-03-29T01:30:00Z"
    assert clock.assumptions()[1] == "1 time skipped there, read as if the clock had not jumped"


def test_a_time_with_its_offset_needs_no_assumption() -> None:
    clock = clock_of("Europe/Berlin")
    assert at(clock, "2025-10-26 02:30:00+01:00") == "2025-10-26T01:30:00Z"
    assert clock.assumptions() == []


def syslog_times(path: Path, lines: list[str], modified: str, **options: object) -> list[str]:
    path.write_text("".join(f"{line} host app: x\n" for line in lines))
    stamp = datetime.fromisoformat(modified).timestamp()
    os.utime(path, (stamp, stamp))
    with path.open("rb") as stream:
        how = LogOptions(**{"timezone": "UTC", "reject": lambda _: None} | options)  # type: ignore[arg-type]
        reader = open_reader(Source(stream, str(path), path), how)
        return [format_rfc3339(time or 0) for part in reader.parts() for time in part.generation_time]


def test_years_follow_from_the_modification_time_and_the_order_of_the_lines(tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    lines = ["Nov 30 00:00:00", "Dec 31 23:59:59", "Jan  1 00:00:00", "Dec 31 23:59:58", "Jun  1 00:00:00",
             "Nov  1 00:00:00", "Jan  2 00:00:00", "Feb 29 12:00:00", "Mar  1 00:00:00"]  # fmt: skip
    years = [time[:4] for time in syslog_times(path, lines, "2024-03-01T08:00:00Z")]
    assert years == ["2022", "2022", "2023", "2022", "2023", "2023", "2024", "2024", "2024"]
    assert syslog_times(path, ["Mar  2 00:00:00"], "2024-03-01T08:00:00Z") == ["2024-03-02T00:00:00Z"]
    assert syslog_times(path, ["Mar  3 00:00:00"], "2024-03-01T08:00:00Z") == ["2023-03-03T00:00:00Z"]
    assert syslog_times(path, ["Feb 29 00:00:00"], "2023-03-01T08:00:00Z") == ["2020-02-29T00:00:00Z"]
    assert [time[:4] for time in syslog_times(path, lines[:3], "2030-01-01T00:00:00Z", year=1999)] == [
        *("1999", "1999", "2000")
    ]


def test_the_same_line_has_the_same_year_when_the_log_has_grown(tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    lines = [f"{(datetime(2022, 3, 1) + timedelta(days=n)):%b %d} 00:00:00" for n in range(0, 1200, 10)]
    ends = [f"{datetime(2022, 3, 1) + timedelta(days=10 * n):%Y-%m-%d}T05:00:00Z" for n in range(120)]
    whole = syslog_times(path, lines, ends[-1])
    assert (whole[0][:4], whole[-1][:4]) == ("2022", "2025")
    for size in (1, 31, 32, 70, 119):
        assert syslog_times(path, lines[:size], ends[size - 1]) == whole[:size]


def test_a_compressed_log_that_was_cut_has_its_years_up_to_there(tmp_path: Path) -> None:
    path = tmp_path / "syslog.gz"
    lines = [f"{(datetime(2022, 3, 1) + timedelta(days=n)):%b %d} 00:00:00 host app: {n}" for n in range(900)]
    path.write_bytes(gzip.compress("\n".join(lines).encode())[:-9])
    stamp = datetime(2024, 9, 1).timestamp()
    os.utime(path, (stamp, stamp))
    rejected: list[Rejected] = []
    with path.open("rb") as stream:
        how = LogOptions(timezone="UTC", reject=rejected.append)
        reader = open_reader(Source(stream, str(path), path), how)
        found: list[int | None] = []
        with pytest.raises(ValueError, match="truncated"):
            found += (time for part in reader.parts() for time in part.generation_time)
    assert rejected == []
    assert found[:2] == [to_us("2022-03-01T00:00:00Z"), to_us("2022-03-02T00:00:00Z")]


def test_a_log_that_cannot_be_read_twice_begins_within_the_year_before() -> None:
    now = datetime.now(UTC)
    old, new = now - timedelta(days=100), now - timedelta(days=1)
    lines = [f"{each:%b %d %H:%M:%S} host app: x" for each in (old, new)]
    events, rejected = read("syslog", "\n".join(lines).encode())
    if old.strftime("%m%d") != "0229":
        assert [event.generation_time for event in events] == [
            to_us(each.replace(microsecond=0)) for each in (old, new)
        ]
        assert rejected == []
    later = now + timedelta(days=40)
    if later.strftime("%m%d") != "0229":
        events, rejected = read("syslog", f"{lines[1]}\n{later:%b %d %H:%M:%S} host app: x".encode())
        assert len(events) == 1
        assert "give --year" in rejected[0][1]


def test_the_zone_of_the_machine_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    import time  # noqa: PLC0415

    with monkeypatch.context() as patched:
        patched.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        event = one("syslog", "2026-01-01T00:00:00 host app: x", timezone="local")
        assert format_rfc3339(event.generation_time or 0) == "2025-12-31T15:00:00Z"
        assert Zone.named("local").name == "local time (JST)"
    time.tzset()
