"""Rights for some sources: events of others are nowhere; and who created an event."""

from __future__ import annotations

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgpack
import msgspec
import pytest

from tests.http.feeds import Answer, Feed
from tests.http.users import add
from yamcs_archive import Event, Instance

EVENTS = "/api/archive/sim/events"

MSGPACK = {"accept": "application/msgpack"}


def names(answer: Answer) -> list[str]:
    return [event["source"] for event in answer.json().get("events", [])]


READS = [
    ("GET", f"{EVENTS}?limit=1000", b""),
    ("GET", f"{EVENTS}?limit=1000&source=GNC,AOCS", b""),
    ("GET", f"{EVENTS}?limit=1000&filter=message:9", b""),
    ("GET", f"{EVENTS}?limit=1000&q=9", b""),
    ("POST", f"{EVENTS}:list", b'{"limit": 1000, "source": ["AOCS"]}'),
    ("GET", f"{EVENTS}:count", b""),
    ("POST", f"{EVENTS}:count", b'{"filter": "message:9"}'),
    ("GET", f"{EVENTS}/sources", b""),
    ("GET", "/api/archive/sim/event-index", b""),
    ("GET", "/api/archive/sim/event-index?source=AOCS", b""),
    ("POST", "/api/archive/sim:streamEventIndex", b""),
    ("POST", "/api/stream-archive/sim:streamEvents", b""),
    ("POST", "/api/stream-archive/sim:streamEvents", b'{"q": "x*9*"}'),
    ("GET", "/api/archive/sim:exportEvents", b""),
    ("GET", f"{EVENTS}:changes?limit=1000", b""),
    ("GET", "/api/archive/sim:report", b""),
    ("POST", "/api/archive/sim:report", b'{"source": ["AOCS", "GNC 2"], "start": "1970-01-01T00:01:00Z"}'),
]


Readers = tuple[dict[str, str], dict[str, str], dict[str, str]]


@pytest.fixture(params=["in rows", "in blocks"])
def readers(request: pytest.FixtureRequest, path: Path, root: dict[str, str], filled: Instance) -> Readers:
    """Return the headers of who may read all sources, some, and none that is there."""
    if request.param == "in blocks":
        filled.settle()
    return root, add(path, "ada", "ReadEvents@sim/GNC*"), add(path, "bob", "ReadEvents@sim/nosuch")


@pytest.mark.parametrize(("method", "where", "body"), READS, ids=lambda it: str(it)[:60])
def test_events_of_other_sources_are_nowhere(
    send: Feed, readers: Readers, method: str, where: str, body: bytes
) -> None:
    every, some, none = (send(method, where, body, headers) for headers in readers)
    assert {every.status, some.status, none.status} == {200}
    for name in ("AOCS", "EPS"):
        assert name.encode() not in some.body
        assert name.encode() not in none.body
    assert b"GNC" not in none.body
    if "AOCS" not in where + body.decode() and ":count" not in where and "x*9*" not in body.decode():
        assert b"GNC 2" in some.body
        assert b"AOCS" in every.body
    if ":count" in where:
        counts = [answer.json().get("count", 0) for answer in (every, some, none)]
        assert counts[0] == 2 * counts[1] > counts[2] == 0


def test_pages_are_whole_and_their_tokens_lead_on(send: Feed, path: Path, filled: Instance) -> None:
    ada = add(path, "ada", "ReadEvents@sim/GNC*")
    found: list[str] = []
    token = ""
    while True:
        page = send("GET", f"{EVENTS}?limit=7&next={token}", headers=ada).json()
        found += [event["message"] for event in page.get("events", [])]
        if not (token := page.get("continuationToken", "")):
            break
    assert len(found) == len(set(found)) == 120


def test_changes_go_on_after_events_that_may_not_be_read(send: Feed, path: Path, filled: Instance) -> None:
    ada = add(path, "ada", "ReadEvents@sim/EPS")
    found, cursor = [], ""
    for _ in range(100):
        page = send("GET", f"{EVENTS}:changes?limit=7&after={cursor}", headers=ada).json()
        if not page.get("events"):
            break
        found += [event["source"] for event in page["events"]]
        cursor = page["cursor"]
    assert found == ["EPS"] * 60
    filled.append(Event("hidden", source="AOCS"))
    page = send("GET", f"{EVENTS}:changes?after={cursor}", headers=ada).json()
    assert not page.get("events")
    assert page["cursor"] != cursor  # it is not read again and again
    filled.append(Event("seen", source="EPS"))
    after = send("GET", f"{EVENTS}:changes?after={page['cursor']}", headers=ada).json()
    assert [event["message"] for event in after["events"]] == ["seen"]


def test_a_poll_waits_for_an_event_that_may_be_read(send: Feed, path: Path, filled: Instance) -> None:
    ada = add(path, "ada", "ReadEvents@sim/EPS")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, "GET", f"{EVENTS}:changes?after=newest&wait=30", b"", ada)
        while not waiting.done():
            filled.append(Event("seen", source="EPS"))
        assert set(names(waiting.result())) == {"EPS"}


