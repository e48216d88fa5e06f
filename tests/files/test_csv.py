"""CSV as people and spreadsheets leave it: read where its meaning is certain, rejected where it is not."""

from __future__ import annotations

import base64
import csv
import io
import random
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.files.reading import places, read, sorted_out
from yamcs_archive import Event, InvalidInputError, Severity
from yamcs_archive.files.csv_split import split
from yamcs_archive.wire.event_csv import heading, record

HEAD = "generationTime,seqNumber,message,type"
TIME = "1970-01-01T00:00:01Z"
fields = st.text(st.sampled_from('a",\n\r b'), max_size=4)


def good(number: int, kind: str | None = None) -> Event:
    return Event("a", "", generation_time=1_000_000, seq_number=number, type=kind)


def texts(piece: bytes) -> list[list[str]]:
    found = split(piece, ord(","), is_last=True)
    assert not found.malformed
    assert found.used == len(piece)
    rows, at = [], 0
    for count in found.counts.tolist():
        bounds = zip(found.starts[at : at + count], found.stops[at : at + count], strict=True)
        raw = [piece[start:stop].decode() for start, stop in bounds]
        rows.append([each[1:-1].replace('""', '"') if each.startswith('"') else each for each in raw])
        at += count
    return rows


def by_the_standard_library(rows: Sequence[Sequence[str]], end: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=end).writerows(rows)
    return out.getvalue().encode()


@given(st.lists(st.lists(fields, min_size=1, max_size=3), max_size=4), st.sampled_from(["\n", "\r\n", "\r"]))
def test_fields_are_those_of_other_writers_wherever_a_piece_ends(rows: list[list[str]], end: str) -> None:
    body = by_the_standard_library(rows, end)
    assert texts(body) == rows
    lines = split(body, ord(","), is_last=True).lines.sum()
    for cut in range(len(body)):
        first = split(body[:cut], ord(","), is_last=False)
        rest = split(body[first.used :], ord(","), is_last=True)
        assert first.records + rest.records == len(rows)
        assert first.lines.sum() + rest.lines.sum() == lines


def test_random_bytes_never_give_more_than_they_have() -> None:
    rng = random.Random(1)
    for _ in range(3000):
        body = bytes(rng.choices(b'a",\n\r', k=rng.randint(0, 12)))
        for is_last in (False, True):
            found = split(body, ord(","), is_last=is_last)
            assert 0 <= found.used <= len(body)
            assert (found.starts <= found.stops).all()
            assert found.counts.sum() == len(found.starts)
            if is_last and not found.malformed:
                assert found.used == len(body)


def test_an_absent_type_and_an_empty_one_differ() -> None:
    body = f'{HEAD}\n{TIME},1,a,\n{TIME},2,a,""\n{TIME},3,"a",T\n{TIME},4,a," "\n'
    assert [event.type for event in read(body.encode(), "csv")] == [None, "", "T", " "]


@pytest.mark.parametrize(("delimiter", "end"), list(product(",;\t", ["\n", "\r\n", "\r"])))
@pytest.mark.parametrize("mark", ["", "﻿"])
def test_delimiters_ends_and_a_mark_of_spreadsheets_are_taken(delimiter: str, end: str, mark: str) -> None:
    rows = [HEAD, "", f"{TIME},1,a,", f"{TIME},2,a,T", ""]
    body = mark + end.join(rows).replace(",", delimiter)
    assert read(body.encode(), "csv") == [good(1), good(2, "T")]


