"""Live updates over a WebSocket: frames and their answers, over a real server and without a socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import websocket
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from msgspec.structs import replace
from websocket import ABNF, WebSocket

from tests.http.feeds import asgi_feed, uvicorn_server, wsgi_feed
from yamcs_archive import Archive, Event, Filter, Instance, Severity
from yamcs_archive.filter import compiled, condition_tree
from yamcs_archive.filter.condition_tree import Node
from yamcs_archive.filter.conditions import Predicate
from yamcs_archive.http.limits import LIVE_QUEUE_BYTES_MAX, SUBSCRIPTIONS_MAX
from yamcs_archive.http.live import hub, send_queue, session
from yamcs_archive.http.live import websocket as websocket_adapter
from yamcs_archive.limits import MESSAGE_BYTES_MAX
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

WAIT_S = 60
PATH = "/api/websocket"
NOT_FOUND, BAD = "NotFoundException", "BadRequestException"
CANCEL = "/yamcs.api.CancelOptions"
REQUEST = "type.googleapis.com/yamcs.protobuf.events.SubscribeEventsRequest"


@pytest.fixture
def port(archive: Archive, sim: Instance) -> Iterator[int]:
    """Serve the archive with the instance ``sim``."""
    with uvicorn_server(archive) as port:
        yield port


Connect = Callable[..., WebSocket]


@pytest.fixture
def connect(port: int) -> Iterator[Connect]:
    """Open WebSockets, closed at the end of the test."""
    opened: list[WebSocket] = []

    def connect(*subprotocols: str, **options: Any) -> WebSocket:
        url = f"ws://127.0.0.1:{port}{options.pop('path', PATH)}"
        opened.append(
            # The client checks each byte of a text in Python, which takes longer than all else; json checks
            # it too.
            websocket.create_connection(
                url, subprotocols=list(subprotocols), timeout=WAIT_S, skip_utf8_validation=True, **options
            )
        )
        return opened[-1]

    yield connect
    for one in opened:
        one.shutdown()  # type: ignore[no-untyped-call]


def ask(connection: WebSocket, **message: Any) -> Any:
    """Send a frame and return the next one that comes."""
    connection.send(json.dumps(message))
    return json.loads(connection.recv())


def subscribe(connection: WebSocket, **options: Any) -> int:
    """Subscribe to ``sim`` and return the call."""
    answer = ask(connection, type="events", id=1, options={"instance": "sim", **options})
    assert answer["type"] == "reply"
    call: int = answer["call"]
    return call


def message_from(connection: WebSocket) -> live.ServerMessage:
    """Return the next frame, which must be binary."""
    frame = connection.recv()
    assert isinstance(frame, bytes)
    return live.ServerMessage.FromString(frame)


def messages(connection: WebSocket, count: int) -> list[tuple[int, str]]:
    """Return number and message of the next events."""
    frames = [json.loads(connection.recv()) for _ in range(count)]
    assert {frame["type"] for frame in frames} <= {"events"}
    return [(frame["seq"], frame["data"]["message"]) for frame in frames]


def close_of(connection: WebSocket) -> tuple[int, str]:
    """Skip other frames, and return code and reason of the next close frame."""
    while True:
        opcode, frame = connection.recv_data_frame(True)
        if opcode == ABNF.OPCODE_CLOSE:
            return int.from_bytes(frame.data[:2], "big"), frame.data[2:].decode()


@pytest.mark.parametrize("subprotocols", [("json",), (), ("soap", "json", "protobuf")], ids=str)
def test_events_come_as_they_do_from_a_yamcs_server(
    connect: Connect, sim: Instance, subprotocols: tuple[str, ...]
) -> None:
    connection = connect(*subprotocols)
    assert connection.subprotocol == ("json" if subprotocols else None)
    connection.send('{"type": "events", "id": 1, "options": {"instance": "sim"}}')
    text = connection.recv()
    call = json.loads(text)["call"]
    assert text == (
        f'{{\n  "type": "reply",\n  "call": {call},\n  "data": {{\n'
        '    "@type": "/yamcs.api.Reply",\n    "replyTo": 1\n  }\n}'
    )
    event = Event("live", source="WS", severity=Severity.WARNING, seq_number=7, extra={"k": "v"})
    sim.append(replace(event, generation_time=0, reception_time=1000))
    assert connection.recv() == (
        f'{{\n  "type": "events",\n  "call": {call},\n  "seq": 1,\n  "data": {{\n'
        '    "@type": "/yamcs.protobuf.events.Event",\n    "source": "WS",\n'
        '    "generationTime": "1970-01-01T00:00:00Z",\n    "receptionTime": "1970-01-01T00:00:00.001Z",\n'
        '    "seqNumber": 7,\n    "message": "live",\n    "severity": "WARNING",\n'
        '    "extra": {\n      "k": "v"\n    }\n  }\n}'
    )


def test_events_come_in_the_order_of_commits_late_ones_too_and_duplicates_never(
    connect: Connect, sim: Instance
) -> None:
    sim.append(Event("before", generation_time=10, seq_number=0))
    connection = connect()
    subscribe(connection)
    stored = [sim.append(Event(f"{time}", generation_time=time)).event for time in (50, 20, 90, -5)]
    assert sim.append(stored[1]).duplicate
    sim.append_many([*stored, Event("b", generation_time=8), Event("a", generation_time=7)])
    expected = ["50", "20", "90", "-5", "a", "b"]
    assert messages(connection, 6) == list(enumerate(expected, 1))
    assert ask(connection, type="state")["type"] == "state"  # and nothing else came


def test_a_filter_is_tried_for_each_subscription_and_each_counts_for_itself(
    connect: Connect, sim: Instance
) -> None:
    connection = connect()
    everything, severe = subscribe(connection), subscribe(connection, filter="severity>=critical")
    sim.append(Event("a"))
    sim.append(Event("b", severity=Severity.CRITICAL))
    frames = [json.loads(connection.recv()) for _ in range(3)]
    found = [(frame["call"], frame["seq"], frame["data"]["message"]) for frame in frames]
    assert sorted(found) == sorted([(everything, 1, "a"), (everything, 2, "b"), (severe, 1, "b")])


def test_a_cancelled_call_gets_nothing_more_and_state_lists_the_others(
    connect: Connect, sim: Instance
) -> None:
    connection = connect()
    first, second = subscribe(connection), subscribe(connection, filter="severity=info")
    connection.send(json.dumps({"type": "cancel", "options": {"call": first}}))
    options = {"@type": "/yamcs.protobuf.events.SubscribeEventsRequest", "instance": "sim"}
    assert ask(connection, type="state", id=8) == {
        "type": "state",
        "data": {
            "@type": "/yamcs.api.State",
            "calls": [{"call": second, "type": "events", "options": {**options, "filter": "severity=info"}}],
        },
    }
    sim.append(Event("a"))
    assert json.loads(connection.recv())["call"] == second
    connection.send(json.dumps({"type": "cancel", "options": {"call": second}}))
    connection.send(json.dumps({"type": "cancel", "options": {"call": second}}))  # again: nothing
    assert ask(connection, type="state")["data"] == {"@type": "/yamcs.api.State"}


@pytest.mark.parametrize(
    ("message", "code", "kind", "said"),
    [
        ({"type": "events", "options": {"instance": "nosuch"}}, 404, NOT_FOUND, "No instance named 'nosuch'"),
        ({"type": "events", "options": {"instance": "../x"}}, 404, NOT_FOUND, "No instance named '../x'"),
        ({"type": "events"}, 404, NOT_FOUND, "No instance named ''"),
        ({"type": "nosuch"}, 404, NOT_FOUND, "No topic 'nosuch'"),
        ({"options": {}}, 404, NOT_FOUND, "No topic ''"),
        ({"type": "events", "call": 7, "options": {"instance": "sim"}}, 400, BAD, "no further"),
        ({"type": "events", "options": {"instance": "sim", "filter": "("}}, 400, BAD, "Syntax"),
    ],
)  # fmt: skip
def test_a_refused_subscription_is_a_reply_with_an_exception(
    connect: Connect, message: dict[str, Any], code: int, kind: str, said: str
) -> None:
    connection = connect()
    answer = ask(connection, id=3, **message)
    assert (answer["type"], "call" in answer, answer["data"]["replyTo"]) == ("reply", False, 3)
    exception = answer["data"]["exception"]
    assert (exception["code"], exception["type"]) == (code, kind)
    assert said in exception["msg"]
    if "Syntax" in said:
        assert exception["detail"]["beginColumn"] == 1
    assert subscribe(connection) > 0  # the connection stays open


@pytest.mark.parametrize(
    "frame",
    ["not json", "[]", '"a"', "", "{}x", '{"type": "events", "foo": 1}', '{"type": "events", "id": "x"}',
     '{"type": "events", "options": {"instance": "sim", "foo": 1}}', '{"type": "events", "options": 5}',
     '{"type": {}}', '{"type": "cancel", "options": {"call": 99999999999}}', "[" * 60_000, b"\xff\xfe"],
    ids=lambda frame: str(frame[:40]),
)  # fmt: skip
def test_a_malformed_frame_ends_the_connection(connect: Connect, frame: str | bytes) -> None:
    connection = connect("json")
    subscribe(connection)
    connection.send(frame, ABNF.OPCODE_TEXT if isinstance(frame, str) else ABNF.OPCODE_BINARY)
    assert close_of(connection) == (1000, "Bye")


@pytest.mark.parametrize(
    "frame",
    [
        b"\xff", b"\x0a\x05events", live.ClientMessage(type="events", options=AnyMessage(type_url="/x.Y")),
        live.ClientMessage(type="events", options=AnyMessage(type_url=REQUEST, value=b"\x0a\xff")),
        live.ClientMessage(type="cancel", options=AnyMessage(type_url=CANCEL, value=b"\x0a")),
    ],
    ids=repr,
)  # fmt: skip
def test_a_malformed_message_ends_the_connection(connect: Connect, frame: bytes | Message) -> None:
    connection = connect("protobuf")
    connection.send_binary(frame if isinstance(frame, bytes) else frame.SerializeToString())
    assert close_of(connection) == (1000, "Bye")


def test_text_where_protobuf_was_asked_for_ends_the_connection(connect: Connect) -> None:
    connection = connect("protobuf")
    connection.send('{"type": "state"}')
    assert close_of(connection) == (1000, "Bye")


@pytest.mark.parametrize("size", [65_537, 1 << 20])
def test_a_huge_frame_ends_the_connection_and_one_of_the_limit_does_not(connect: Connect, size: int) -> None:
    connection = connect()
    largest = '{"type": "state"' + " " * (65_536 - 17) + "}"
    connection.send(largest)
    assert json.loads(connection.recv())["type"] == "state"
    connection.send("x" * size)
    assert close_of(connection) == (1009, "Max frame length of 65536 has been exceeded.")
    wide = connect()
    wide.send("ü" * 40_000)  # fewer characters than the limit, and more bytes
    assert close_of(wide)[0] == 1009


def test_protobuf_frames_are_those_of_a_yamcs_server(connect: Connect, sim: Instance) -> None:
    connection = connect("protobuf")
    assert connection.subprotocol == "protobuf"
    request = live.SubscribeEventsRequest(instance="sim", filter="severity>=watch")
    options = AnyMessage(type_url=REQUEST, value=request.SerializeToString())
    connection.send_binary(live.ClientMessage(type="events", id=5, options=options).SerializeToString())
    replied = message_from(connection)
    assert (replied.type, replied.data.type_url) == ("reply", "/yamcs.api.Reply")
    assert live.Reply.FromString(replied.data.value).reply_to == 5
    sim.append(Event("a"))
    sim.append(Event("b", severity=Severity.WATCH))
    brought = message_from(connection)
    assert (brought.type, brought.call, brought.seq) == ("events", replied.call, 1)
    assert brought.data.type_url == "/yamcs.protobuf.events.Event"
    assert today.Event.FromString(brought.data.value).message == "b"
    connection.send_binary(live.ClientMessage(type="state").SerializeToString())
    state = live.State.FromString(message_from(connection).data.value)
    assert [(call.call, call.type) for call in state.calls] == [(replied.call, "events")]
    assert live.SubscribeEventsRequest.FromString(state.calls[0].options.value) == request
    ending = AnyMessage(
        type_url=CANCEL,
        value=live.CancelOptions(call=replied.call).SerializeToString(),
    )
    connection.send_binary(live.ClientMessage(type="cancel", options=ending).SerializeToString())
    connection.send_binary(live.ClientMessage(type="nosuch", id=9).SerializeToString())
    refused = live.Reply.FromString(message_from(connection).data.value)
    exception = today.ExceptionMessage.FromString(refused.exception)
    assert (refused.reply_to, exception.code, exception.msg) == (9, 404, "No topic 'nosuch'")


def test_thousands_of_subscriptions_on_one_connection_are_refused_beyond_the_limit(
    connect: Connect, sim: Instance
) -> None:
    connection = connect()
    message = json.dumps({"type": "events", "id": 1, "options": {"instance": "sim"}})
    count = 3000

    def send() -> None:
        for _ in range(count):
            connection.send(message)

    sending = threading.Thread(target=send)
    sending.start()
    answers = [json.loads(connection.recv()) for _ in range(count)]
    sending.join()
    refused = [answer["data"]["exception"] for answer in answers if "call" not in answer]
    assert len(refused) == count - SUBSCRIPTIONS_MAX
    assert f"{SUBSCRIPTIONS_MAX} subscriptions" in refused[0]["msg"]
    connection.send(json.dumps({"type": "cancel", "options": {"call": answers[0]["call"]}}))
    assert subscribe(connection) > 0
    sim.append(Event("a"))
    assert [message for _, message in messages(connection, SUBSCRIPTIONS_MAX)] == ["a"] * SUBSCRIPTIONS_MAX


def test_a_ping_is_answered(connect: Connect) -> None:
    connection = connect()
    connection.ping(b"there?")
    opcode, frame = connection.recv_data_frame(True)
    assert (opcode, frame.data) == (ABNF.OPCODE_PONG, b"there?")


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux lists the timers of its sockets")
def test_a_connection_is_probed_by_the_kernel_so_that_no_pong_is_needed(connect: Connect, port: int) -> None:
    connection = connect()
    subscribe(connection)
    assert connection.sock is not None
    own = connection.sock.getsockname()[1]
    give_up_s = time.monotonic() + WAIT_S
    while _timer(port, own) != "02":  # that of keepalive; at first it is that of the last frame sent
        assert time.monotonic() < give_up_s
        time.sleep(0.01)


def _timer(port: int, peer: int) -> str:
    """Return the kernel's timer for the connection between two ports, from its list of connections."""
    rows = [line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()]
    (found,) = (row for row in rows if row[1].endswith(f":{port:04X}") and row[2].endswith(f":{peer:04X}"))
    return found[5].partition(":")[0]


