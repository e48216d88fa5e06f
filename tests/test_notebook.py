"""What a notebook shows of the library's values is bounded, and is never more than text in a table."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Archive, Event, Instance, notebook

HOSTILE = "<script>alert(1)</script>\"'&<img src=x onerror=y>\x00\x1b[31m\u202etxt\n"
TAGS = {"p", "bdi", "table", "thead", "tbody", "tr", "th", "td"}


class Reader(HTMLParser):
    """Collects the text of each cell, and refuses what should not be there."""

    def __init__(self, shown: str) -> None:
        super().__init__(convert_charrefs=True)
        self.rows: list[list[str]] = []
        self.paragraphs: list[str] = []
        self._open: list[str] = []
        self.feed(shown)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS
        assert attrs in ([], [("style", "text-align:left")])
        self._open.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "p":
            self.paragraphs.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self._open or "th" in self._open:
            self.rows[-1][-1] += data
        elif "p" in self._open:
            self.paragraphs[-1] += data


def shown(value: Any) -> Reader:
    return Reader(value._repr_html_())


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_text_is_shown_as_text(text: str, title: str) -> None:
    reader = Reader(notebook.table(title, ["a", "b"], [(text, None)], note=title))
    visible = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text[:200])
    assert reader.rows == [["a", "b"], [visible + ("…" if len(text) > 200 else ""), ""]]
    assert not re.search(r"[\x00-\x08\u202a-\u202e\u2066-\u2069]", "".join(map(str, reader.rows)))


def test_a_hostile_event_stays_text_in_every_view(archive: Archive, sim: Instance) -> None:
    done = sim.append(
        Event(HOSTILE, HOSTILE.replace("\0", ""), type=HOSTILE.replace("\0", ""), extra={HOSTILE: HOSTILE})
    )
    for value in (done.event, sim, sim.stats(), archive, sim.table(), sim.table(extra_columns=(HOSTILE,))):
        reader = shown(value)
        assert len(reader.rows) >= 2
    assert [row[-1] for row in shown(sim).rows[1:]] == [
        "<script>alert(1)</script>\"'&<img src=x onerror=y>\\x00\\x1b[31m\\u202etxt\\n"
    ]


def test_an_instance_shows_its_number_and_its_newest_events(sim: Instance) -> None:
    assert shown(sim).paragraphs == ["Instance('sim'): 0 events; the newest"]
    sim.append_many(
        Event(f"Step {n}", "AOCS", "watch", "T", generation_time=n * 1_000_000, seq_number=n)
        for n in range(25)
    )
    reader = shown(sim)
    assert reader.paragraphs == ["Instance('sim'): 25 events; the newest"]
    assert reader.rows[0] == ["time", "source", "number", "severity", "type", "message"]
    assert reader.rows[1] == ["1970-01-01T00:00:24Z", "AOCS", "24", "WATCH", "T", "Step 24"]
    assert len(reader.rows) == 1 + notebook.ROWS_MAX


@pytest.mark.parametrize("count", [0, 9, 10, 11, 6_000])
def test_a_table_shows_its_first_events_and_says_if_there_are_more(sim: Instance, count: int) -> None:
    sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(count))
    reader = shown(sim.table(columns=["message", "level"]))
    assert reader.rows[0] == ["message", "level"]
    assert [row[0] for row in reader.rows[1:]] == [f"Step {n}" for n in range(min(count, 10))]
    assert reader.paragraphs[-1] == ("and more" if count > 10 else "all of them")


def test_stats_show_the_sources_with_most_events(sim: Instance) -> None:
    sim.append_many(Event("a", source=f"S{n:02}") for n in range(12) for _ in range(n + 1))
    reader = shown(sim.stats())
    assert [row[:2] for row in reader.rows[1:3]] == [["S11", "12"], ["S10", "11"]]
    assert len(reader.rows) == 1 + notebook.ROWS_MAX
    assert reader.paragraphs[-1] == "and 2 more"


def test_an_event_shows_the_fields_that_are_set_also_before_it_is_stored(sim: Instance) -> None:
    odd: Any = Event
    for event in (Event("a"), odd("a", severity="warning", generation_time="no time"), odd(None, extra={})):
        shown(event)
    rows = shown(sim.append(Event("a", generation_time=0, extra={f"{n}": "x" for n in range(12)})).event).rows
    assert ["generation_time", "1970-01-01T00:00:00Z"] in rows
    assert ["extra", "12 texts"] in rows
    assert len([row for row in rows if row[0].startswith("extra.")]) == notebook.ROWS_MAX
    assert not any(row[0] == "type" for row in rows)


def test_an_archive_shows_its_instances_and_a_closed_one_says_so(archive: Archive) -> None:
    for n in range(12):
        archive.instance(f"i{n:02}", create=True)
    reader = shown(archive)
    assert [row for (row,) in reader.rows] == ["instance", *(f"i{n:02}" for n in range(10))]
    assert reader.paragraphs[-1] == "and 2 more"
    sim = archive.instance("i00")
    table = sim.table()
    archive.close()
    for value in (archive, sim, table):
        assert "closed" in shown(value).paragraphs[0]