def test_columns_may_come_in_any_order_and_some_may_be_missing() -> None:
    body = f"severity,message,seqNumber,generationTime\nwatch,a,7,{TIME}\n,b,8,{TIME}\n"
    found = read(body.encode(), "csv")
    assert [(event.severity, event.message, event.seq_number) for event in found] == [
        (Severity.WATCH, "a", 7),
        (Severity.INFO, "b", 8),
    ]


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ("generationTime,seqNumber", "message missing"),
        ("generationTime,seqNumber,mesage,message", "'mesage' is none of them"),
        ("Source,Generation Time,Reception Time,Event Type,Event Text", "--format yamcs-csv"),
        ("time,source,seq_number,message", "events export writes a file"),
        ("generationTime,seqNumber,message,message", "names a column twice"),
        ("", "none of them"),
    ],
)
def test_a_heading_that_is_wrong_is_refused_whole(head: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        sorted_out(f"{head}\n{TIME},1,a\n".encode(), "csv")


BAD = {
    f"{TIME},5": "has 2 fields, and the heading 4",
    f"{TIME},5,a,,,": "has 6 fields",
    f'{TIME},5,a"b,': "a quote within a field",
    f'{TIME},5,"a"b,': "a quote within a field",
    f"{TIME},5.0,a,": "must be a whole number",
    f"{TIME},1_0,a,": "must be a whole number",
    f"{TIME},٣,a,": "must be a whole number",
    f"{TIME},,a,": "seqNumber None: is missing",
    ",5,a,": "generationTime None: is missing",
    f"{TIME},99999999999,a,": "seq_number",
    "2026-11-23 12:00:00,5,a,": "has no zone",
    "2026-11-23T12:00:00,5,a,": "has no zone",
    "11/23/2026 5:00 PM,5,a,": "a spreadsheet has rewritten it",
    "46349.5,5,a,": "a spreadsheet has rewritten it",
    "23.11.2026 12:00,5,a,": "a spreadsheet has rewritten it",
    "noon,5,a,": "noon",
    f"{TIME},5,a,x\0": "must not hold NUL",
}


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_a_bad_record_is_rejected_with_its_line_and_its_bytes(bad: str) -> None:
    rows = [HEAD, f'{TIME},1,"a\nb\r\nc",', bad, f"{TIME},2,a,", "", f"{TIME},3,a,"]
    found, rejected = sorted_out("\n".join(rows).encode(), "csv")
    assert [event.seq_number for event in found] == [1, 2, 3]
    assert places(rejected) == ["line 5"]
    assert BAD[bad] in rejected[0].reason
    assert rejected[0].raw == bad.encode() or b'"message"' in rejected[0].raw
    if not rejected[0].raw.startswith(b"{"):  # found while it is read, not when it is checked
        with pytest.raises(InvalidInputError) as caught:
            read("\n".join(rows).encode(), "csv")
        assert caught.value.position == 1


def test_a_quote_that_is_never_closed_costs_its_line() -> None:
    rows = [HEAD, f"{TIME},1,a,", f'{TIME},2,"a,', *(f"{TIME},{n},a," for n in range(3, 9))]
    found, rejected = sorted_out("\n".join(rows).encode(), "csv")
    assert [event.seq_number for event in found] == [1, *range(3, 9)]
    assert places(rejected) == ["line 3"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_a_record_of_ten_megabytes_is_rejected_and_the_next_ones_are_read(quote: str) -> None:
    long = f"{TIME},2,{quote}" + "x" * (10 << 20) + f"{quote},"
    body = "\n".join([HEAD, f"{TIME},1,a,", long, f"{TIME},3,a,"]).encode()
    found, rejected = sorted_out(body, "csv")
    assert [event.seq_number for event in found] == [1, 3]
    assert places(rejected) == ["line 3"]


def test_bytes_that_are_no_utf_8_are_rejected_with_line_and_byte_or_kept() -> None:
    bad = f"{TIME},2,caf".encode() + b"\xe9,"
    body = b"\n".join([HEAD.encode(), f"{TIME},1,a,".encode(), bad, f"{TIME},3,a,".encode()])
    found, rejected = sorted_out(body, "csv")
    assert [event.seq_number for event in found] == [1, 3]
    assert (places(rejected), rejected[0].raw) == (["line 3"], bad)
    assert f"is not UTF-8 at byte {bad.index(0xE9) + 1}" in rejected[0].reason
    kept = read(body, "csv", keep_invalid_utf8=True)[1]
    assert kept.message == "caf�"
    assert base64.b64decode(kept.extra["rawBase64"]) == bad


def test_many_records_with_line_feeds_keep_their_lines() -> None:
    events = [good(n) for n in range(30_000)]
    body = bytearray(heading())
    for n, event in enumerate(events):
        body += record(event).replace(b'"a"', b'"a\na"') if n % 7 == 0 else record(event)
    body += b"bad\r\n"
    found, rejected = sorted_out(bytes(body), "csv")
    assert len(found) == len(events)
    assert places(rejected) == [f"line {2 + len(events) + (len(events) + 6) // 7}"]
