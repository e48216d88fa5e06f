"""The workload has the properties that it promises; otherwise the figures would mean nothing."""

from collections import Counter
from statistics import mean

import pytest

from benchmarks.digest import digest
from benchmarks.workload import ABSENT_SOURCE, ABSENT_TEXT, RARE_SEVERITY, RARE_SOURCE, Mix, Workload
from yamcs_archive import Event
from yamcs_archive.event import validate


@pytest.mark.parametrize("mix", Mix)
def test_a_workload_is_the_same_every_time_and_every_event_is_valid_and_complete(mix: Mix) -> None:
    events = Workload(3000, mix).events()
    assert events == Workload(3000, mix).events()
    assert all(validate(event) and None not in (*event.key, event.reception_time) for event in events)


def test_slabs_are_the_same_events_as_the_whole() -> None:
    workload = Workload(25_000)
    assert [event for slab in workload.slabs() for event in slab] == workload.events()


def test_the_end_of_a_long_workload_is_found_without_its_beginning() -> None:
    workload = Workload(45_000, rare_every=700)
    assert [event for slab in workload.slabs(skip=20_000) for event in slab] == workload.events()[20_000:]


def test_in_order_means_that_keys_rise() -> None:
    keys = [event.key for event in Workload(3000).events()]
    assert keys == sorted(keys)
    assert len(set(keys)) == 3000


def test_late_means_one_in_a_hundred_by_minutes_and_one_retry_in_a_thousand() -> None:
    events = Workload(20_000, Mix.LATE).events()
    newest, late = 0, 0
    for event in events:
        late += event.key.generation_time < newest - 59_000_000
        newest = max(newest, event.key.generation_time)
    retries = [event for event, times in Counter(event.key for event in events).items() if times > 1]
    assert 150 < late < 270
    assert len(retries) == len(events) - 20_000 == 20


def test_shuffled_holds_the_events_of_in_order_in_no_order() -> None:
    shuffled, ordered = Workload(3000, Mix.SHUFFLED).events(), Workload(3000).events()
    assert shuffled != ordered
    assert sorted(shuffled, key=lambda event: event.key) == ordered


def test_sources_are_many_and_skewed_and_messages_have_about_85_characters() -> None:
    events = Workload(20_000).events()
    sources = Counter(event.source for event in events)
    assert len(sources) > 150
    assert sources.most_common(1)[0][1] > 3000
    assert 80 < mean(len(event.message) for event in events) < 90


def test_rare_things_are_rare_and_absent_ones_absent() -> None:
    events = Workload(20_000, rare_every=5_000).events()
    assert sum(event.source == RARE_SOURCE for event in events) == 4
    assert sum(event.severity >= RARE_SEVERITY for event in events) == 4
    assert not any(event.source == ABSENT_SOURCE or ABSENT_TEXT in event.message for event in events)


def test_big_messages_have_nearly_a_mebibyte() -> None:
    sizes = [len(event.message.encode()) for event in Workload(250, big_every=100).events()]
    assert [index for index, size in enumerate(sizes) if size > 1000] == [0, 100, 200]
    assert all((1 << 20) - 200 < sizes[index] <= 1 << 20 for index in (0, 100, 200))


def test_a_digest_tells_apart_content_order_and_number_but_not_reception_times() -> None:
    one, other = Event("a", generation_time=1, seq_number=0), Event("b", generation_time=1, seq_number=1)
    received = Event("a", generation_time=1, seq_number=0, reception_time=9)
    distinct = [[], [one], [one, one], [one, other], [other, one]]
    assert len({digest(events) for events in distinct}) == len(distinct)
    assert digest([one]) == digest([received])
