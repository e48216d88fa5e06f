"""Each call on a served instance, beside the same call on the archive itself: the same answers and errors."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.examples import of_full
from tests.http.feeds import uvicorn_at
from yamcs_archive import (
    Archive,
    Client,
    ConflictError,
    Event,
    EventKey,
    Filter,
    Instance,
    InvalidInputError,
    RemoteInstance,
    Severity,
    UnknownInstanceError,
)
from yamcs_archive.client.transport import Transport
from yamcs_archive.errors import ArchiveError, BadCursorError, FilterError, RequestIdError
from yamcs_archive.limits import CHUNK_EVENTS_MAX, PATTERN_CHARACTERS_MAX, TIME_MAX_US, TIME_MIN_US

MESSAGES = [
    "Wheel 3 over speed",
    "wheel 4",
    "100 % full",
    "why?",
    "who knows",
    "Straße",
    "",
    "\0",
    "a%b",
    "axxb",
]
SHOWN = [severity for severity in Severity if severity is not Severity.ERROR]
"""The severities that the API shows unchanged."""


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Instance, RemoteInstance]]:
    """An instance with some thousand events in a few commits, and the same instance, served."""
    with Archive.open(tmp_path_factory.mktemp("archive")) as archive:
        sim = archive.instance("sim", create=True)
        events = [
            Event(
                MESSAGES[n % len(MESSAGES)],
                source=("AOCS", "EPS", "T,C")[n % 3],
                severity=SHOWN[n % len(SHOWN)],
                type=(None, "", "x")[n % 3],
                generation_time=(n * 7919) % 1000 - 100,
                seq_number=n,
                reception_time=n,
                created_by="ada" if n % 5 == 0 else None,
                extensions=b"\xa0\x06\x01" if n % 7 == 0 else b"",
                extra={"pass": str(n)} if n % 4 == 0 else {},
            )
            for n in range(1_300)
        ]
        for start in range(0, len(events), 325):
            sim.append_many(events[start : start + 325])
        sim.append_many(
            [Event("first", generation_time=TIME_MIN_US), Event("last", generation_time=TIME_MAX_US)]
        )
        with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
            yield sim, client.instance("sim")


def outcome(call: Callable[[], Any]) -> object:
    """The result of a call, or its error with its attributes."""
    try:
        found = call()
        return list(found) if isinstance(found, Iterator) else found
    except ArchiveError as error:
        facts = {name: str(value) for name, value in vars(error).items()}
        return type(error), str(error), facts


TIMES = st.one_of(st.none(), st.integers(-150, 950), st.sampled_from([TIME_MIN_US, TIME_MAX_US]))
KEYS = st.builds(
    EventKey, st.integers(-150, 950), st.sampled_from(["AOCS", "EPS", "T,C"]), st.integers(0, 1_300)
)
CHOICES = {
    "start": TIMES,
    "stop": TIMES,
    "sources": st.one_of(
        st.none(), st.lists(st.sampled_from(["AOCS", "EPS", "T,C", "nosuch", ""]), max_size=3)
    ),
    "min_severity": st.one_of(st.none(), st.sampled_from(SHOWN)),
    "text": st.one_of(st.none(), st.sampled_from(["", "WHEEL", "%", "?", "a%b", "w?o", "STRASSE", "\0"])),
    "filter": st.one_of(
        st.none(),
        st.sampled_from(["", "-- all", "source=EPS", Filter('type="x" OR "wheel"'), "severity>=watch"]),
    ),
}


@settings(
    max_examples=of_full(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.fixed_dictionaries({}, optional=CHOICES),
    st.booleans(),
    st.one_of(st.none(), st.integers(0, 1_200)),
    st.data(),
)
def test_every_query_gives_the_same_events(
    both: tuple[Instance, RemoteInstance],
    asked: dict[str, Any],
    descending: bool,
    limit: int | None,
    data: st.DataObject,
) -> None:
    here, there = both
    after_key = data.draw(st.one_of(st.none(), KEYS))
    order: dict[str, Any] = {"descending": descending, "limit": limit, "after_key": after_key}
    assert list(there.events(**asked, **order)) == list(here.events(**asked, **order))
    assert there.count(**asked) == here.count(**asked)


@pytest.mark.parametrize(
    "asked",
    [
        {"start": "2026-01-01"},
        {"stop": datetime(2026, 1, 1)},  # naive
        {"start": 1.5},
        {"sources": "AOCS"},
        {"sources": 5},
        {"min_severity": "watches"},
        {"text": 5},
        {"filter": "foo=1"},
        {"filter": "(a"},
        {"descending": "no"},
        {"limit": -1},
        {"limit": True},
        {"after_key": (1, "AOCS")},
        {"after_key": EventKey(1, "", 1)},
    ],
)
def test_a_bad_argument_is_the_same_error_at_once(both: tuple[Instance, RemoteInstance], asked: Any) -> None:
    errors = []
    for instance in both:
        with pytest.raises(InvalidInputError) as caught:
            instance.events(**asked)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]


def test_times_are_taken_in_every_form(both: tuple[Instance, RemoteInstance]) -> None:
    here, there = both
    for start in (5, "1970-01-01T00:00:00.000005Z", datetime(1970, 1, 1, 0, 0, 0, 5, UTC)):
        assert list(there.events(start=start)) == list(here.events(start=start))


def test_a_text_longer_than_the_limit_of_patterns_is_found(
    both: tuple[Instance, RemoteInstance],
) -> None:
    for text in ("x" * (PATTERN_CHARACTERS_MAX + 1), "w" * PATTERN_CHARACTERS_MAX):
        assert [outcome(lambda: instance.count(text=text)) for instance in both] == [0, 0]  # noqa: B023  # called at once


def test_every_event_is_found_by_its_key(both: tuple[Instance, RemoteInstance]) -> None:
    here, there = both
    events = list(here.events())
    for event in (*events[::400], events[-1]):
        assert there.get(event.key) == here.get(event.key) == event
    for key in (EventKey(5, "nosuch", 1), EventKey(TIME_MAX_US, "User", 9), (1, "EPS"), EventKey(1, "", 2)):
        assert outcome(lambda: there.get(key)) == outcome(lambda: here.get(key))  # type: ignore[arg-type]  # noqa: B023


def test_changes_and_their_cursors_are_the_same(both: tuple[Instance, RemoteInstance]) -> None:
    here, there = both
    changes = list(here.changes())
    assert list(there.changes()) == changes
    assert list(there.commits()) == list(here.commits())
    assert there.cursor() == here.cursor() == changes[-1].cursor
    for place in (0, 17, 324, 325, 650, 1_300, -2, -1):
        after = changes[place].cursor
        assert list(there.changes(after)) == list(here.changes(after))
    assert list(there.changes("newest")) == []
    assert there.sources() == here.sources()


@pytest.mark.parametrize("after", ["made up", "", 5, "\ud800"])
def test_a_bad_cursor_is_the_same_error_at_once(both: tuple[Instance, RemoteInstance], after: Any) -> None:
    for instance in both:
        with pytest.raises(BadCursorError) as caught:
            instance.changes(after)
        assert caught.value.field == "cursor"
        assert caught.value.rule == "is not a cursor that this archive gave out"


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[tuple[Instance, RemoteInstance]]:
    """Two empty instances with the same clock, one local and one served."""
    with Archive.open(tmp_path / "archive") as archive:
        here = archive.instance("here", create=True)
        archive.instance("there", create=True)
        with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
            yield here, client.instance("there")


EVENTS = st.builds(
    Event,
    st.sampled_from(MESSAGES),
    source=st.sampled_from(["AOCS", "EPS", ""]),
    severity=st.sampled_from(list(Severity)),
    type=st.sampled_from([None, "", "x"]),
    generation_time=st.integers(0, 2),
    seq_number=st.one_of(st.none(), st.integers(-1, 2)),
    reception_time=st.just(5),
    extra=st.sampled_from([{}, {"a": "b", "": ""}]),
)


def told(events: list[Event]) -> list[Event]:
    """The events that a client reads: the API shows ERROR as SEVERE."""
    return [
        replace(event, severity=Severity.SEVERE) if event.severity is Severity.ERROR else event
        for event in events
    ]


def appended(instance: Instance | RemoteInstance, event: Event, request_id: str | None) -> object:
    try:
        done = instance.append(event, request_id=request_id)
        return told([done.event]), done.duplicate
    except ConflictError as error:
        return ConflictError, told([error.stored, error.offered])
    except RequestIdError as error:
        return RequestIdError, str(error), error.request_id


@settings(
    max_examples=of_full(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(EVENTS, st.sampled_from([None, "a", '"b"', " c "])), max_size=12), st.uuids())
def test_each_appended_event_has_the_same_outcome(
    pair: tuple[Instance, RemoteInstance], given: list[tuple[Event, str | None]], run: object
) -> None:
    here, there = pair
    for event, request_id in given:
        # ERROR and SEVERE count as one in an event that was received before.
        (sent,) = told([event])
        key = None if request_id is None else f"{run}{request_id}"
        assert appended(there, sent, key) == appended(here, sent, key)
    assert told(list(there.events())) == told(list(here.events()))


def test_fresh_events_keep_error_and_severe_apart(pair: tuple[Instance, RemoteInstance]) -> None:
    _, there = pair
    event = Event("a", severity=Severity.ERROR, generation_time=0, seq_number=0)
    assert not there.append(event).duplicate
    assert there.append(event).duplicate
    with pytest.raises(ConflictError):
        there.append(replace(event, severity=Severity.SEVERE))
    assert [change.event.severity.name for change in there.changes()] == ["ERROR"]
    assert there.append(next(there.events())).duplicate  # as it was read, it is the same event


@pytest.mark.parametrize("size", [0, 1, CHUNK_EVENTS_MAX, CHUNK_EVENTS_MAX + 1])
@pytest.mark.parametrize("given", [list, iter])
def test_many_events_are_counted_the_same(
    pair: tuple[Instance, RemoteInstance], size: int, given: Callable[[list[Event]], Any]
) -> None:
    events = [Event(f"m{n}", generation_time=n, seq_number=n, reception_time=1) for n in range(size)]
    changed = [replace(event, message="other") if n % 4000 == 3 else event for n, event in enumerate(events)]
    for instance in pair:
        assert instance.append_many(given(events)).stored == size
    here, there = (instance.append_many(given(changed)) for instance in pair)
    assert here == there
    assert list(pair[1].events()) == list(pair[0].events())


@pytest.mark.parametrize("place", [0, 3, CHUNK_EVENTS_MAX + 5])
def test_a_bad_event_among_many_has_the_same_place_and_counts(
    pair: tuple[Instance, RemoteInstance], place: int
) -> None:
    events: list[Any] = [Event(f"m{n}", generation_time=n, seq_number=n) for n in range(place + 3)]
    for bad in (replace(events[place], source="A\0B"), replace(events[place], seq_number=1 << 40), 5):
        given = [*events[:place], bad, *events[place + 1 :]]
        here, there = (outcome(functools.partial(instance.append_many, given)) for instance in pair)
        assert here == there
        assert here[2]["position"] == str(place)  # type: ignore[index]
    assert pair[1].count() == place


def test_many_events_without_numbers_are_completed_by_their_id(pair: tuple[Instance, RemoteInstance]) -> None:
    events = [Event(f"m{n}") for n in range(CHUNK_EVENTS_MAX + 10)]

    def broken() -> Iterator[Event]:
        yield from events[: CHUNK_EVENTS_MAX + 3]
        raise ConnectionError

    for instance in pair:
        with pytest.raises(ConnectionError):
            instance.append_many(broken(), request_id="pass 17")
        done = instance.append_many(events, request_id="pass 17")
        assert (done.stored, done.duplicates) == (7, CHUNK_EVENTS_MAX + 3)


def test_an_unknown_instance_is_the_same_error(both: tuple[Instance, RemoteInstance]) -> None:
    with Client(both[1].url) as client:
        assert client.instances() == ["sim"]
        with pytest.raises(UnknownInstanceError) as caught:
            client.instance("nosuch")
        assert (caught.value.name, caught.value.known) == ("nosuch", ["sim"])
        for name in ("", ".", "..", "a/b", 5):
            with pytest.raises(InvalidInputError, match="name"):
                client.instance(name)  # type: ignore[arg-type]
        gone = client.instance("no such?", check=False)
        for call in (
            gone.cursor,
            gone.sources,
            gone.count,
            lambda: gone.append(Event("a")),
            lambda: list(gone.events()),
        ):
            with pytest.raises(UnknownInstanceError, match="there are: sim"):
                call()


def test_a_filter_that_cannot_be_read_says_where(both: tuple[Instance, RemoteInstance]) -> None:
    with pytest.raises(FilterError) as caught:
        both[1].events(filter="a AND")
    assert caught.value.line == 1


def test_changes_wait_for_new_events(pair: tuple[Instance, RemoteInstance]) -> None:
    _, there = pair
    cursor = there.cursor()
    assert list(there.changes(cursor, wait_s=0.01)) == []
    there.append(Event("late", generation_time=-5))
    assert [change.event.message for change in there.changes(cursor, wait_s=60)] == ["late"]


@pytest.mark.parametrize("pieces", [0, 1])
def test_after_an_interrupt_within_an_answer_the_next_call_gets_its_own(
    pair: tuple[Instance, RemoteInstance], monkeypatch: pytest.MonkeyPatch, pieces: int
) -> None:
    _, there = pair
    there.append_many(Event("m" * 5_000, source="S", generation_time=n, seq_number=n) for n in range(300))
    whole = Transport._pieces

    def interrupted(transport: Transport, response: Any) -> Iterator[bytes]:
        yield from islice(whole(transport, response), pieces)
        raise KeyboardInterrupt

    for call in (there.cursor, there.count, lambda: list(there.events()), lambda: list(there.changes())):
        expected = call()
        with monkeypatch.context() as patch:
            patch.setattr(Transport, "_pieces", interrupted)
            with pytest.raises(KeyboardInterrupt):
                call()
        assert (there.count(), call()) == (300, expected)
