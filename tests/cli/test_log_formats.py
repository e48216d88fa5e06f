"""The formats of ``events log``, its columns, and what a terminal is never sent."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.child import ROOT, WAIT_S
from tests.cli.conftest import Run
from tests.cli.terminal import Terminal
from tests.server.at_hand import at_hand
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.cli.log_columns import ALL
from yamcs_archive.cli.log_formats import FORMATS, Shape, lines_of

HOSTILE = 'tab\there, "quoted"\r\nnext \x1b[2J\x9b2J back\\slash'


@pytest.fixture
def odd(data: Path) -> Path:
    """Events with what formats are about: absent, empty, hostile."""
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            [
                Event("plain", source="S", generation_time=0, seq_number=1, reception_time=5),
                Event(
                    HOSTILE, source="a,b", type="", severity=Severity.ERROR, generation_time=1, seq_number=2
                ),
                Event(
                    "",
                    source="S",
                    type="T",
                    severity=Severity.WATCH,
                    generation_time=1_500_000,
                    seq_number=3,
                    extra={"unit": "rpm", "axis": ""},
                    created_by="ops",
                    extensions=b"\xa0\x06\x01",
                ),
            ]
        )
    return data


def log(run: Run, data: Path, *options: object) -> str:
    ran = run("events", "log", "--data", data, *options)
    assert (ran.status, ran.err) == (0, "")
    return ran.out


def test_csv_has_every_column_and_tells_absent_from_empty(run: Run, odd: Path) -> None:
    out = log(run, odd, "--format", "csv")
    rows = list(csv.reader(io.StringIO(out, newline="")))
    assert tuple(rows[0]) == ALL
    by_name = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
    assert [row["message"] for row in by_name] == ["plain", HOSTILE, ""]
    assert [row["severity"] for row in by_name] == ["INFO", "SEVERE", "WATCH"]
    assert by_name[1]["source"] == "a,b"
    assert json.loads(by_name[2]["extra"]) == {"unit": "rpm", "axis": ""}
    assert by_name[2]["extensions"] == "oAYB"
    lines = log(run, odd, "--format", "csv", "--columns", "seq_number,type,extra.axis").splitlines()
    assert lines == ["seq_number,type,extra.axis", "1,,", '2,"",', '3,T,""']


def test_tsv_has_one_line_for_each_event_whatever_is_in_it(run: Run, odd: Path) -> None:
    lines = log(run, odd, "--format", "tsv", "--columns", "seq_number,message").split("\n")
    assert lines == [
        "seq_number\tmessage",
        "1\tplain",
        '2\ttab\\there, "quoted"\\r\\nnext \x1b[2J\x9b2J back\\\\slash',
        "3\t",
        "",
    ]


def test_chosen_columns_name_the_fields_of_json_and_the_headings_of_a_table(run: Run, odd: Path) -> None:
    chosen = ("--columns", "seq_number,level,type,extra.unit,time")
    lines = [json.loads(line) for line in log(run, odd, "--format", "jsonl", *chosen).splitlines()]
    assert lines == json.loads(log(run, odd, "--format", "json", *chosen))
    assert [list(line) for line in lines] == [["seq_number", "level", "type", "extra.unit", "time"]] * 3
    assert [line["type"] for line in lines] == [None, "", "T"]
    assert [line["extra.unit"] for line in lines] == [None, None, "rpm"]
    assert [line["level"] for line in lines] == [0, 5, 1]
    assert log(run, odd, *chosen).splitlines()[::3] == [
        "SEQ NUMBER  LEVEL  TYPE  EXTRA.UNIT  TIME",
        "3           1      T     rpm         1970-01-01T00:00:01.500Z",
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("time,mesage", "'mesage' is no column; did you mean 'message'?"),
        ("torque", "'torque' is no column; there are time, source,"),
        ("time,time", "'time' is there twice"),
        ("time,", "'' is no column"),
        ("extra.", "'extra.' is no column; did you mean 'extra'?"),
    ],
)
def test_a_wrong_column_is_refused_with_the_nearest_name(
    run: Run, data: Path, columns: str, said: str
) -> None:
    ran = run("events", "log", "--data", data, "--columns", columns)
    assert (ran.status, ran.out) == (2, "")
    assert f"--columns {said}" in ran.err


def test_a_url_gives_the_same_in_every_format(run: Run, odd: Path) -> None:
    with at_hand(odd) as served:
        for form in FORMATS:
            for options in ((), ("--columns", "time,source,type,extra.axis,extra,level"), ("--first", 1)):
                here, there = (
                    run("events", "log", *place, "--format", form, *options)
                    for place in (("--data", odd), ("--url", served.url))
                )
                assert here.status == 0
                assert here == there


def test_local_times_have_their_offset_in_every_text_format(odd: Path) -> None:
    def shown(form: str) -> str:
        return subprocess.run(
            [
                *(sys.executable, "-m", "yamcs_archive", "events", "log", "--data", str(odd)),
                *("--local", "--format", form, "--columns", "time,reception_time", "-n", "1"),
            ],
            cwd=ROOT,
            env={"TZ": "XXX+3:30"},  # three and a half hours behind, by the sign that POSIX gives it
            capture_output=True,
            text=True,
            check=True,
            timeout=WAIT_S,
        ).stdout.splitlines()[-1]

    time = "1969-12-31 20:30:01.500000-03:30"
    assert shown("table").startswith(time)
    assert shown("csv").startswith(f"{time},")
    assert shown("tsv").startswith(f"{time}\t")
    assert '"1970-01-01T00:00:01.500Z"' in shown("jsonl")


@pytest.mark.parametrize("form", FORMATS)
def test_a_terminal_gets_no_control_characters_of_an_event(odd: Path, form: str) -> None:
    log = ("-m", "yamcs_archive", "events", "log", "--data", odd, "--format", form, "--color", "never")
    terminal = Terminal(*log, "--columns", "message", whole=True, environment={"PAGER": "cat"})
    assert terminal.end() == 0
    assert "back" in terminal.sent
    assert not set(terminal.sent) & set(map(chr, (*range(9), 0x0B, 0x0C, *range(0x0E, 0x20), 0x7F, 0x9B)))


events = st.builds(
    Event,
    st.text(max_size=20),
    source=st.text('ab,\t\n"\\', min_size=1, max_size=5),
    type=st.none() | st.text('ab,\t\n\r"\\', max_size=5),
    generation_time=st.integers(0, 10**15),
    seq_number=st.integers(0, 9),
)


@given(st.lists(events, max_size=5))
def test_csv_and_tsv_are_read_back_as_they_were(shown: list[Event]) -> None:
    shape = Shape(columns=["source", "message", "type"])
    texts = [[event.source, event.message, event.type] for event in shown]
    out = "".join(f"{line}\n" for line in lines_of("csv", iter(shown), shape))
    read = list(csv.reader(io.StringIO(out, newline="")))[1:]
    assert read == [[text or "" for text in row] for row in texts]
    unescaped = {"\\\\": "\\", "\\t": "\t", "\\n": "\n", "\\r": "\r"}
    for line, row in zip([*lines_of("tsv", iter(shown), shape)][1:], texts, strict=True):
        cells = line.split("\t")
        for cell, text in zip(cells, row, strict=True):
            parts = iter(cell)
            assert "".join(unescaped[sign + next(parts)] if sign == "\\" else sign for sign in parts) == (
                text or ""
            )
