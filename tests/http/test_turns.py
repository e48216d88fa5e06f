"""The turns of live updates: between two bursts everything else that is ready has its time."""

from __future__ import annotations

import asyncio

import pytest

from yamcs_archive.http.asgi_threads import Message
from yamcs_archive.http.live.send_queue import NORMAL, Burst, SendQueue
from yamcs_archive.http.live.turns import Turns
from yamcs_archive.http.live.websocket import _FRAMES_AT_ONCE, FRAMES, _one_by_one, _write
from yamcs_archive.wire.live_frames import JsonFrames


@pytest.mark.parametrize("sockets", [1, 2, 300])
def test_one_burst_goes_out_between_two_rounds_of_everything_else(sockets: int) -> None:
    frames_of_each = 3 * _FRAMES_AT_ONCE + 1
    sent = 0
    most_in_a_round = 0

    async def send(message: Message) -> None:
        nonlocal sent
        sent += len(message[FRAMES])

    async def count_rounds() -> None:
        nonlocal most_in_a_round
        while True:
            before = sent
            await asyncio.sleep(0)
            most_in_a_round = max(most_in_a_round, sent - before)

    async def run() -> None:
        turns = Turns()
        writers = []
        for _ in range(sockets):
            ready = asyncio.Event()
            queue = SendQueue(JsonFrames(), wake=ready.set, give_up=lambda: None)
            queue.put_events(1, 1, Burst.of(["{}"] * frames_of_each))
            queue.close(NORMAL, "Bye")
            writers.append(asyncio.ensure_future(_write(queue, ready, turns, send)))
        rounds = asyncio.ensure_future(count_rounds())
        await asyncio.gather(*writers)
        rounds.cancel()

    asyncio.run(run())
    assert sent == sockets * frames_of_each
    assert most_in_a_round == _FRAMES_AT_ONCE


def test_who_stops_waiting_for_a_turn_holds_up_nobody() -> None:
    async def run() -> list[int]:
        turns, came = Turns(), []

        async def take(number: int) -> None:
            await turns.take()
            came.append(number)

        tasks = [asyncio.ensure_future(take(number)) for number in range(5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[3].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await take(5)
        return came

    assert asyncio.run(asyncio.wait_for(run(), 60)) == [1, 2, 4, 5]


def test_a_server_without_the_extension_is_sent_the_frames_one_by_one() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def run() -> None:
        each = _one_by_one(send)
        await each({"type": "websocket.send", FRAMES: ["a", b"b", ""]})
        await each({"type": "websocket.close", "code": 1000})

    asyncio.run(run())
    assert sent == [
        {"type": "websocket.send", "text": "a"},
        {"type": "websocket.send", "bytes": b"b"},
        {"type": "websocket.send", "text": ""},
        {"type": "websocket.close", "code": 1000},
    ]
