"""A stored event that comes back in the form of an answer is a duplicate, by every way in and at every size.

Answers show ERROR as SEVERE, so the two compare as equal in an event that is read from an answer. In an event
of a request or a caller they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.wire.test_batch import delimited
from yamcs_archive import Archive, ConflictError, Event, Instance, Severity
from yamcs_archive.columns import Columns
from yamcs_archive.errors import RequestIdError
from yamcs_archive.event import AS_SHOWN, SEVERITIES, same_content
from yamcs_archive.results import AppendCounts
from yamcs_archive.storage.format.requests import is_digest_of, request_ids
from yamcs_archive.wire import batch, json, protobuf
from yamcs_archive.wire.api_generations import Form

Send = Callable[[Instance, Sequence[Event]], AppendCounts]


def offered(parts: Iterable[batch.Part]) -> Iterable[Columns[int | None]]:
    return (part.events for part in parts)


def lines(events: Iterable[Event]) -> bytes:
    return b"\n".join(msgspec.json.encode(json.shown(event, Form.TODAY)) for event in events)


def as_lines(instance: Instance, events: Sequence[Event]) -> AppendCounts:
    return instance.append_columns(offered(batch.from_ndjson([lines(events)])))


def as_maps(instance: Instance, events: Sequence[Event]) -> AppendCounts:
    body = b"".join(msgpack.packb(json.shown(event, Form.TODAY)) for event in events)
    return instance.append_columns(offered(batch.from_msgpack([body])))


def as_messages(instance: Instance, events: Sequence[Event]) -> AppendCounts:
    body = delimited(protobuf.encode_event(event, Form.TODAY) for event in events)
    return instance.append_columns(offered(batch.from_protobuf([body])))


def as_events(instance: Instance, events: Sequence[Event]) -> AppendCounts:
    return instance.append_many([read(event) for event in events])


def read(event: Event) -> Event:
    return json.event_of(json.shown(event, Form.TODAY))[1]


WAYS: dict[str, Send] = {
    "lines": as_lines,
    "maps": as_maps,
    "messages": as_messages,
    "events": as_events,
    "with ids": lambda instance, events: instance.append_columns(
        offered(batch.from_ndjson([lines(events)])), request_id=f"sent at {events[0].generation_time}"
    ),
}


def history(size: int, sources: int) -> list[Event]:
    """Events of every severity in turn, some of them with equal times."""
    return [
        Event(
            f"m{n}",
            source=f"S{n % sources}",
            severity=SEVERITIES[-1 - n % 7],
            generation_time=n // 2 * 1000,
            seq_number=n,
            reception_time=n,
            created_by="ada",
            extra={"k": "v"} if n % 10 == 0 else {},
        )
        for n in range(size)
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("size", "sources"), [(1, 1), (15, 2), (16, 2), (63, 2), (64, 1), (65, 300), (600, 300)]
)
def test_shown_events_are_duplicates_and_the_stored_ones_stay(
    sim: Instance, way: str, size: int, sources: int
) -> None:
    events = sorted(history(size, sources), key=lambda event: event.key)
    sim.append_many(events)
    for time in (-2, -1):
        new = Event("new", generation_time=time, seq_number=0, reception_time=0)  # before all others
        counts = WAYS[way](sim, [new, *events])
        assert (counts.stored, counts.duplicates, counts.conflict_count) == (1, size, 0)
        sim.compact()  # and once more when all is in blocks
    assert list(sim.events(start=0)) == events


def test_thousands_come_back_in_chunks(sim: Instance) -> None:
    """More events than a chunk or a commit has; some late, among stored ones, out of order."""
    events = history(10_001, 1)
    sim.append_many(events[::2])
    counts = as_lines(sim, events)
    assert (counts.stored, counts.duplicates, counts.conflict_count) == (5_000, 5_001, 0)
    sent = list(chain(reversed(events[5_000:]), events[:5_000]))
    counts = as_lines(sim, [*sent, Event("new", generation_time=-1, seq_number=0, reception_time=0)])
    assert (counts.stored, counts.duplicates, counts.conflict_count) == (1, 10_001, 0)


@pytest.mark.parametrize("size", [1, 17, 64, 1_100])
def test_events_of_a_caller_keep_error_and_severe_apart(sim: Instance, size: int) -> None:
    events = [replace(event, severity=Severity.ERROR) for event in history(size, 1)]
    sim.append_many(events)
    counts = sim.append_many([replace(event, severity=Severity.SEVERE) for event in events])
    assert (counts.stored, counts.duplicates, counts.conflict_count) == (0, 0, size)
    assert as_lines(sim, events).duplicates == size
    counts = as_lines(sim, [replace(event, message="other") for event in events])
    assert (counts.stored, counts.duplicates, counts.conflict_count) == (0, 0, size)


@pytest.mark.parametrize("size", [1, 40, 200])
def test_within_one_group_the_first_one_stays(sim: Instance, size: int) -> None:
    one = history(size, 1)
    both = [each for event in one for each in (event, read(event))]
    counts = sim.append_many(both)
    assert (counts.stored, counts.duplicates, counts.conflict_count) == (size, size, 0)
    assert list(sim.events()) == sorted(one, key=lambda event: event.key)


def test_a_single_shown_event_is_a_duplicate_or_is_stored(sim: Instance) -> None:
    error = Event("a", severity=Severity.ERROR, generation_time=1, seq_number=1, reception_time=1)
    assert sim.append(read(error)).event.severity == Severity.SEVERE  # nobody can know better
    assert sim.append(replace(error, severity=Severity.SEVERE)).duplicate
    with pytest.raises(ConflictError):
        sim.append(error)
    other = replace(error, seq_number=2)
    assert not sim.append(other).duplicate
    assert sim.append(read(other)).event == other
    assert sim.submit(read(other)).result().event == other


def test_a_shown_event_is_a_duplicate_in_a_new_process_too(tmp_path: Path) -> None:
    events = history(200, 3)
    with Archive.open(tmp_path / "a") as archive:
        as_lines(archive.instance("sim", create=True), events)
    with Archive.open(tmp_path / "a") as archive:
        sim = archive.instance("sim")
        assert {event.severity for event in sim.events()} <= set(Severity)
        assert all(event.severity is SEVERITIES[event.severity] for event in sim.events())
        assert as_lines(sim, [*events, Event("new", generation_time=-1, seq_number=0)]).duplicates == 200


# Request ids


def test_an_id_used_for_an_event_is_found_by_its_shown_form(sim: Instance) -> None:
    error = Event("a", severity=Severity.ERROR, generation_time=1, seq_number=1)
    stored = sim.append(error, request_id="k").event
    answer = read(stored)
    assert sim.append(answer, request_id="k").event == stored
    assert sim.append(answer, request_id="k2").event == stored
    with pytest.raises(RequestIdError):
        sim.append(replace(answer, message="b"), request_id="k")
    with pytest.raises(RequestIdError):
        sim.append(replace(error, severity=Severity.SEVERE), request_id="k")


def test_a_request_and_its_answer_have_the_same_digest(sim: Instance) -> None:
    event = Event("a", severity=Severity.SEVERE, generation_time=1, seq_number=1, reception_time=1)
    sim.append(read(event), request_id="k")
    assert sim.append(read(event), request_id="k").duplicate
    assert sim.append(event, request_id="k").duplicate
    with pytest.raises(RequestIdError):
        sim.append(replace(event, severity=Severity.ERROR), request_id="k")


def test_a_batch_of_answers_with_an_id_is_answered_again(sim: Instance) -> None:
    events = history(100, 1)
    sim.append_many(events[:50])
    counts = [WAYS["with ids"](sim, events) for _ in range(2)]
    assert [(each.stored, each.duplicates, each.conflict_count) for each in counts] == [
        (50, 50, 0),
        (0, 100, 0),
    ]


severities = st.sampled_from([*SEVERITIES, *AS_SHOWN.values()])


@given(st.sampled_from(SEVERITIES), severities)
@settings(max_examples=100)
def test_comparison_and_digest_agree(stored: Severity, given_as: Severity) -> None:
    one, other = Event("a", severity=stored), Event("a", severity=given_as)
    (kept,), (given_digest,) = (request_ids([event], "k").digests for event in (one, other))  # type: ignore[union-attr]  # there is an id
    alike = stored == given_as or (stored.rank == given_as.rank and given_as is not SEVERITIES[given_as])
    assert same_content(one, other) == is_digest_of(kept, given_digest) == alike


def test_a_severity_as_shown_is_that_severity_in_all_else() -> None:
    for severity, shown in AS_SHOWN.items():
        values: list[Any] = [severity, shown]
        assert len(set(values)) == 1
        assert (shown.name, shown.value, shown.rank, repr(shown)) == (
            severity.name,
            severity.value,
            severity.rank,
            repr(severity),
        )
        assert type(shown) is Severity
    assert list(Severity) == list(SEVERITIES)