@pytest.mark.parametrize("slow", [False, True], ids=["it reads", "it does not read"])
def test_a_slow_client_is_cut_off_with_a_cursor_and_holds_up_nobody(
    connect: Connect, port: int, sim: Instance, monkeypatch: pytest.MonkeyPatch, slow: bool
) -> None:
    monkeypatch.setattr(send_queue, "LIVE_QUEUE_BYTES_MAX", 1 << 20)
    monkeypatch.setattr(hub, "LIVE_PATIENCE_S", 1 if slow else WAIT_S)
    # So much that it does not fit into the kernel's buffers. If these had less room than a segment of
    # loopback, sending would continue at the pace of a timer.
    connection, other = connect(sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)]), connect()
    subscribe(connection)
    subscribe(other, filter="last")
    text = "x" * 10_000
    counts = sim.append_many(Event(f"{n} {text}", generation_time=n) for n in range(2000))  # not held up
    sim.append(Event("last", generation_time=5000))
    assert counts.stored == 2000
    if not slow:
        assert [int(message.split()[0]) for _, message in messages(connection, 2000)] == list(range(2000))
    assert messages(other, 1) == [(1, "last")]
    told = metrics(port)
    assert told['live_cut_off_total{instance="sim"}'] == slow
    assert told['http_requests_total{code="101",route="/api/websocket"}'] == 2
    if not slow:
        assert (told["live_websockets"], told['live_subscribers{instance="sim"}']) == (2, 2)
        assert told["live_queued_bytes"] == 0
    if slow:
        got: list[str] = []
        while True:
            opcode, frame = connection.recv_data_frame(True)
            if opcode == ABNF.OPCODE_CLOSE:
                break
            got.append(json.loads(frame.data)["data"]["message"])
        assert int.from_bytes(frame.data[:2], "big") == 1013
        cursor = frame.data[2:].decode().partition("after=")[2].split()[0]
        rest = [change.event.message for change in sim.changes(cursor)]
        assert got == [f"{n} {text}" for n in range(len(got))]
        assert [*got, *rest] == [f"{n} {text}" for n in range(2000)] + ["last"]


