"""The requests of the Yamcs data source for Grafana, by its server's proxy and straight from a browser.

docs/clients.md lists them with the files that they were read from.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest

from tests.clients.history import EVENTS, HISTORY, ORIGIN, after, matching, time_of
from tests.clients.test_open_mct import milliseconds
from tests.server.serving import Served
from yamcs_archive import Event


@pytest.fixture(params=["proxy", "browser"])
def headers(request: pytest.FixtureRequest) -> dict[str, str]:
    """The headers of each way: a proxy sends no origin, a browser sends one, and credentials with a login."""
    accept = {"Accept": "application/json, text/plain, */*"}
    if request.param == "proxy":
        return {**accept, "X-Forwarded-For": "127.0.0.1", "User-Agent": "Grafana/11"}
    return {**accept, "Origin": ORIGIN, "Authorization": "Basic b3BzOm9wcw=="}


def get(served: Served, target: str, headers: dict[str, str]) -> tuple[int, Any]:
    connection = served.connect()
    connection.request("GET", target, headers=headers)
    response = connection.getresponse()
    content = msgspec.json.decode(response.read())
    if "Origin" in headers:
        assert response.headers["access-control-allow-origin"] == ORIGIN
        assert response.headers["access-control-allow-credentials"] == "true"
    return response.status, content


def listed(served: Served, headers: dict[str, str], **query: Any) -> list[tuple[Any, ...]]:
    """Return the rows that the data source would show for a page."""
    given = {"start": milliseconds(after(0)), "stop": milliseconds(after(3600)), "limit": 200, **query}
    status, page = get(served, f"/api/archive/{HISTORY}/events?{urlencode(given)}", headers)
    assert status == 200
    names = ("message", "source", "type", "severity", "seqNumber")
    return [tuple(event.get(name) for name in names) for event in page.get("event", [])]


def newest(events: list[Event]) -> list[tuple[Any, ...]]:
    return [(e.message, e.source, e.type, e.severity.name, e.seq_number) for e in events[::-1][:200]]


def test_save_and_test_finds_the_instance(served: Served, headers: dict[str, str]) -> None:
    status, found = get(served, f"/api/instances/{HISTORY}", headers)
    assert (status, found["name"]) == (200, HISTORY)
    assert get(served, "/api/instances/nosuch", headers)[0] == 404


def test_list_events_of_a_dashboards_range(served: Served, headers: dict[str, str]) -> None:
    assert listed(served, headers) == newest(EVENTS)
    short = {"start": milliseconds(after(3)), "stop": milliseconds(after(5))}
    assert listed(served, headers, **short) == newest(
        matching(lambda event: after(3) <= time_of(event) < after(5))
    )


def test_list_events_of_a_source_and_of_a_type(served: Served, headers: dict[str, str]) -> None:
    wanted = matching(lambda event: event.source == "Procedure 1")
    assert listed(served, headers, source="Procedure 1") == newest(wanted)
    wanted = matching(lambda event: event.type == "LOW_BATTERY")
    assert listed(served, headers, filter='type="low_battery"') == newest(wanted)
    wanted = matching(lambda event: (event.source, event.type) == ("AOCS", "LOW_BATTERY"))
    assert listed(served, headers, source="AOCS", filter='type="LOW_BATTERY"') == newest(wanted)


def test_a_browser_asks_first_when_there_is_a_login(served: Served) -> None:
    connection = served.connect()
    asked = {"access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    connection.request("OPTIONS", f"/api/archive/{HISTORY}/events", headers={"Origin": ORIGIN, **asked})
    response = connection.getresponse()
    assert (response.status, response.read()) == (204, b"")
    assert "GET" in response.headers["access-control-allow-methods"]
    assert "authorization" in response.headers["access-control-allow-headers"]
    assert response.headers["access-control-allow-origin"] == ORIGIN
