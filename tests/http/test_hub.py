"""The hub of live updates by itself, without a WebSocket: which subscriptions get which events."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

import pytest

from yamcs_archive import Event, Instance
from yamcs_archive.access.permissions import Sources
from yamcs_archive.filter import compiled, condition_tree
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.filter.condition_tree import Node
from yamcs_archive.filter.conditions import Predicate
from yamcs_archive.http.live import hub, send_queue
from yamcs_archive.http.live.hub import Hubs, Subscription
from yamcs_archive.http.live.send_queue import SendQueue
from yamcs_archive.wire.live_frames import Frames, JsonFrames, ProtobufFrames
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

WAIT_S = 60
JSON = JsonFrames()


class Client:
    """A subscriber, and the messages that were sent to it."""

    def __init__(
        self,
        hubs: Hubs,
        sim: Instance,
        wanted: Filter | None = None,
        *,
        frames: Frames | None = None,
        sources: Sources | None = None,
    ) -> None:
        self.arrived, self.closed = threading.Event(), threading.Event()
        self._queue = SendQueue(frames or JSON, wake=self._wake, give_up=lambda: None)
        self._subscription = Subscription(1, sim, wanted, self._queue, sources)
        self._got: list[str] = []
        hubs.subscribe(self._subscription)

    def _wake(self) -> None:
        self.arrived.set()
        if self.closing:
            self.closed.set()

    @property
    def closing(self) -> bool:
        return self._queue.closing is not None

    def messages(self, count: int) -> Sequence[str]:
        while len(self._got) < count:
            assert self.arrived.wait(WAIT_S), self._got
            self.arrived.clear()
            self._got += map(_message, self._queue.take(100))
        return self._got


def _message(frame: str | bytes) -> str:
    if isinstance(frame, str):
        found: str = json.loads(frame)["data"]["message"]
        return found
    value: bytes = live.ServerMessage.FromString(frame).data.value
    return today.Event.FromString(value).message


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


def test_nothing_more_is_read_for_a_client_that_was_cut_off_while_its_connection_lasts(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LIVE_PATIENCE_S", 0)
    monkeypatch.setattr(send_queue, "LIVE_QUEUE_BYTES_MAX", 10_000)
    hubs = Hubs()
    slow, quick = Client(hubs, sim), Client(hubs, sim)
    try:
        for number in range(100):  # some 300 bytes each
            sim.append(Event(str(number)))
            quick.messages(number + 1)
        assert slow.closing
        assert not quick.closing
        assert hubs.state().subscribers == {sim.name: 1}
        assert hubs.state().cut_off == {sim.name: 1}
        third = Client(hubs, sim)
        sim.append(Event("for both"))
        assert quick.messages(101)[-1:] == third.messages(1) == ["for both"]
    finally:
        hubs.close()


def test_a_hub_whose_last_client_was_cut_off_makes_room_for_another_one(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "LIVE_PATIENCE_S", 0)
    monkeypatch.setattr(send_queue, "LIVE_QUEUE_BYTES_MAX", 10_000)
    hubs = Hubs()
    slow = Client(hubs, sim)
    try:
        sim.append_many(Event(str(number)) for number in range(100))
        assert slow.closed.wait(WAIT_S)
        second = Client(hubs, sim)
        sim.append(Event("for the second"))
        assert second.messages(1) == ["for the second"]
    finally:
        hubs.close()


def test_all_who_want_the_same_get_it_and_a_filter_is_tried_once_for_all_of_them(
    sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[str] = []

    def counted(node: Node) -> Predicate:
        decide = condition_tree.predicate(node)

        def matches(event: Event) -> bool:
            tried.append(event.message)
            return decide(event)

        return matches

    monkeypatch.setattr(compiled, "predicate", counted)
    hubs = Hubs()
    clients = [Client(hubs, sim, Filter("step")) for _ in range(3)]
    others = [Client(hubs, sim, Filter("other")), Client(hubs, sim)]
    binary = Client(hubs, sim, Filter("step"), frames=ProtobufFrames())
    limited = [Client(hubs, sim, sources=Sources(["GNC"])) for _ in range(2)]
    try:
        sim.append_many(
            Event(message, source=source)
            for message, source in (("step 1", "GNC"), ("other", "AOCS"), ("step 2", "AOCS"))
        )
        assert others[1].messages(3) == ["step 1", "other", "step 2"]
        for client in (*clients, binary):
            assert client.messages(2) == ["step 1", "step 2"]
        assert others[0].messages(1) == ["other"]
        for client in limited:
            assert client.messages(1) == ["step 1"]
        # Once for JSON, once for protobuf, and once for the other filter.
        assert sorted(tried) == sorted(["step 1", "other", "step 2"] * 3)
    finally:
        hubs.close()