def test_what_has_all_sources_is_refused_whole(
    send: Feed, path: Path, root: dict[str, str], filled: Instance
) -> None:
    ada = add(path, "ada", "ReadEvents@sim/GNC*")
    whole = ("/api/archive/sim:backup", "/api/archive/sim:stats")
    for where, accept in ((f"{EVENTS}:changes", MSGPACK), *((each, {}) for each in whole)):
        assert send("GET", where, headers=ada | accept).status == 403
        assert send("GET", where, headers=root | accept).status == 200


def test_only_some_sources_may_be_written(send: Feed, path: Path, sim: Instance) -> None:
    ada = add(path, "ada", "WriteEvents@sim/GNC*")
    assert send("POST", EVENTS, '{"message": "a", "source": "GNC 1"}', ada).status == 200
    for body in ('{"message": "a", "source": "AOCS"}', '{"message": "a"}', '{"message": "a", "source": ""}'):
        answer = send("POST", EVENTS, body, ada)
        assert (answer.status, "WriteEvents" in answer.json()["msg"]) == (403, True)
    bob = add(path, "bob", "WriteEvents@sim/User")  # the source of events that name none
    assert send("POST", EVENTS, '{"message": "a"}', bob).status == 200
    batch = b'{"message": "a", "source": "GNC 1"}\n{"message": "b", "source": "AOCS"}\n'
    assert send("POST", f"{EVENTS}:batch", batch, ada).status == 403
    assert sorted(event.source for event in sim.events()) == ["GNC 1", "User"]


# Who created an event


def creators(sim: Instance) -> list[str | None]:
    return [event.created_by for event in sim.events()]


def shown(number: int, **more: Any) -> dict[str, Any]:
    return {"message": "a", "source": "S", "generationTime": "2026-01-01T00:00:00Z", "seqNumber": number} | {
        "receptionTime": "2026-01-01T00:00:00Z",
        **more,
    }


def test_events_are_of_the_user_who_sends_them(send: Feed, path: Path, sim: Instance) -> None:
    ada = add(path, "ada", "WriteEvents")
    answer = send("POST", EVENTS, '{"message": "a"}', ada)
    assert answer.json()["createdBy"] == "ada"
    other = shown(1, createdBy="bob")
    assert send("POST", EVENTS, msgspec.json.encode(other), ada).json()["createdBy"] == "ada"
    lines = b"\n".join(msgspec.json.encode(shown(n, createdBy="bob")) for n in range(2, 5))
    assert send("POST", f"{EVENTS}:batch", lines, ada).json()["stored"] == 3
    packed = msgpack.packb(shown(9, createdBy="bob"))
    assert (
        send("POST", f"{EVENTS}:batch", packed, ada | {"content-type": "application/msgpack"}).status == 200
    )
    plain = b'{"message": "p"}\n' * 3
    zipped = ada | {"content-encoding": "gzip"}
    assert send("POST", f"{EVENTS}:batch", gzip.compress(plain), zipped).json()["stored"] == 3
    assert set(creators(sim)) == {"ada"}


def test_who_manages_the_archive_may_say_who_created_an_event(
    send: Feed, root: dict[str, str], sim: Instance
) -> None:
    assert (
        send("POST", EVENTS, msgspec.json.encode(shown(1, createdBy="bob")), root).json()["createdBy"]
        == "bob"
    )
    lines = msgspec.json.encode(shown(2, createdBy="eve")) + b"\n" + msgspec.json.encode(shown(3))
    assert send("POST", f"{EVENTS}:batch", lines, root).json()["stored"] == 2
    assert creators(sim) == ["bob", "eve", "root"]


def test_a_retry_by_another_user_is_the_same_event(send: Feed, path: Path, sim: Instance) -> None:
    ada, bob = (add(path, name, "WriteEvents") for name in ("ada", "bob"))
    body = '{"message": "a", "source": "S", "time": "2026-01-01T00:00:00Z", "sequenceNumber": 1}'
    assert [send("POST", EVENTS, body, each).json()["createdBy"] for each in (ada, bob)] == ["ada", "ada"]
    assert creators(sim) == ["ada"]


@pytest.mark.parametrize(
    ("permissions", "named"),
    [
        (["ManageArchive"], []),
        (["ManageArchive", "ReadEvents@sim/AOCS"], ["AOCS"]),
        (["ManageArchive", "ReadEvents@other"], []),
        (["ManageArchive", "ReadEvents"], ["AOCS", "EPS"]),
    ],
)
def test_who_prunes_sees_the_names_of_odd_sources_that_he_may_read(
    send: Feed, sim: Instance, path: Path, permissions: list[str], named: list[str]
) -> None:
    sim.append_many(
        Event("a", source=source, generation_time=n) for n, source in enumerate(("AOCS", "EPS", "GNC"))
    )
    headers = add(path, "manager", *permissions)
    answer = send("POST", "/api/archive/sim:prune", b'{"maxEvents": 1, "dryRun": true}', headers).json()
    assert [odd["source"] for odd in answer["oddTimes"]] == named
    assert answer["oddSources"] == 2
