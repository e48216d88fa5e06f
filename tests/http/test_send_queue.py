"""The queue of a WebSocket by itself: what comes out of it, and when its sender is woken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive.http.live.send_queue import NORMAL, Burst, SendQueue
from yamcs_archive.wire.live_frames import JsonFrames

FRAMES = JsonFrames()

BURSTS = st.lists(st.tuples(st.integers(0, 2), st.lists(st.text(max_size=3), max_size=5)), max_size=10)


def queue_that_counts(wakes: list[None]) -> SendQueue:
    return SendQueue(FRAMES, wake=lambda: wakes.append(None), give_up=lambda: None)


@given(BURSTS, st.lists(st.integers(1, 7), min_size=1))
def test_frames_come_out_as_they_went_in_however_many_are_taken_at_once(
    bursts: list[tuple[int, list[str]]], takes: list[int]
) -> None:
    queue = queue_that_counts([])
    expected: list[str] = []
    seqs = {1: 1, 2: 1}
    for call, tails in bursts:
        if not call:
            queue.put("ready")
            expected.append("ready")
            continue
        queue.put_events(call, seqs[call], Burst.of(tails))
        expected += [FRAMES.event(call, seqs[call] + at, tail) for at, tail in enumerate(tails)]
        seqs[call] += len(tails)
    assert (queue.waiting_bytes > 0) == bool(expected)
    found: list[str | bytes] = []
    while len(found) < len(expected):
        for most in takes:
            taken = queue.take(most)
            assert len(taken) == min(most, len(expected) - len(found))
            found += taken
    assert found == expected
    assert queue.waiting_bytes == 0
    assert queue.take(1) == []


def test_a_burst_costs_every_queue_the_same_bytes_as_its_frames_one_by_one() -> None:
    tails = ["a", "bcd", ""]
    one, each = queue_that_counts([]), queue_that_counts([])
    one.put_events(1, 1, Burst.of(tails))
    for tail in tails:
        each.put(tail)
    assert one.waiting_bytes == each.waiting_bytes
    one.take(2)
    each.take(2)
    assert one.waiting_bytes == each.waiting_bytes


def test_a_sender_is_woken_once_until_it_has_taken_everything() -> None:
    wakes: list[None] = []
    queue = queue_that_counts(wakes)
    for _ in range(3):
        queue.put_events(1, 1, Burst.of(["{}", "{}"]))
        queue.flush()
    assert len(wakes) == 1
    assert len(queue.take(5)) == 5
    queue.flush()
    assert len(wakes) == 1  # it has not seen the end yet
    assert len(queue.take(5)) == 1
    queue.put("{}")
    queue.flush()
    assert len(wakes) == 2


def test_a_close_wakes_a_sender_that_has_not_taken_everything() -> None:
    wakes: list[None] = []
    queue = queue_that_counts(wakes)
    queue.put("{}")
    queue.flush()
    queue.close(NORMAL, "Bye")
    assert len(wakes) == 2
    queue.put("after it")
    assert queue.take(10) == ["{}"]
