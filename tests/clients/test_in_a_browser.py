"""The requests of Open MCT's plug-in, sent by a page of another origin in a real Chromium.

So preflights, content types and the WebSocket are those of a browser, and its console shows what a user would
see.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.clients.browser import Page, browser, command, page_server
from tests.clients.history import EVENTS, HISTORY, SOURCES
from tests.server.serving import Served, serving
from yamcs_archive import Archive, Severity

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(command() is None, reason="needs chromium, a package of Debian"),
]
WAIT_S = 60
CONTENT = (Path(__file__).parent / "open_mct_page.html").read_bytes()
EMPTY = "empty0"


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with page_server(CONTENT) as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, origin: str) -> Iterator[Served]:
    data = tmp_path_factory.mktemp("browser") / "data"
    with Archive.open(data) as archive:
        archive.instance(HISTORY, create=True).append_many(EVENTS)
    with serving(data, "--instance", HISTORY, EMPTY, "--cors-origin", origin) as server:
        yield server
        assert server.stop() == (0, "")


@pytest.fixture
def page(tmp_path: Path, origin: str) -> Iterator[Page]:
    with browser(tmp_path) as found:
        found.open(f"{origin}/")
        yield found


def call(page: Page, function: str, *arguments: object) -> Any:
    return page.evaluate(f"{function}(...{json.dumps(arguments)})")


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.02)


def test_it_starts_without_an_error_in_its_console(page: Page, served: Served) -> None:
    found = call(page, "start", f"{served.url}/api", HISTORY)
    assert found == {
        "user": "guest",
        "spaceSystems": [],
        "parameters": [],
        "overrides": {},
        "queues": {"status": 200, "body": {"queues": []}},
        "sources": {"status": 200, "body": found["sources"]["body"]},
        "faults": {"status": 200, "body": {}},
        "search": [],
    }
    assert found["sources"]["body"]["sources"] == sorted(SOURCES, key=str.casefold)
    assert page.console == []
    preflights = [one["request"] for one in page.requests if one["request"]["method"] == "OPTIONS"]
    assert [one["url"] for one in preflights] == [f"{served.url}/api/processors/{HISTORY}/realtime/queues"]
    statuses = {(one["response"]["url"], one["response"]["status"]) for one in page.answers}
    assert (preflights[0]["url"], 204) in statuses
    assert {status for url, status in statuses if url.startswith(served.url)} == {200, 204}


def test_it_reads_history_page_by_page(page: Page, served: Served) -> None:
    found = call(
        page, "history_", f"{served.url}/api", HISTORY, "2026-05-01T00:00:00.000Z", "2026-05-02T00:00:00.001Z"
    )
    assert found["all"] == [event.message for event in EVENTS]
    assert found["latest"] == [EVENTS[-1].message]
    least = Severity.CRITICAL.rank
    assert found["severe"] == sum(event.severity.rank >= least for event in EVENTS)
    assert page.console == []


def test_it_is_sent_what_it_subscribes_to(page: Page, served: Served, origin: str) -> None:
    page.evaluate(f"void (window.found = live('ws://127.0.0.1:{served.port}/api/websocket', '{EMPTY}'))")
    wait_for(lambda: bool(page.evaluate("window.subscribed ?? false")))
    connection = HTTPConnection("127.0.0.1", served.port, timeout=WAIT_S)
    for message in ("one", "two"):
        body = json.dumps({"message": message, "severity": "distress", "source": "EPS"})
        connection.request("POST", f"/api/archive/{EMPTY}/events", body)
        assert connection.getresponse().read()
    connection.close()
    found = page.evaluate("window.found")
    assert [reply.get("exception") for reply in found["replies"].values()] == [None] * 6
    assert len({reply["call"] for reply in found["replies"].values()}) == 6
    by_type: dict[str, list[Any]] = {}
    for frame in found["frames"]:
        assert frame["call"] == found["replies"][frame["type"]]["call"]
        by_type.setdefault(frame["type"], []).append(frame["data"])
    assert [data["message"] for data in by_type.pop("events")] == ["one", "two"]
    assert by_type.pop("global-alarm-status")[0]["unacknowledgedCount"] == 0
    assert all(data["value"].endswith("Z") for data in by_type.pop("time"))
    assert by_type == {}
    assert page.console == []
    (upgrade,) = page.upgrades
    assert upgrade["response"]["status"] == 101
    assert upgrade["response"]["requestHeaders"]["Origin"] == origin


def test_a_page_can_read_that_something_is_not_served(page: Page, served: Served) -> None:
    found = call(page, "set", f"{served.url}/api", HISTORY)
    assert (found["status"], found["body"]["type"]) == (404, "NotFoundException")
    (shown,) = page.console  # a browser shows every 404; the plug-in sends this when a user sets something
    assert "404" in shown


def test_a_page_of_another_origin_is_shown_nothing(tmp_path: Path, served: Served) -> None:
    with page_server(CONTENT) as elsewhere, browser(tmp_path) as page:
        page.open(f"{elsewhere}/")
        assert call(page, "fails", f"{served.url}/api/archive/{HISTORY}/events") == "TypeError"
        assert call(page, "refused", f"ws://127.0.0.1:{served.port}/api/websocket") == 1006
        wait_for(lambda: len(page.console) >= 2)
        assert any("CORS" in line for line in page.console)
