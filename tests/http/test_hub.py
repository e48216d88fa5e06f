"""The hub of live updates by itself, without a WebSocket: which subscriptions get which events."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from yamcs_archive import Event, Instance
from yamcs_archive.http.live.hub import Hubs, Subscription
from yamcs_archive.http.live.send_queue import SendQueue
from yamcs_archive.wire.live_frames import JsonFrames

WAIT_S = 60


class Client:
    """A subscriber, and the messages that were sent to it."""

    def __init__(self, hubs: Hubs, sim: Instance) -> None:
        self.arrived = threading.Event()
        self._queue = SendQueue(JsonFrames(), wake=self.arrived.set, give_up=lambda: None)
        self._subscription = Subscription(1, sim, None, self._queue)
        self._got: list[str] = []
        hubs.subscribe(self._subscription)

    def messages(self, count: int) -> Sequence[str]:
        while len(self._got) < count:
            assert self.arrived.wait(WAIT_S), self._got
            self.arrived.clear()
            self._got += [json.loads(frame)["data"]["message"] for frame in self._queue.take(100)]
        return self._got


def test_an_event_that_is_stored_while_a_client_subscribes_keeps_no_later_one_from_it(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    hubs = Hubs()
    first = Client(hubs, sim)
    cursor = Instance.cursor

    def another_is_stored_after_it(instance: Instance) -> str:
        found = cursor(instance)
        sim.append(Event("while it subscribes"))
        first.arrived.wait(0.2)  # enough for the hub to send it, if nothing keeps it from that
        return found

    try:
        with monkeypatch.context() as patch:
            patch.setattr(Instance, "cursor", another_is_stored_after_it)
            second = Client(hubs, sim)
        sim.append(Event("after that"))
        expected = ["while it subscribes", "after that"]
        assert first.messages(2) == expected
        assert second.messages(2) == expected
    finally:
        hubs.close()
