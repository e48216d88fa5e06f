"""The store beside a plain dictionary: append, duplicate, conflict, late, settle, compact, read, reopen.

Times, sources and numbers come from tiny ranges, so that keys are often equal. Blocks have one to five
events, and reads one to three rows, so that every scan crosses several of both. Batches are small, or large
enough for every path of the writer, and are sent again: whole, in part, in conflict and mixed.
"""

import shutil
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from tests.sizes import around
from tests.strategies import sizes_at_thresholds
from yamcs_archive import Archive, ConflictError, Event, EventKey, Options, Severity
from yamcs_archive.event import same_content

LARGEST = around(["storage.write.outcomes._VECTOR_EVENTS_MIN"])
"""Numbers of events around the threshold at which a batch is decided by column."""
RUNS_MAX = 1
"""Largest number of large batches in one run, because everything is compared after each step."""
small_times = st.integers(-4, 12)
small_sources = st.sampled_from(["A", "AB", "B"])
small_numbers = st.none() | st.integers(-2, 3)
offered = st.builds(
    Event,
    message=st.sampled_from(["", "x", "y"]),
    source=small_sources,
    severity=st.sampled_from([Severity.INFO, Severity.WARNING, Severity.ERROR]),
    generation_time=small_times,
    seq_number=small_numbers,
    extra=st.sampled_from([{}, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}]),
)


def _source(event: Event) -> str:
    return event.source


