"""Sessions over a WebSocket: frames to send, events to store meanwhile, and the messages that come back."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from typing import Any

from benchmarks.contenders.yamcs import INSTANCE
from benchmarks.differential.exchange import Answer, Case

_TIMEOUT_S = 5
SILENT_S = 1
"""Seconds without a message after which a session that expects none is over."""
_TIME = "2026-06-20T00:00:{:02}Z"


def sessions() -> Iterator[Case]:
    """Yield sessions: a text is sent, an object is stored, a number of messages is awaited."""

    def session(name: str, *steps: str | int | dict[str, Any], may: tuple[str, ...] = ()) -> Case:
        body = json.dumps(steps).encode()
        return Case(f"WebSocket: {name}", "WEBSOCKET", "/api/websocket", body, may=may)

    def subscribe(number: Any, instance: str = INSTANCE, **options: str) -> str:
        return json.dumps({"type": "events", "id": number, "options": {"instance": instance, **options}})

    def event(
        number: int, source: str = "live", severity: str = "info", message: str = "m"
    ) -> dict[str, Any]:
        body = {"message": message, "source": source, "severity": severity, "sequenceNumber": number}
        return {**body, "time": _TIME.format(number)}

    yield session("subscribe", subscribe(1), 1, event(1), 1, event(2, severity="severe"), 1)
    filtered = [event(3), event(4, severity="severe"), event(5, "other"), event(6, severity="critical")]
    yield session("filter", subscribe(1, filter="source=live severity=severe"), 1, *filtered, 1)
    yield session("id as text", subscribe("7"), 1, event(7), 1)
    yield session("two subscriptions", subscribe(1), 1, subscribe(2, filter="source=b"), 1, event(8), 1)
    yield session("unknown instance", subscribe(1, "nosuch"), 1)
    yield session("bad filter", subscribe(1, filter="foo=1"), 1, subscribe(2, filter="a OR OR"), 1)
    yield session("unknown type", json.dumps({"type": "nosuch", "id": 1}), 1, subscribe(2), 1)
    yield session(
        "a second event of a key",
        *(subscribe(1), 1, event(9), 1, event(9, message="other"), 1),
        may=("live-after-commit",),
    )
    yield session("not JSON", "{", 1)


def run(case: Case, port: int) -> Answer:
    """Run a session; return the messages, with calls numbered in the order of arrival.

    Raises RuntimeError without the package websocket-client.
    """
    try:
        import websocket  # noqa: PLC0415  # for this alone, so not an extra's
    except ModuleNotFoundError:
        raise RuntimeError("the sessions need a WebSocket client: pip install websocket-client") from None
    opened: Any = websocket.create_connection(f"ws://127.0.0.1:{port}{case.path}", timeout=_TIMEOUT_S)
    messages: list[Any] = []
    calls: dict[Any, str] = {}

    def receive() -> bool:
        try:
            text = opened.recv()
        except (websocket.WebSocketTimeoutException, websocket.WebSocketConnectionClosedException) as error:
            messages.append(type(error).__name__)
            return False
        message = json.loads(text) if text else "closed"
        if isinstance(message, dict) and "call" in message:
            message["call"] = calls.setdefault(message["call"], f"call {len(calls)}")
        messages.append(message)
        return isinstance(message, dict)

    try:
        for step in json.loads(case.body):
            if isinstance(step, str):
                opened.send(step)
            elif isinstance(step, dict):
                _store(step, port)
            elif not all(receive() for _ in range(step)):
                return Answer(101, {}, {"messages": messages})
        opened.settimeout(SILENT_S)
        receive()
    finally:
        opened.shutdown()  # close() does not close a socket that the server has closed
    return Answer(101, {}, {"messages": messages})


def _store(event: dict[str, Any], port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", f"/api/archive/{INSTANCE}/events", json.dumps(event))
        connection.getresponse().read()
    finally:
        connection.close()