def metrics(port: int) -> dict[str, float]:
    """Return the samples of a scrape, without their prefix."""
    connection = HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    pairs = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    return {name.removeprefix("yamcs_archive_"): float(value) for name, _, value in pairs}


def test_a_client_that_accepts_no_frame_is_counted_as_cut_off(
    connect: Connect, port: int, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_adapter, "LIVE_SEND_S", 0.2)
    connection = connect(sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)])
    subscribe(connection)
    subscribe(connection)
    # Too much for the kernel's buffers, and too little for a full queue.
    sim.append_many(Event("x" * 50_000, generation_time=n) for n in range(30))
    end_s = time.monotonic() + WAIT_S
    while (told := metrics(port))["live_websockets"]:
        assert time.monotonic() < end_s
        time.sleep(0.05)
    assert told['live_cut_off_total{instance="sim"}'] == 2
    assert told['live_subscribers{instance="sim"}'] == 0


def test_the_system_takes_little_for_a_client_that_reads_nothing(
    connect: Connect, port: int, sim: Instance
) -> None:
    connection = connect(sockopt=[(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 12)])
    subscribe(connection)
    sim.append_many(Event("x" * 1_000, generation_time=n) for n in range(1_500))
    end_s = time.monotonic() + WAIT_S
    while metrics(port)["live_queued_bytes"] < 1_000_000:  # by itself it would take all
        assert time.monotonic() < end_s
        time.sleep(0.05)