@st.composite
def runs(draw: st.DrawFn) -> list[Event]:
    """Batches of a size at which the writer takes another path, made of a few events."""
    some = draw(
        st.lists(offered, min_size=1, max_size=4)
        | st.lists(offered, min_size=2, max_size=3, unique_by=_source)
    )
    size = draw(st.sampled_from(LARGEST) | st.sampled_from(LARGEST) | sizes_at_thresholds(LARGEST[-1]))
    step, each = draw(st.integers(0, 2)), draw(st.integers(1, 9))
    return [
        replace(
            event,
            generation_time=(event.generation_time or 0) + step * (n // len(some)),
            seq_number=None if event.seq_number is None else event.seq_number + n // each,
        )
        for n, event in enumerate(islice(cycle(some), size))
    ]


small_sizes = st.fixed_dictionaries(
    {
        "read_events_max": st.integers(1, 3),
        "group_events_max": st.integers(1, 4),
        "block_events_max": st.integers(1, 5),
        "block_text_bytes_max": st.sampled_from([1, 3, 1000]),
        "run_events_min": st.integers(1, 6),
        "table_events_max": st.sampled_from([1, 3, 1000]),
        "late_events_max": st.sampled_from([1, 4, 1000]),
        "late_share": st.sampled_from([1, 2, 8]),
    }
)


class Model:
    """The expected content of the archive."""

    def __init__(self) -> None:
        self.events: dict[EventKey, Event] = {}
        self.arrivals: list[Event] = []
        self.greatest: dict[str, int] = {}
        self.duplicates = self.conflicts = 0

    def offer(self, event: Event, now: int) -> tuple[str, Event]:
        """Return the outcome of an event, and the event that is or was stored."""
        number = event.seq_number
        if number is None:
            number = self.greatest.get(event.source, -1) + 1 if event.source in self.greatest else 0
        reception = now if event.reception_time is None else event.reception_time
        event = replace(event, seq_number=number, reception_time=reception)
        there = self.events.get(event.key)
        if there is None:
            self.events[event.key] = event
            self.greatest[event.source] = max(number, self.greatest.get(event.source, number))
            return "stored", event
        if same_content(there, event):
            self.duplicates += 1
            return "duplicate", there
        self.conflicts += 1
        return "conflict", there

    def in_order(self) -> list[Event]:
        """Return all events by key."""
        return [self.events[key] for key in sorted(self.events)]


class StoreBesideADictionary(RuleBasedStateMachine):
    """Drives both and compares after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.model = Model()
        self.now = 1000
        self.cursors: list[tuple[str, int]] = []
        self.runs: list[list[Event]] = []
        self.reader: Iterator[Event] | None = None
        self.reader_events: list[Event] = []
        self.reader_start: dict[EventKey, Event] = {}
        self.archive: Archive | None = None

    @initialize(sizes=small_sizes)
    def open(self, sizes: dict[str, Any]) -> None:
        self.options = Options(
            **sizes,
            rest_age_us=3,
            maintenance=False,
            map_bytes=1 << 20,
            clock=lambda: self.now,
        )
        self.archive = Archive.open(self.directory, options=self.options)
        self.sim = self.archive.instance("sim", create=True)

    @rule(event=offered)
    def append(self, event: Event) -> None:
        self.now += 1
        outcome, there = self.model.offer(event, self.now)
        try:
            done = self.sim.append(event)
        except ConflictError as error:
            assert outcome == "conflict"
            assert error.stored == there
        else:
            assert (outcome == "duplicate") == done.duplicate
            assert done.event == there
            if outcome == "stored":
                self.model.arrivals.append(there)

    @precondition(lambda self: len(self.runs) < RUNS_MAX)
    @rule(events=runs())
    def append_a_run_twice(self, events: list[Event]) -> None:
        stored = self.append_many(events)
        self.append_many(stored)
        self.runs.append(stored)

    @precondition(lambda self: self.runs)
    @rule(data=st.data(), part=st.sampled_from([1, 1, 2]), other=st.sampled_from([0, 0, 1, 2, 3]))
    def append_a_run_again(self, data: st.DataObject, part: int, other: int) -> None:
        """Append a batch or a part of it again, with no, some or all of its events in conflict."""
        run = data.draw(st.sampled_from(self.runs))
        self.append_many(
            [
                replace(event, message=f"{event.message}z") if other and n % other == 0 else event
                for n, event in enumerate(run[: len(run) // part])
            ]
        )

    @rule(events=st.lists(offered, max_size=12))
    def append_some(self, events: list[Event]) -> None:
        self.append_many(events)

    def append_many(self, events: list[Event]) -> list[Event]:
        """Append them, and return the events that are stored with their keys now."""
        self.now += 1
        outcomes = [self.model.offer(event, self.now) for event in events]
        counts = self.sim.append_many(iter(events))
        kinds = [kind for kind, _ in outcomes]
        assert counts.stored == kinds.count("stored")
        assert counts.duplicates == kinds.count("duplicate")
        assert counts.conflict_count == kinds.count("conflict") == len(counts.conflicts)
        assert [conflict.position for conflict in counts.conflicts] == [
            position for position, kind in enumerate(kinds) if kind == "conflict"
        ]
        assert all(conflict.stored == outcomes[conflict.position][1] for conflict in counts.conflicts)
        new = [event for kind, event in outcomes if kind == "stored"]
        self.model.arrivals += sorted(new, key=lambda event: event.key)  # one commit: in key order
        return [there for _, there in outcomes]

    @precondition(lambda self: self.model.events)
    @rule(data=st.data())
    def append_again(self, data: st.DataObject) -> None:
        event = data.draw(st.sampled_from(list(self.model.events.values())))
        self.now += 1
        self.model.duplicates += 1
        again = replace(event, reception_time=data.draw(small_times), created_by="somebody")
        done = self.sim.append(again)
        assert done.duplicate
        assert done.event == event

    @rule(
        start=st.none() | small_times, stop=st.none() | small_times, descending=st.booleans(), data=st.data()
    )
    def read(self, start: int | None, stop: int | None, descending: bool, data: st.DataObject) -> None:
        sources = data.draw(st.none() | st.sets(small_sources))
        severity = data.draw(st.none() | st.sampled_from(Severity))
        text = data.draw(st.sampled_from([None, "", "x", "X", "q"]))
        limit = data.draw(st.none() | st.integers(0, 5))
        after = data.draw(st.none() | st.builds(EventKey, small_times, small_sources, st.integers(-2, 4)))
        expected = [
            event
            for event in self.model.in_order()
            if (start is None or event.key.generation_time >= start)
            and (stop is None or event.key.generation_time < stop)
            and (sources is None or event.source in sources)
            and (severity is None or event.severity.rank >= severity.rank)
            and (text is None or text.casefold() in event.message)
            and (after is None or (event.key < after if descending else event.key > after))
        ]
        if descending:
            expected.reverse()
        found = self.sim.events(
            start=start,
            stop=stop,
            sources=sources,
            min_severity=severity,
            text=text,
            descending=descending,
            limit=limit,
            after_key=after,
        )
        assert list(found) == expected[:limit]

    @rule(cut=small_times)
    def cutting_a_range_anywhere_loses_and_repeats_nothing(self, cut: int) -> None:
        assert [*self.sim.events(stop=cut), *self.sim.events(start=cut)] == self.model.in_order()

    @rule(key=st.builds(EventKey, small_times, small_sources, st.integers(-2, 4)))
    def get(self, key: EventKey) -> None:
        assert self.sim.get(key) == self.model.events.get(key)

    @rule()
    def remember_the_head(self) -> None:
        self.cursors.append((self.sim.cursor(), len(self.model.arrivals)))

    @precondition(lambda self: self.cursors)
    @rule(data=st.data())
    def changes_since(self, data: st.DataObject) -> None:
        cursor, seen = data.draw(st.sampled_from(self.cursors))
        changes = list(self.sim.changes(after=cursor))
        assert [change.event for change in changes] == self.model.arrivals[seen:]
        if changes:
            at = data.draw(st.integers(0, len(changes) - 1))
            self.cursors.append((changes[at].cursor, seen + at + 1))

    @rule(descending=st.booleans())
    def open_a_reader(self, descending: bool) -> None:
        self.reader = self.sim.events(descending=descending)
        self.reader_events, self.reader_start = [], dict(self.model.events)
        self.reader_descending = descending

    @precondition(lambda self: self.reader is not None)
    @rule(steps=st.integers(1, 4))
    def advance_the_reader(self, steps: int) -> None:
        assert self.reader is not None
        for _ in range(steps):
            event = next(self.reader, None)
            if event is None:
                keys = [event.key for event in self.reader_events]
                assert keys == sorted(set(keys), reverse=self.reader_descending)
                assert self.reader_start.keys() <= set(keys) <= self.model.events.keys()
                self.reader = None
                return
            self.reader_events.append(event)

    @rule()
    def settle(self) -> None:
        self.sim.settle()

    @rule()
    def compact(self) -> None:
        self.sim.compact()

    @rule(later=st.integers(0, 5))
    def maintenance_looks(self, later: int) -> None:
        self.now += later
        self.sim._store._maintenance.look(self.now)  # type: ignore[attr-defined]  # what its thread would do

    @rule()
    def what_a_kill_would_leave_is_everything(self) -> None:
        """A copy of the files, as they are while the archive is open."""
        copy = Path(tempfile.mkdtemp())
        try:
            shutil.copytree(self.directory, copy, dirs_exist_ok=True)
            with Archive.open(copy, options=self.options) as archive:
                sim = archive.instance("sim")
                assert list(sim.events()) == self.model.in_order()
                assert [change.event for change in sim.changes()] == self.model.arrivals
                assert sim.stats().events == len(self.model.events)
        finally:
            shutil.rmtree(copy)

    @rule()
    def close_and_reopen(self) -> None:
        assert self.archive is not None
        self.archive.close()
        self.reader = None
        self.archive = Archive.open(self.directory, options=self.options)
        self.sim = self.archive.instance("sim")

    @invariant()
    def everything_is_there_in_both_orders(self) -> None:
        if self.archive is None:
            return
        in_order = self.model.in_order()
        assert list(self.sim.events()) == in_order
        assert list(self.sim.events(descending=True)) == in_order[::-1]
        assert [change.event for change in self.sim.changes()] == self.model.arrivals
        assert self.sim.sources() == sorted(self.model.greatest)
        stats = self.sim.stats()
        assert (stats.events, stats.duplicates, stats.conflicts) == (
            len(in_order),
            self.model.duplicates,
            self.model.conflicts,
        )
        assert {name: state.greatest_number for name, state in stats.sources.items()} == self.model.greatest

    def teardown(self) -> None:
        if self.archive is not None:
            self.archive.close()
        shutil.rmtree(self.directory)


TestStoreBesideADictionary = StoreBesideADictionary.TestCase
TestStoreBesideADictionary.settings = settings(max_examples=40, stateful_step_count=25)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_many_retries_and_conflicts_among_new_events_are_each_found(data: st.DataObject) -> None:
    """Any part of a batch is stored already, in rows and in blocks, sometimes with other content."""
    times = st.integers(0, 300)
    with (
        tempfile.TemporaryDirectory() as folder,
        Archive.open(Path(folder) / "a", options=Options(block_events_max=64, maintenance=False)) as archive,
    ):
        sim = archive.instance("sim", create=True)
        model: dict[EventKey, Event] = {}
        for _ in range(data.draw(st.integers(1, 4))):
            taken = data.draw(st.lists(times, min_size=1, max_size=250, unique=data.draw(st.booleans())))
            if data.draw(st.booleans()):
                taken.sort()
            other = data.draw(st.sets(times, max_size=5))
            events = [
                Event("other" if n in other else f"m{n}", f"S{n % 3}", generation_time=n // 2, seq_number=n)
                for n in taken
            ]
            stored = duplicates = 0
            conflicts = []
            for position, event in enumerate(events):
                known = model.setdefault(event.key, event)
                if known is event:
                    stored += 1
                elif known.message == event.message:
                    duplicates += 1
                else:
                    conflicts.append((position, known.message, event.message))
            counts = sim.append_many(events)
            assert (counts.stored, counts.duplicates) == (stored, duplicates)
            assert [
                (each.position, each.stored.message, each.offered.message) for each in counts.conflicts
            ] == conflicts
            if data.draw(st.booleans()):
                sim.settle()
        found = {event.key: event.message for event in sim.events()}
        assert found == {key: event.message for key, event in model.items()}
