"""What cannot be stored goes to the reject function, and everything around it is stored, at its place."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Event, Instance, InvalidInputError
from yamcs_archive.columns import Columns
from yamcs_archive.files.reading import Ordinals, Rejected
from yamcs_archive.importers.file import EventFile, ascending, import_events
from yamcs_archive.importers.yamcs import Imported


class Lines:
    """A reader of a format of its own: each part is given, and the first two lines of the file are none."""

    def __init__(self, *parts: list[Event]) -> None:
        self._parts = parts
        self._numbers = Ordinals()
        self._numbers.skip(0, 2)

    def parts(self) -> Iterator[Columns[int | None]]:
        return map(Columns.of, self._parts)

    def place(self, position: int) -> str:
        return f"line {self._numbers.of(position)}"


def good(number: int, message: str = "a") -> Event:
    return Event(message, generation_time=1, seq_number=number)


BAD = [
    Event("a", generation_time=1),
    Event("a", seq_number=1),
    Event("a", source="x\0", generation_time=1, seq_number=1),
    Event("\ud800", generation_time=1, seq_number=1),
    Event("a", source="x" * 256, generation_time=1, seq_number=1),
]


def test_all_others_are_stored_and_places_count_what_was_rejected(sim: Instance) -> None:
    rejected: list[Rejected] = []
    reader = Lines(BAD[:2], [good(5), *BAD[2:4], good(6)], [], [*BAD[4:], good(7), good(5, "other")])
    file, done = EventFile(reader, rejected.append), Imported()
    assert file.begin()
    import_events(file, lambda part: sim.append_columns([part]), done)
    assert [event.seq_number for event in sim.events()] == [5, 6, 7]
    assert [found.place for found in rejected] == [f"line {n}" for n in (3, 4, 6, 7, 9)]
    assert [found.reason.split(" ")[0] for found in rejected] == [
        *("seqNumber", "generationTime", "source", "message", "source")
    ]
    assert b'"message":"a"' in rejected[0].raw
    assert b"generationTime" not in rejected[1].raw
    assert b"ud800" in rejected[3].raw
    assert (done.stored, done.conflict_count) == (3, 1)
    assert file.place(done.conflicts[0].position) == "line 11"


def test_where_all_is_rejected_nothing_begins() -> None:
    rejected: list[Rejected] = []
    assert not EventFile(Lines(BAD), rejected.append).begin()
    assert len(rejected) == len(BAD)


@pytest.mark.parametrize("bad", BAD[:2])
def test_without_a_reject_function_the_events_before_are_stored(sim: Instance, bad: Event) -> None:
    file, done = EventFile(Lines([good(5)], [good(6), bad, good(7)])), Imported()
    with pytest.raises(ValueError, match="is missing") as caught:
        import_events(file, lambda part: sim.append_columns([part]), done)
    assert file.place(caught.value.position) == "line 5"  # type: ignore[attr-defined]  # an InvalidInputError
    assert (done.read, done.stored) == (2, 2)


@given(st.lists(st.integers(0, 5), max_size=12))
def test_each_part_ascends_and_all_parts_are_the_whole(times: list[int]) -> None:
    events = [Event("a", generation_time=time, seq_number=n) for n, time in enumerate(times)]
    parts = [part.events() for part in ascending(Columns.of(events))]
    assert [event for part in parts for event in part] == events
    for part in parts:
        assert part == sorted(part, key=lambda event: event.key)
    for before, after in itertools.pairwise(parts):
        assert before[-1].key > after[0].key


def test_ordinals_of_nothing_skipped_are_positions() -> None:
    assert [Ordinals().of(position) for position in array("q", range(3))] == [1, 2, 3]


@pytest.mark.parametrize("skip", [0, 1, 2, 3, 4, 9])
def test_skipped_events_are_not_stored_and_places_stay(sim: Instance, skip: int) -> None:
    rejected: list[Rejected] = []
    reader = Lines([good(5), BAD[2], good(6)], [good(7), BAD[0], good(8)])
    file, done = EventFile(reader, rejected.append, skip=skip), Imported()
    import_events(file, lambda part: sim.append_columns([part]), done)
    assert [event.seq_number for event in sim.events()] == [5, 6, 7, 8][skip:]
    assert [found.place for found in rejected] == ["line 4", "line 7"]
    left = [f"line {n}" for n in (3, 5, 6, 8)][skip:]
    assert [file.place(position) for position in range(len(left))] == left


@pytest.mark.parametrize("skip", [0, 1, 2, 3])
def test_an_error_has_its_place_wherever_it_is(sim: Instance, skip: int) -> None:
    file, done = EventFile(Lines([good(5)], [good(6), BAD[0], good(7)]), skip=skip), Imported()
    with pytest.raises(InvalidInputError) as caught:
        import_events(file, lambda part: sim.append_columns([part]), done)
    assert file.place(caught.value.position or 0) == "line 5"
    assert done.stored == max(0, 2 - skip)
