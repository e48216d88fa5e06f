"""The requests of Open MCT's plug-in for Yamcs, which its pages send from an origin of their own.

docs/clients.md lists them with the files that they were read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests.clients.history import EVENTS, HISTORY, ORIGIN, SOURCES, after, matching, time_of
from tests.server.serving import WAIT_S, Served
from yamcs_archive import Event, Severity

FIELDS = (
    "severity",
    "generationTime",
    "receptionTime",
    "seqNumber",
    "message",
    "type",
    "source",
    "createdBy",
)
"""The fields of an event that the plug-in uses."""


def fetch(served: Served, target: str, method: str = "GET", body: str | None = None) -> Any:
    """Return the JSON of an answer to a page of Open MCT. A browser shows it to no page of another origin."""
    connection = served.connect()
    headers = {"Origin": ORIGIN, "Accept": "*/*", "Sec-Fetch-Mode": "cors"}
    if body is not None:
        headers["Content-Type"] = "text/plain;charset=UTF-8"  # what fetch sends with a text
    connection.request(method, target, body, headers)
    response = connection.getresponse()
    content = response.read()
    assert response.headers["access-control-allow-origin"] == ORIGIN, content
    return msgspec.json.decode(content)


def milliseconds(moment: datetime) -> str:
    """Return a time as a browser writes it."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def history(served: Served, start: datetime, end: datetime, **options: Any) -> list[dict[str, Any]]:
    """Ask for history as the plug-in does, following its tokens until there is none."""
    asked = {"start": milliseconds(start), "stop": milliseconds(end), "limit": 1000, "order": "asc"} | options
    target = f"/api/archive/{HISTORY}/events?"
    found: list[dict[str, Any]] = []
    token: str | None = None
    while True:
        page = fetch(served, target + urlencode(asked if token is None else {**asked, "next": token}))
        found += page.get("event", [])
        token = page.get("continuationToken")
        if token is None or len(found) >= options.get("limit", 1_000_000):
            return found


def data(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: event.get(name) for name in FIELDS} for event in found]


def shown(events: list[Event]) -> list[dict[str, Any]]:
    return [
        {
            "severity": event.severity.name,
            "generationTime": time_of(event).isoformat().replace("+00:00", "Z"),
            "receptionTime": _reception(event),
            "seqNumber": event.seq_number,
            "message": event.message,
            "type": event.type,
            "source": event.source,
            "createdBy": None,
        }
        for event in events
    ]


def _reception(event: Event) -> str:
    assert event.reception_time is not None
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=event.reception_time)
    grain = (
        "microseconds" if moment.microsecond % 1000 else "milliseconds" if moment.microsecond else "seconds"
    )
    return moment.isoformat(timespec=grain).replace("+00:00", "Z")


def test_the_sources_for_the_tree_of_objects(served: Served, instance: str) -> None:
    found = fetch(served, f"/api/archive/{HISTORY}/events/sources")
    assert found["sources"] == found["source"] == sorted(SOURCES, key=str.casefold)
    assert fetch(served, f"/api/archive/{instance}/events/sources") == {}


def test_history_between_two_moments(served: Served) -> None:
    # The plug-in adds a millisecond to the end, to make it inclusive.
    found = history(served, after(2), after(5) + timedelta(milliseconds=1))
    assert data(found) == shown(matching(lambda event: after(2) <= time_of(event) <= after(5)))


def test_all_of_history_over_several_pages(served: Served) -> None:
    assert data(history(served, after(-60), after(3600))) == shown(EVENTS)
    assert data(history(served, after(-60), after(3600), limit=1000)) == shown(EVENTS[:1000])


def test_the_latest_event(served: Served) -> None:
    found = history(served, after(-60), after(3600), limit=1, order="desc")
    assert data(found) == shown(EVENTS[-1:])


@pytest.mark.parametrize("severity", ["info", "watch", "warning", "distress", "critical", "severe"])
def test_history_with_a_severity_threshold(served: Served, severity: str) -> None:
    found = history(served, after(0), after(3), severity=severity)
    least = Severity.parse(severity).rank
    wanted = [e for e in EVENTS if after(0) <= time_of(e) < after(3) and e.severity.rank >= least]
    assert wanted
    assert data(found) == shown([event for event in wanted if time_of(event) >= after(0)])


def test_history_of_one_source(served: Served) -> None:
    found = history(served, after(-60), after(3600), source="Procedure 1", severity="watch")
    wanted = matching(lambda e: e.source == "Procedure 1" and e.severity is not Severity.INFO)
    assert data(found) == shown(wanted)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"/api/mdb/{HISTORY}/space-systems", {"totalSize": 0}),
        (f"/api/mdb/{HISTORY}/parameters?details=yes&limit=1000", {"totalSize": 0}),
        (f"/api/mdb-overrides/{HISTORY}/realtime", {}),
        # The plug-in reads this list without asking whether it is there.
        (f"/api/processors/{HISTORY}/realtime/queues", {"queues": []}),
        (f"/api/processors/{HISTORY}/realtime/alarms", {}),
    ],
)
def test_what_it_asks_for_at_its_start_is_empty(served: Served, target: str, expected: Any) -> None:
    assert fetch(served, target) == expected


