"""The number of events, of each instance and for a query, in both media types."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Feed
from tests.http.history import EXPORT, HISTORY, LIST, as_query, second
from tests.http.test_api import error_of
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import DamagedError
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import STREAMS_MAX
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

COUNT = f"{LIST}:count"
ASKED: list[dict[str, Any]] = [
    {},
    {"start": second(2)},
    {"start": second(1), "stop": second(6)},
    {"source": ["LA"]},
    {"source": ["LA", "LB", "nosuch"], "severity": "watch"},
    {"severity": "SEVERE"},
    {"q": "ALPHA"},
    {"q": "alpha%t"},
    {"q": "?eta"},
    {"q": "alpha%t", "source": ["LA"]},
    {"filter": "type=TY"},
    {"filter": 'source=LA AND NOT "lost"', "stop": second(5)},
    {"q": "nothing"},
]


def posted(asked: dict[str, Any]) -> bytes:
    return msgspec.json.encode(asked)


@pytest.mark.parametrize("asked", ASKED, ids=str)
@pytest.mark.parametrize("settled", [False, True])
def test_it_is_how_many_the_listing_has(
    core: Feed, sim: Instance, asked: dict[str, Any], settled: bool
) -> None:
    sim.append_many(HISTORY)
    if settled:
        sim.settle()
    listed = core("GET", f"{LIST}?limit=1000&{as_query(asked)}").json().get("events", [])
    query = f"{COUNT}?{as_query(asked)}"
    assert core("GET", query).json() == {"count": len(listed)}
    assert core("POST", COUNT, posted(asked)).json() == {"count": len(listed)}
    answer = core("GET", query, headers={"Accept": PROTOBUF})
    assert answer.headers["content-type"] == PROTOBUF
    assert today.CountEventsResponse.FromString(answer.body).count == len(listed)


def test_every_way_in_answers(send: Feed, sim: Instance) -> None:
    assert send("GET", COUNT).json() == {"count": 0}
    sim.append_many(HISTORY)
    assert send("GET", f"{COUNT}/?source=LA,LB").json() == {"count": 5}
    assert send("POST", COUNT).json() == {"count": 8}
    request = today.CountEventsRequest(source=["a,b"], severity="watch")
    headers = {"Content-Type": PROTOBUF}
    answer = send("POST", COUNT, request.SerializeToString(), headers)
    assert today.CountEventsResponse.FromString(answer.body).count == 1


@pytest.mark.parametrize(
    ("query", "named"),
    [("start=yesterday", "start"), ("severity=loud", "loud"), ("filter=nosuch%3D1", "nosuch")],
)
@pytest.mark.usefixtures("sim")
def test_a_bad_parameter_is_refused_by_name(core: Feed, query: str, named: str) -> None:
    assert named in error_of(core("GET", f"{COUNT}?{query}"), 400, "BadRequestException")


@pytest.mark.parametrize(("body", "named"), [('{"limit": 5}', "limit"), ('{"source": "LA"}', "source")])
@pytest.mark.usefixtures("sim")
def test_a_bad_field_of_a_body_is_refused_by_name(core: Feed, body: str, named: str) -> None:
    assert named in error_of(core("POST", COUNT, body), 400, "BadRequestException")


def test_parameters_that_choose_a_page_are_ignored_in_a_query_string(core: Feed, sim: Instance) -> None:
    sim.append_many(HISTORY)
    assert core("GET", f"{COUNT}?limit=2&order=asc&pos=3&next=x").json() == {"count": 8}


def test_each_instance_says_how_many_it_holds(send: Feed, archive: Archive, sim: Instance) -> None:
    other = archive.instance("other", create=True)
    for expected in (0, 1):
        assert [
            (found["name"], found["eventCount"])
            for found in send("GET", "/api/instances").json()["instances"]
        ] == [("other", 0), ("sim", expected * len(HISTORY))]
        assert send("GET", "/api/instances/sim").json()["eventCount"] == expected * len(HISTORY)
        answer = send("GET", "/api/instances", headers={"Accept": PROTOBUF})
        instances = today.ListInstancesResponse.FromString(answer.body).instances
        assert [found.eventCount for found in instances] == [0, expected * len(HISTORY)]
        answer = send("GET", "/api/instances/sim", headers={"Accept": PROTOBUF})
        assert today.YamcsInstance.FromString(answer.body).eventCount == expected * len(HISTORY)
        sim.append_many(HISTORY)
    assert other.count() == 0


def test_one_that_cannot_be_counted_is_listed_without_a_number(
    core: Feed, archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive.instance("other", create=True).append(Event("a"))
    count = Instance.count

    def fails_for_one(self: Instance, **asked: Any) -> int:
        if self.name == "sim":
            raise DamagedError("sources", "checksum")
        return count(self, **asked)

    monkeypatch.setattr(Instance, "count", fails_for_one)
    other, damaged = core("GET", "/api/instances").json()["instances"]
    assert (other["name"], other["eventCount"]) == ("other", 1)
    assert damaged["name"] == "sim"
    assert "eventCount" not in damaged
    assert "eventCount" not in core("GET", "/api/instances/sim").json()
    answer = core("GET", "/api/instances/sim", headers={"Accept": PROTOBUF})
    assert not today.YamcsInstance.FromString(answer.body).HasField("eventCount")
    error_of(core("GET", COUNT), 500, "DamagedBlockException")


def test_it_takes_a_streams_place_and_gives_it_back(archive: Archive, sim: Instance) -> None:
    sim.append_many(HISTORY)
    core = Application(archive)

    def ask(target: str) -> Response:
        begun = core.begin(Head("GET", target))
        assert isinstance(begun, Exchange)
        answer = begun.run(b"")
        assert isinstance(answer, Response)
        return answer

    for _ in range(2 * STREAMS_MAX):
        assert ask(COUNT).status == 200
        assert ask(COUNT.replace("sim", "nosuch")).status == 404
    with ExitStack() as stack:
        for _ in range(STREAMS_MAX):
            body: Any = ask(EXPORT).body
            stack.callback(body.close)
        refused = ask(COUNT)
        assert refused.status == 503
        assert dict(refused.headers)["retry-after"] == "1"
        assert ask("/api/instances/sim").status == 200
    assert ask(COUNT).status == 200