def test_only_a_few_large_events_are_sent_before_slow_clients_are_detected(
    connect: Connect, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, waiting = threading.Event(), []

    def held(node: Node) -> Predicate:
        decide = condition_tree.predicate(node)
        return lambda event: go_on.wait(WAIT_S) and decide(event)

    flush = send_queue.SendQueue.flush

    def flushed(self: send_queue.SendQueue) -> None:
        waiting.append(self._bytes)
        flush(self)

    monkeypatch.setattr(compiled, "predicate", held)
    monkeypatch.setattr(send_queue.SendQueue, "flush", flushed)
    connection = connect()
    subscribe(connection, filter="step")
    text = "x" * (MESSAGE_BYTES_MAX - 10)
    sim.append_many(Event(f"step {n} {text}", generation_time=n) for n in range(12))
    go_on.set()  # the hub has much to catch up with
    assert [message.split()[1] for _, message in messages(connection, 12)] == [str(n) for n in range(12)]
    assert max(waiting) < LIVE_QUEUE_BYTES_MAX + 2 * MESSAGE_BYTES_MAX


def test_a_new_subscription_gets_only_new_events_even_while_others_lag(
    connect: Connect, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, go_on = threading.Event(), threading.Event()

    class Held:
        """A filter that waits before it decides whether an event matches."""

        def __init__(self, text: str) -> None:
            self._wanted = Filter(text)

        def matches(self, event: Event) -> bool:
            reading.set()
            assert go_on.wait(WAIT_S)
            return self._wanted.matches(event)

    monkeypatch.setattr(session, "Filter", Held)
    lagging, late = connect(), connect()
    subscribe(lagging, filter="step")
    sim.append_many(Event(f"step {n}", generation_time=n) for n in range(3))
    assert reading.wait(WAIT_S)
    sim.append(Event("step 3"))
    subscribe(late)
    sim.append_many(Event(f"step {n}", generation_time=n) for n in (4, 5))
    go_on.set()
    assert messages(late, 2) == [(1, "step 4"), (2, "step 5")]
    assert messages(lagging, 6) == [(n + 1, f"step {n}") for n in range(6)]
    sim.append(Event("step 6"))
    assert messages(late, 1) == [(3, "step 6")]
    assert messages(lagging, 1) == [(7, "step 6")]


def running() -> bool:
    """Return whether a thread reads events for subscribers, or is about to."""
    return any(thread.name == "archive-live-sim" for thread in threading.enumerate())


def wait_until_nothing_runs() -> None:
    """A thread that is listed may not have begun yet, so it cannot be joined."""
    deadline_s = time.monotonic() + WAIT_S
    while running():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def test_nothing_runs_where_nobody_subscribes(connect: Connect, sim: Instance) -> None:
    first, second = connect(), connect()
    assert not running()
    call = subscribe(first)
    subscribe(second)
    assert running()
    first.send(json.dumps({"type": "cancel", "options": {"call": call}}))
    ask(first, type="state")
    assert running()
    second.close()
    wait_until_nothing_runs()
    subscribe(first)
    sim.append(Event("again"))
    assert messages(first, 1) == [(1, "again")]


def test_other_websockets_are_refused_with_a_reason(connect: Connect) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException, match="404") as refused:
        connect(path="/api/nosuch")
    assert b"NotFoundException" in (refused.value.resp_body or b"")
    with pytest.raises(websocket.WebSocketBadStatusException, match="404"):
        connect(path="/api")
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        connect(origin="https://elsewhere.example")
    connect(path=f"{PATH}/")


def test_more_websockets_than_the_limit_are_refused(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "WEBSOCKETS_MAX", 2)
    connect()
    second = connect()
    with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
        connect()
    second.close()
    subscribe(accepted(connect))


def accepted(connect: Connect) -> WebSocket:
    """Connect as soon as the server has noticed that another WebSocket was closed."""
    give_up = time.monotonic() + 30
    while True:
        try:
            return connect()
        except websocket.WebSocketBadStatusException:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)