def test_an_unknown_route_answers_json_that_the_plug_in_reads_as_empty(served: Served) -> None:
    target = f"/api/processors/{HISTORY}/realtime/parameters:batchGet"
    found = fetch(served, target, "POST", '{"id": [], "fromCache": true}')
    assert (found["code"], found["type"]) == (404, "NotFoundException")
    assert "value" not in found


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "processors/{}/realtime/queues", 200),  # at the start, for the tree of commands
        ("POST", "processors/{}/realtime/alarms/a/b/1:acknowledge", 404),
        ("PUT", "processors/{}/realtime/parameters/a/b", 404),
        ("PATCH", "mdb/{}/realtime/parameters/a/b", 404),
    ],
)
def test_a_request_with_a_preflight_gets_an_answer_and_no_network_failure(
    served: Served, method: str, path: str, status: int
) -> None:
    """The plug-in sends these with a JSON content type, so that the browser sends a preflight first.

    A failed preflight is a network failure, with which the plug-in loses its whole tree. It reads a 404 as an
    empty list.
    """
    target = f"/api/{path.format(HISTORY)}"
    connection = served.connect()
    asks = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": "content-type"}
    connection.request("OPTIONS", target, headers={"Origin": ORIGIN, "Accept": "*/*", **asks})
    response = connection.getresponse()
    assert (response.status, response.read()) == (204, b"")
    assert response.headers["access-control-allow-origin"] == ORIGIN
    assert method in response.headers["access-control-allow-methods"].split(", ")
    assert "content-type" in response.headers["access-control-allow-headers"].split(", ")
    headers = {"Origin": ORIGIN, "Content-Type": "application/json"}
    connection.request(method, target, None if method == "GET" else "{}", headers)
    response = connection.getresponse()
    assert response.status == status, response.read()
    assert response.headers["access-control-allow-origin"] == ORIGIN


def test_another_page_is_shown_nothing(served: Served) -> None:
    connection = served.connect()
    target = f"/api/archive/{HISTORY}/events/sources"
    connection.request("GET", target, headers={"Origin": "https://elsewhere.example"})
    response = connection.getresponse()
    response.read()
    assert response.headers["access-control-allow-origin"] is None
    assert response.headers.get_all("vary") == ["Accept, Accept-Encoding, Origin"]


# Live updates


@contextmanager
def websocket(served: Served, origin: str) -> Iterator[Any]:
    """Open the WebSocket like a page of that origin, which asks for no subprotocol."""
    from websocket import create_connection  # noqa: PLC0415  # comes with the official client

    opened = create_connection(f"ws://127.0.0.1:{served.port}/api/websocket", timeout=WAIT_S, origin=origin)
    try:
        yield opened
    finally:
        opened.close()


def next_message(opened: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(opened.recv())
    return found


def test_live_events_of_one_subscription_after_another(served: Served, instance: str) -> None:
    path = f"/api/archive/{instance}/events"
    with websocket(served, ORIGIN) as opened:
        # The plug-in sends the ids of subscriptions and the numbers of calls as texts.
        opened.send(f'{{ "type": "events", "id": "1", "options": {{ "instance": "{instance}" }} }}')
        reply = next_message(opened)
        assert (reply["type"], reply["data"]["replyTo"]) == ("reply", 1)
        call = reply["call"]
        fetch(served, path, "POST", '{"message": "first", "source": "EPS", "severity": "distress"}')
        found = next_message(opened)
        assert (found["type"], found["call"]) == ("events", call)
        event = found["data"]
        assert (event["message"], event["severity"], event["source"]) == ("first", "DISTRESS", "EPS")
        assert event["generationTime"].endswith("Z")
        opened.send(f'{{ "type": "cancel", "options": {{ "call": "{call}" }} }}')
        opened.send(f'{{ "type": "events", "id": "2", "options": {{ "instance": "{instance}" }} }}')
        reply = next_message(opened)
        assert reply["data"]["replyTo"] == 2
        fetch(served, path, "POST", '{"message": "second"}')
        found = next_message(opened)
        assert (found["call"], found["data"]["message"]) == (reply["call"], "second")
        assert reply["call"] != call


@pytest.mark.parametrize("topic", ["mdb-changes", "alarms", "global-alarm-status", "commands"])
def test_its_other_subscriptions_are_accepted_and_bring_nothing(
    served: Served, instance: str, topic: str
) -> None:
    options = f'{{ "instance": "{instance}", "processor": "realtime" }}'
    with websocket(served, ORIGIN) as opened:
        opened.send(f'{{ "type": "{topic}", "id": "1", "options": {options} }}')
        reply = next_message(opened)
        assert (reply["type"], reply["data"]) == ("reply", {"@type": "/yamcs.api.Reply", "replyTo": 1})
        if topic == "global-alarm-status":
            assert next_message(opened)["data"]["unacknowledgedCount"] == 0
        opened.send(f'{{ "type": "events", "id": "2", "options": {{ "instance": "{instance}" }} }}')
        assert next_message(opened)["data"]["replyTo"] == 2


def test_a_subscription_to_a_parameter_is_refused_and_harms_nothing(served: Served, instance: str) -> None:
    options = f'{{ "instance": "{instance}", "processor": "realtime", "id": [{{ "name": "/a/b" }}] }}'
    with websocket(served, ORIGIN) as opened:
        opened.send(f'{{ "type": "parameters", "id": "1", "options": {options} }}')
        reply = next_message(opened)
        assert (reply["type"], reply["data"]["replyTo"]) == ("reply", 1)
        assert reply["data"]["exception"]["code"] == 404
        opened.send(f'{{ "type": "events", "id": "2", "options": {{ "instance": "{instance}" }} }}')
        assert next_message(opened)["data"]["replyTo"] == 2


def test_a_page_of_another_origin_gets_no_live_events(served: Served) -> None:
    from websocket import WebSocketBadStatusException  # noqa: PLC0415

    with pytest.raises(WebSocketBadStatusException) as caught, websocket(served, "https://elsewhere.example"):
        pass
    assert caught.value.status_code == 403
    with websocket(served, f"http://127.0.0.1:{served.port}") as opened:  # a page of the server's own address
        assert opened.connected
