"""Logs as a whole: however their bytes arrive, the same events; bounds; and what is no log at all."""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.importers.logs.samples import LOGS, PATTERN, field, read, reader_of
from yamcs_archive.files.reading import Rejected
from yamcs_archive.importers.logs.log_reader import REJECTED_MAX

Found = tuple[list[Any], list[Rejected]]


def fed(form: str, pieces: list[bytes]) -> Found:
    rejected: list[Rejected] = []
    reader = reader_of(form, pieces, reject=rejected.append, **LOGS[form][1])
    return [event for part in reader.parts() for event in part.events()], rejected


@pytest.mark.parametrize("form", LOGS)
def test_byte_by_byte_is_as_whole(form: str) -> None:
    data = LOGS[form][0]
    assert fed(form, [data[at : at + 1] for at in range(len(data))]) == fed(form, [data])


@given(st.sampled_from(sorted(LOGS)), st.lists(st.integers(0, 900), max_size=8))
def test_cut_anywhere_is_as_whole(form: str, cuts: list[int]) -> None:
    data = LOGS[form][0]
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    assert fed(form, [data[start:stop] for start, stop in pairwise(places)]) == fed(form, [data])


@pytest.mark.parametrize("form", LOGS)
def test_any_beginning_of_a_log_gives_the_events_at_its_beginning(form: str) -> None:
    """What a log that grows gives first is what it gives later, but for a record that was cut."""
    data, options = LOGS[form]
    whole = {event.key: event for event in fed(form, [data])[0]}
    for stop in range(0, len(data), 7):
        rejected: list[Rejected] = []
        reader = reader_of(form, [data[:stop]], reject=rejected.append, **options)
        try:
            events = [event for part in reader.parts() for event in part.events()]
        except ValueError:  # nothing could be read
            continue
        assert all(event.key in whole for event in events[:-1])


@pytest.mark.parametrize("form", sorted(set(LOGS) - {"journald"}))
@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_ends_of_lines_do_not_matter(form: str, end: bytes) -> None:
    data, options = LOGS[form]
    if form == "yamcs-csv":  # its fields may hold ends of lines
        data = b"".join(
            line for line in data.splitlines(keepends=True) if b'"' not in line and b"%" not in line
        )
        data += b"A\t1970-01-01T00:00:01Z\t\t\ta\n"
        if end == b"\r":
            return
    plain = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert read(form, plain.replace(b"\n", end), **options) == read(form, plain, **options)


@pytest.mark.parametrize("form", LOGS)
def test_utf_16_is_refused_as_a_whole(form: str) -> None:
    for mark in ("utf-16-le", "utf-16-be"):
        with pytest.raises(ValueError, match="UTF-16"):
            read(form, "\ufeffNov 1".encode(mark), **LOGS[form][1])


@pytest.mark.parametrize("form", LOGS)
def test_what_is_no_such_log_is_an_error_with_its_first_record(form: str) -> None:
    with pytest.raises(ValueError, match="Lorem ipsum") as caught:
        read(form, b"\nLorem ipsum dolor\nsit amet\n\n", **LOGS[form][1])
    assert "1" in str(caught.value) or "2" in str(caught.value)


def test_a_long_log_of_which_nothing_fits_is_given_up() -> None:
    rejected: list[Rejected] = []
    lines = (b"nothing\n" * 1000 for _ in range(1_000_000))
    reader = reader_of("syslog", lines, reject=rejected.append)
    with pytest.raises(ValueError, match="nor could the 9999 after it"):
        list(reader.parts())
    assert len(rejected) == REJECTED_MAX


def test_a_log_that_begins_badly_is_not_given_up_after_its_first_event() -> None:
    data = b"2026-01-01T00:00:00Z h a: b\n" + b"x\n" * (REJECTED_MAX + 5)
    assert len(read("syslog", data)[1]) == REJECTED_MAX + 5


def test_without_a_reject_function_the_first_bad_line_ends_it_after_the_events_before() -> None:
    reader = reader_of("lines", [b"2026-01-01 00:00:00 [I] A: a\nbad\n"], pattern=PATTERN)
    parts = reader.parts()
    assert next(parts).message == ["a"]
    with pytest.raises(ValueError, match="does not match the pattern") as caught:
        next(parts)
    assert caught.value.position == 1  # type: ignore[attr-defined]  # an InvalidInputError
    assert reader.place(1) == "line 2"


LONG = 10 << 20


@pytest.mark.parametrize("form", LOGS)
def test_a_record_of_10_mib_is_rejected_and_the_next_is_read(form: str) -> None:
    data, options = LOGS[form]
    long = b"x" * LONG
    if form == "journald":
        long = b"A=1\n" + field("COREDUMP", b"\n\n" + b"x" * LONG)
    elif form == "yamcs-csv":
        heading, _, data = data.partition(b"\n")
        long = heading + b"\nA\t" + long
    if form == "lines":
        options = options | {"continuation": False}
    events, rejected = read(form, long + b"\n" + data, **options)
    before = read(form, (heading + b"\n" if form == "yamcs-csv" else b"") + data, **options)
    assert events == before[0]
    assert f"more than {8 << 20}" in rejected[0][1]
    assert len(rejected) == len(before[1]) + 1


def test_lines_that_continue_an_event_are_bounded() -> None:
    data = b"2026-01-01 00:00:00 [I] A: a\n" + b"  more of it\n" * (1 << 20)
    data += b"2026-01-01 00:00:01 [I] A: b\n"
    events, rejected = read("lines", data, pattern=PATTERN, continuation=True)
    assert [event.message for event in events] == ["b"]
    assert [place for place, _ in rejected] == ["line 1"]


@pytest.mark.parametrize("form", LOGS)
def test_a_compressed_log_that_was_cut_gives_its_events_and_then_an_error(form: str) -> None:
    data, options = LOGS[form]
    packed = gzip.compress(data * 40, mtime=0)
    events: list[Any] = []
    reader = reader_of(form, [packed[: len(packed) - 9]], reject=lambda _: None, **options)
    with pytest.raises(ValueError, match="truncated"):
        events += (event for part in reader.parts() for event in part.events())
    whole = read(form, gzip.compress(data * 40), **options)[0]
    assert len(events) > 10
    assert events == whole[: len(events)]


def test_places_count_every_line() -> None:
    data = b"".join(
        b"\n" * (n % 3) + b"2026-01-01 00:00:00 [I] A: %d\n" % n + b" x\n" * (n % 4) for n in range(500)
    )
    reader = reader_of("lines", [data], pattern=PATTERN, continuation=True)
    messages = [message for part in reader.parts() for message in part.message]
    lines = data.split(b"\n")
    for position, message in enumerate(messages):
        number = int(reader.place(position).removeprefix("line "))
        assert lines[number - 1].endswith(b": " + message.split("\n")[0].encode())