def test_an_ordinary_request_must_upgrade_and_wsgi_says_that_it_cannot(archive: Archive) -> None:
    told = asgi_feed(archive)("GET", PATH)
    assert (told.status, told.headers["upgrade"]) == (426, "websocket")
    for headers in ({}, {"upgrade": "websocket", "connection": "upgrade"}):
        refused = wsgi_feed(archive)("GET", PATH, headers=headers)
        assert refused.status == 501
        assert "ASGI" in refused.json()["msg"]


def test_a_closed_archive_closes_the_websockets(connect: Connect, archive: Archive) -> None:
    connection = connect()
    subscribe(connection)
    archive.close()
    assert close_of(connection) == (1001, "the server stops")


def test_a_subscription_ends_with_its_instance(connect: Connect, archive: Archive) -> None:
    connection = connect()
    subscribe(connection)
    archive.rename("sim", "bench")
    assert close_of(connection) == (1001, "the instance was renamed or deleted")
    archive.instance("sim", create=True)
    again = connect()
    subscribe(again)
    archive.instance("sim").append(Event("another instance of that name"))
    assert messages(again, 1) == [(1, "another instance of that name")]


def test_a_filter_that_takes_long_to_read_is_dropped_when_its_client_leaves(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slowly(text: str) -> Filter:
        begun.set()
        assert go_on.wait(WAIT_S)
        return Filter(text)

    monkeypatch.setattr(session, "Filter", slowly)
    leaving, other = connect(), connect()
    leaving.send(json.dumps({"type": "events", "options": {"instance": "sim", "filter": "x" * 2000}}))
    assert begun.wait(WAIT_S)
    assert ask(other, type="state")["type"] == "state"  # nobody waits for it
    leaving.close()
    go_on.set()
    monkeypatch.undo()
    subscribe(other)
    other.close()
    wait_until_nothing_runs()
