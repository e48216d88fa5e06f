"""What an archive of events does not have: empty lists and quiet calls, in the forms of a Yamcs server.

The expected bytes are those that a Yamcs server 5.12.8 sends when it has nothing to list.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from websocket import WebSocket, create_connection

from tests.http.feeds import Feed, uvicorn_server
from yamcs_archive import Archive, Instance
from yamcs_archive.access.callers import guest
from yamcs_archive.http.limits import LIVE_QUEUE_BYTES_MAX, SUBSCRIPTIONS_MAX, TIME_CALLS_MAX
from yamcs_archive.http.live import hub
from yamcs_archive.http.live.beside_events import Call, Clock
from yamcs_archive.http.live.send_queue import SendQueue
from yamcs_archive.http.live.session import Session
from yamcs_archive.http.routes import PATHS
from yamcs_archive.times import now_us
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.live_frames import JsonFrames
from yamcs_archive.wire.pb import yamcs_archive_beside_events_pb2 as beside
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

WAIT_S = 60
MDB = ("space-systems", "parameters", "parameter-types", "containers", "commands", "algorithms")
EMPTY = {
    "/api/processors": {},
    "/api/processors/sim/realtime/alarms": {},
    "/api/processors/sim/realtime/queues": {"queues": []},
    "/api/mdb-overrides/sim/realtime": {},
    "/api/links/sim": {},
    "/api/services/sim": {},
    **{f"/api/mdb/sim/{name}": {"totalSize": 0} for name in MDB},
}
FIRST_STATUS = {
    "@type": "/yamcs.protobuf.alarms.GlobalAlarmStatus",
    "unacknowledgedCount": 0,
    "unacknowledgedActive": False,
    "acknowledgedCount": 0,
    "acknowledgedActive": False,
    "shelvedCount": 0,
    "shelvedActive": False,
}


@pytest.mark.parametrize("path", EMPTY)
def test_a_list_is_empty_and_of_an_instance_that_exists(core: Feed, path: str) -> None:
    answer = core("GET", path)
    assert (answer.status, answer.json()) == (200, EMPTY[path])
    assert core("GET", f"{path}/?q=wheel&details=yes&limit=1000").json() == EMPTY[path]
    packed = core("GET", path, b"", {"accept": PROTOBUF})
    assert (packed.status, packed.headers["content-type"]) == (200, PROTOBUF)
    assert packed.body == (b"\x18\x00" if "/mdb/" in path else b"")
    unknown = f"{path}?instance=nosuch" if path == "/api/processors" else path.replace("sim", "nosuch")
    assert (core("GET", unknown).status, core("GET", unknown).json()["type"]) == (404, "NotFoundException")
    refused = core("POST", path, b"{}")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_every_such_route_is_tried_here() -> None:
    ours = {path for path, routes in PATHS.items() if routes[0].handler.__module__.endswith("beside_events")}
    tried = {path.replace("/sim", "/{instance}").replace("/realtime", "/{processor}") for path in EMPTY}
    assert tried == ours


def test_processors_of_one_instance_and_of_no_path(core: Feed) -> None:
    assert core("GET", "/api/processors?instance=sim").json() == {}
    assert core("GET", "/api/processors?instance=").json() == {}
    for path in (
        "/api/processors/sim/realtime",
        "/api/processors/sim//queues",
        "/api/processors/sim/a/b/queues",
    ):
        assert core("GET", path).status == 404


# Calls


@pytest.fixture
def port(archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(hub, "Clock", lambda: Clock(0.02))
    with uvicorn_server(archive) as port:
        yield port


Connect = Callable[..., Any]


@pytest.fixture
def connect(port: int) -> Connect:
    @contextmanager
    def opened(*subprotocols: str) -> Iterator[WebSocket]:
        url = f"ws://127.0.0.1:{port}/api/websocket"
        connection = create_connection(url, subprotocols=list(subprotocols), timeout=WAIT_S)
        try:
            yield connection
        finally:
            connection.shutdown()  # type: ignore[no-untyped-call]

    return opened


def ask(connection: WebSocket, topic: str, **options: Any) -> Any:
    """Begin a call, and return the first frame after those of other calls that only bring the time."""
    connection.send(json.dumps({"type": topic, "id": "7", "options": options}))
    while (found := json.loads(connection.recv()))["type"] == "time":
        pass
    return found


@pytest.mark.parametrize("topic", ["mdb-changes", "alarms", "commands", "global-alarm-status", "time"])
def test_a_call_is_accepted_listed_and_ended(connect: Connect, topic: str) -> None:
    with connect() as connection:
        options: dict[str, Any] = {"instance": "sim", "processor": "realtime"}
        options |= {"alarms": {"includePending": True}, "commands": {"ignorePastCommands": False}}.get(
            topic, {}
        )
        reply = ask(connection, topic, **options)
        assert reply["data"] == {"@type": "/yamcs.api.Reply", "replyTo": 7}
        if topic == "global-alarm-status":
            first = json.loads(connection.recv())
            assert first == {"type": topic, "call": reply["call"], "seq": 1, "data": FIRST_STATUS}
        (listed,) = ask(connection, "state")["data"]["calls"]
        assert (listed["call"], listed["type"]) == (reply["call"], topic)
        assert {name: value for name, value in listed["options"].items() if name != "@type"} == options
        connection.send(json.dumps({"type": "cancel", "options": {"call": str(reply["call"])}}))
        assert ask(connection, "state")["data"] == {"@type": "/yamcs.api.State"}


@pytest.mark.parametrize("topic", ["mdb-changes", "time"])
def test_a_call_of_an_unknown_instance_is_refused(connect: Connect, topic: str) -> None:
    with connect() as connection:
        for options in ({"instance": "nosuch"}, {}):
            error = ask(connection, topic, **options)["data"]["exception"]
            assert (error["code"], error["type"]) == (404, "NotFoundException")


@pytest.mark.parametrize("options", [{"nosuch": 1}, {"includePending": "maybe"}, {"instance": []}])
def test_options_that_no_client_sends_end_the_connection(connect: Connect, options: dict[str, Any]) -> None:
    with connect() as connection:
        connection.send(json.dumps({"type": "alarms", "options": options}))
        assert connection.recv_data()[1][2:] == b"Bye"


def test_the_time_comes_again_and_again_and_ends_with_its_call(connect: Connect) -> None:
    with connect() as connection:
        before = now_us() // 1000 * 1000
        call = ask(connection, "time", instance="sim")["call"]
        frames = [json.loads(connection.recv()) for _ in range(3)]
        assert [(frame["type"], frame["call"], frame["seq"]) for frame in frames] == [
            ("time", call, number) for number in (1, 2, 3)
        ]
        times = []
        for frame in frames:
            moment = Timestamp()
            assert frame["data"].pop("@type") == "/google.protobuf.Timestamp"
            moment.FromJsonString(frame["data"].pop("value"))
            assert frame["data"] == {}
            times.append(moment.ToMicroseconds())
        assert before <= times[0] <= times[1] <= times[2] <= now_us()
        assert all(moment % 1000 == 0 for moment in times)
        connection.send(json.dumps({"type": "cancel", "options": {"call": call}}))
        ask(connection, "state")
        assert ask(connection, "mdb-changes", instance="sim", processor="p")["type"] == "reply"
        assert ask(connection, "state")["type"] == "state"  # and no time between


def test_the_frames_of_protobuf_are_those_of_a_yamcs_server(connect: Connect) -> None:
    with connect("protobuf") as connection:
        sent = live.ClientMessage(type="time", id=3)
        sent.options.Pack(beside.SubscribeTimeRequest(instance="sim"))
        sent.options.type_url = "type.googleapis.com/yamcs.protobuf.time.SubscribeTimeRequest"
        connection.send_binary(sent.SerializeToString())
        reply = live.ServerMessage.FromString(connection.recv())
        assert (reply.type, live.Reply.FromString(reply.data.value).reply_to) == ("reply", 3)
        found = live.ServerMessage.FromString(connection.recv())
        assert (found.type, found.call, found.seq) == ("time", reply.call, 1)
        assert found.data.type_url == "/google.protobuf.Timestamp"
        assert found.data.Is(Timestamp.DESCRIPTOR)
        sent = live.ClientMessage(type="alarms", id=4)
        sent.options.Pack(beside.SubscribeAlarmsRequest(instance="nosuch"))
        sent.options.type_url = "/yamcs.protobuf.alarms.SubscribeAlarmsRequest"
        connection.send_binary(sent.SerializeToString())
        while (refused := live.ServerMessage.FromString(connection.recv())).type == "time":
            pass
        exception = today.ExceptionMessage.FromString(live.Reply.FromString(refused.data.value).exception)
        assert exception.code == 404
        sent.options.type_url = "/yamcs.protobuf.time.SubscribeTimeRequest"  # of another topic
        connection.send_binary(sent.SerializeToString())
        while (frame := connection.recv_data())[0] != 8:
            pass
        assert frame[1][2:] == b"Bye"


def test_calls_of_time_have_a_limit_of_their_own_within_that_of_all(connect: Connect) -> None:
    with connect() as connection:
        calls = [ask(connection, "time", instance="sim")["call"] for _ in range(TIME_CALLS_MAX)]
        assert f"{TIME_CALLS_MAX} subscriptions to the time" in said(ask(connection, "time", instance="sim"))
        for _ in range(SUBSCRIPTIONS_MAX - TIME_CALLS_MAX):
            assert "call" in ask(connection, "mdb-changes", instance="sim")
        for topic in ("mdb-changes", "events", "time"):
            assert f"{SUBSCRIPTIONS_MAX} subscriptions are" in said(ask(connection, topic, instance="sim"))
        for call in calls:
            connection.send(json.dumps({"type": "cancel", "options": {"call": call}}))
        assert "call" in ask(connection, "time", instance="sim")


def said(reply: dict[str, Any]) -> str:
    found: str = reply["data"]["exception"]["msg"]
    return found


def clocks() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "archive-live-time"]


def test_the_clock_has_one_thread_which_ends_with_the_last_connection(connect: Connect) -> None:
    with connect() as first, connect() as second:
        ask(first, "time", instance="sim")
        ask(second, "time", instance="sim")
        (clock,) = clocks()
        first.shutdown()
        assert json.loads(second.recv())["type"] == "time"
        assert clock.is_alive()
    clock.join(WAIT_S)
    assert clocks() == []


def test_a_queue_that_nobody_empties_is_sent_no_time() -> None:
    woken = threading.Event()
    stalled = SendQueue(JsonFrames(), wake=lambda: None, give_up=lambda: None)
    reading = SendQueue(JsonFrames(), wake=woken.set, give_up=lambda: None)
    stalled.put("x" * (LIVE_QUEUE_BYTES_MAX + 1))
    options = beside.SubscribeTimeRequest(instance="sim")
    calls = [Call(1, "time", options, stalled), Call(2, "time", options, reading)]
    clock = Clock(0.01)
    try:
        for call in calls:
            clock.add(call)
        for _ in range(3):
            assert woken.wait(WAIT_S)
            woken.clear()
            assert len(reading.take(10)) == 1
        assert stalled.take(10) == ["x" * (LIVE_QUEUE_BYTES_MAX + 1)]  # and nothing else
        assert calls[0].seq == 0
    finally:
        clock.close()
        clock.close()
    for thread in clocks():
        thread.join(WAIT_S)
    reading.take(10)
    woken.clear()
    clock.add(calls[1])  # a new thread
    assert woken.wait(WAIT_S)
    clock.remove(calls[1])
    clock.remove(calls[1])


def test_a_client_that_reads_no_more_missed_events_only_if_it_asked_for_some(
    archive: Archive, sim: Instance
) -> None:
    hubs = hub.Hubs()
    queue = SendQueue(JsonFrames(), wake=lambda: None, give_up=lambda: None)
    session = Session(archive, hubs, queue, guest(operations=False))
    try:
        for topic in ("alarms", "time", "events"):
            session.received(json.dumps({"type": topic, "options": {"instance": "sim"}}))
        session.note_cut_off()
        assert queue.closing is None
        assert hubs._cut_off == {"sim": 1}
    finally:
        session.close()
        hubs.close()
