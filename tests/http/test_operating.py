"""The operations over HTTP: prune, compact, create, rename and delete; and by the client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Answer, Feed, core_feed, uvicorn_at
from yamcs_archive import Archive, Client, Event, Instance
from yamcs_archive.errors import (
    CursorGoneError,
    ExpiredError,
    InstanceExistsError,
    InvalidInputError,
    ReadOnlyError,
    ServerRefusedError,
    UnknownInstanceError,
)
from yamcs_archive.http.application import Application
from yamcs_archive.times import now_us

PRUNE, COMPACT, RENAME = "/api/archive/sim:prune", "/api/archive/sim:compact", "/api/instances/sim:rename"
DELETE = "/api/instances/sim?confirm=sim"


@pytest.fixture
def operate(archive: Archive, sim: Instance) -> Feed:
    sim.append_many(
        Event(f"m{n}", source="S", generation_time=n * 1_000_000, seq_number=n) for n in range(20)
    )
    return core_feed(archive, core=Application(archive, operations=True))


def error_of(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["type"]


def test_the_oldest_go_and_the_answer_says_which(operate: Feed, sim: Instance) -> None:
    asked = {"before": "1970-01-01T00:00:05Z", "dryRun": True}
    said = operate("POST", PRUNE, msgspec.json.encode(asked)).json()
    assert sim.count() == 20
    done = operate("POST", PRUNE, msgspec.json.encode({**asked, "dryRun": False})).json()
    assert sim.count() == 15
    for answer in (said, done):
        assert answer.pop("seconds") >= 0
        assert answer.pop("bytes") > 0
        assert answer == {
            "horizon": "1970-01-01T00:00:05Z",
            "events": 5,
            "oddTimes": [
                {
                    "source": "S",
                    "events": 5,
                    "firstTime": "1970-01-01T00:00:00Z",
                    "lastTime": "1970-01-01T00:00:04Z",
                    "pruned": True,
                }
            ],
            "oddSources": 1,
            "damaged": 0,
        }
    assert operate("POST", PRUNE, b'{"maxEvents": "10"}').json()["events"] == 5
    assert "horizon" in operate("POST", PRUNE, b'{"keepDays": 1000000}').json()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "before"),
        (b"{}", "before"),
        (b'{"dryRun": true}', "before"),
        (b'{"before": "yesterday"}', "before"),
        (b'{"before": "9999-01-01T00:00:00Z"}', "before"),
        (b'{"keepDays": 0}', "keepDays"),
        (b'{"keepDays": 1.5}', "keepDays"),
        (b'{"maxBytes": -1}', "maxBytes"),
        (b'{"maxEvents": "many"}', "maxEvents"),
        (b'{"maxEvents": 5, "dryRun": "no"}', "dryRun"),
        (b'{"keep_days": 5}', "keep_days"),
        (b"[]", ""),
        (b"{", ""),
    ],
)
def test_a_bad_rule_is_a_400_that_names_it(operate: Feed, sim: Instance, body: bytes, field: str) -> None:
    answer = operate("POST", PRUNE, body)
    assert error_of(answer) == (400, "BadRequestException")
    assert field in answer.json()["msg"]
    assert sim.count() == 20


@pytest.mark.parametrize("body", [b"{}", b"", b'{"dryRun": true}', b'{"maxEvents": null}'])
def test_without_a_rule_the_error_names_the_fields_of_http(operate: Feed, sim: Instance, body: bytes) -> None:
    said = operate("POST", PRUNE, body).json()["msg"]
    assert said == "before None: must be given, or keepDays, maxBytes or maxEvents"


def test_a_late_event_is_a_409_and_an_old_cursor_a_410(operate: Feed, sim: Instance) -> None:
    cursor = next(sim.changes()).cursor
    sim.append(Event("late", generation_time=0))
    operate("POST", PRUNE, b'{"before": "1970-01-01T00:00:05Z"}')
    answer = operate("POST", "/api/archive/sim/events", b'{"message": "m", "time": "1970-01-01T00:00:04Z"}')
    assert error_of(answer) == (409, "ExpiredException")
    assert "generation_time 1970-01-01T00:00:04Z is before" in answer.json()["msg"]
    answer = operate("GET", f"/api/archive/sim/events:changes?after={cursor}")
    assert error_of(answer) == (410, "CursorGoneException")
    oldest = answer.json()["detail"]["oldest"]
    assert operate("GET", f"/api/archive/sim/events:changes?after={oldest}").status == 200
    assert len(operate("GET", "/api/archive/sim/events:changes").json()["events"]) == 15
    assert operate("GET", "/api/archive/sim/events:count").json()["count"] == 15
    assert operate("GET", "/api/instances/sim").json()["eventCount"] == 15


def test_an_archive_is_compacted(operate: Feed, archive: Archive) -> None:
    answer = operate("POST", COMPACT).json()
    assert answer["afterBytes"] <= answer["beforeBytes"]
    assert (archive.path / "sim" / "CURRENT").read_text() == "gen-2\n"


def test_an_instance_is_created_once_however_often_it_is_asked_for(operate: Feed, archive: Archive) -> None:
    for body in (b"", b"{}"):
        assert operate("PUT", "/api/instances/bench", body).json() == {"name": "bench"}
    assert archive.instances() == ["bench", "sim"]
    assert operate("PUT", "/api/instances/sim").json() == {"name": "sim"}
    assert archive.instance("sim").count() == 20
    assert operate("POST", "/api/archive/bench/events", b'{"message": "a"}').status == 200
    assert operate("GET", "/readyz").json()["storing"] == ["bench", "sim"]
    for path, body in (("a%20b", b""), ("bench", b'{"template": "x"}'), ("bench", b"[]")):
        assert error_of(operate("PUT", f"/api/instances/{path}", body)) == (400, "BadRequestException")
    assert archive.instances() == ["bench", "sim"]


def test_an_instance_is_renamed_and_every_route_follows(operate: Feed, archive: Archive) -> None:
    archive.instance("zulu", create=True)
    answer = operate("POST", RENAME, b'{"name": "bench"}')
    assert answer.json() == {"name": "bench"}
    assert [one["name"] for one in operate("GET", "/api/instances").json()["instances"]] == ["bench", "zulu"]
    assert operate("GET", "/api").json()["defaultYamcsInstance"] == "bench"
    assert operate("GET", "/readyz").json()["storing"] == ["bench", "zulu"]
    assert error_of(operate("GET", "/api/archive/sim/events")) == (404, "NotFoundException")
    assert error_of(operate("POST", RENAME, b'{"name": "bench"}')) == (404, "NotFoundException")
    assert operate("GET", "/api/archive/bench/events:count").json()["count"] == 20
    again = "/api/instances/bench:rename"
    assert error_of(operate("POST", again, b'{"name": "zulu"}')) == (409, "InstanceExistsException")
    for body in (b"", b'{"name": "../etc"}', b'{"name": "a", "more": 1}', b'{"name": null}'):
        assert error_of(operate("POST", again, body)) == (400, "BadRequestException")


def test_an_instance_is_deleted_by_its_name_given_twice(operate: Feed, archive: Archive) -> None:
    for target in ("/api/instances/sim", "/api/instances/sim?confirm=simulator", DELETE + "&force=1"):
        assert error_of(operate("DELETE", target)) == (400, "BadRequestException")
    assert archive.instances() == ["sim"]
    assert operate("DELETE", DELETE).json() == {}
    assert archive.instances() == []
    assert error_of(operate("DELETE", DELETE)) == (404, "NotFoundException")
    assert operate("GET", "/api/instances").json() == {"instances": []}
    assert "defaultYamcsInstance" not in operate("GET", "/api").json()


def test_operations_are_off_by_default(archive: Archive, sim: Instance) -> None:
    sim.append(Event("m"))
    for method, target, body in (
        ("POST", PRUNE, b'{"maxEvents": 1}'),
        ("POST", COMPACT, b""),
        ("POST", RENAME, b'{"name": "bench"}'),
        ("DELETE", DELETE, b""),
    ):
        answer = core_feed(archive, core=Application(archive))(method, target, body)
        assert error_of(answer) == (403, "ForbiddenException")
        assert "--allow-operations" in answer.json()["msg"]
    assert archive.instance("sim").count() == 1


def test_a_read_only_archive_is_a_405(archive: Archive, sim: Instance) -> None:
    path = archive.path
    archive.close()
    with Archive.open(path, readonly=True) as reading:
        operate = core_feed(reading, core=Application(reading, operations=True))
        for method, target, body in (
            ("POST", PRUNE, b'{"maxEvents": 1}'),
            ("POST", COMPACT, b""),
            ("POST", RENAME, b'{"name": "bench"}'),
            ("DELETE", DELETE, b""),
        ):
            assert error_of(operate(method, target, body)) == (405, "ReadOnlyException")
        assert operate("POST", PRUNE, b'{"maxEvents": 1, "dryRun": true}').status == 200


@pytest.fixture
def client(archive: Archive, sim: Instance) -> Iterator[Client]:
    sim.append_many(Event(f"m{n}", source="S", generation_time=n, seq_number=n) for n in range(20))
    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as found:
        yield found


def test_a_client_gets_the_results_and_errors_of_an_archive(client: Client, archive: Archive) -> None:
    remote, local = client.instance("sim"), archive.instance("sim")
    cursor = next(remote.changes()).cursor
    said = remote.prune(before=5, dry_run=True)
    assert said.events == local.prune(before=5, dry_run=True).events == 5
    assert said.odd_times == local.prune(before=5, dry_run=True).odd_times
    local.append(Event("late", source="L", generation_time=1))
    assert remote.prune(before=5).horizon == 5
    assert remote.count() == 15
    with pytest.raises(ExpiredError):
        remote.append(Event("m", generation_time=4))
    with pytest.raises(CursorGoneError):
        remote.changes(cursor)
    for given in ({}, {"keep_days": 0}, {"before": now_us() + 10**12}):
        with pytest.raises(InvalidInputError):
            remote.prune(**given)  # type: ignore[arg-type]  # that is what is tried
    assert remote.compact().after_bytes > 0
    for _ in range(2):
        assert client.instance("other", create=True).count() == 0
    with pytest.raises(InvalidInputError):
        client.instance("a b", create=True)
    with pytest.raises(InstanceExistsError):
        client.rename("sim", "other")
    client.rename("sim", "bench")
    assert client.instances() == ["bench", "other"]
    with pytest.raises(UnknownInstanceError):
        client.rename("sim", "more")
    with pytest.raises(InvalidInputError):
        client.delete("bench", confirm="sim")
    client.delete("bench", confirm="bench")
    assert client.instances() == ["other"]


def test_a_client_of_a_server_without_operations_is_told_the_flag(archive: Archive, sim: Instance) -> None:
    calls: list[Any] = []
    with (
        uvicorn_at(archive, 0, operations=False) as port,
        Client(f"http://127.0.0.1:{port}", retries=0) as client,
    ):
        remote = client.instance("sim")
        calls += [remote.compact, lambda: remote.prune(max_events=1), lambda: client.rename("sim", "b")]
        calls += [lambda: client.instance("b", create=True), lambda: client.delete("sim", confirm="sim")]
        for call in calls:
            with pytest.raises(ServerRefusedError, match="--allow-operations"):
                call()


def test_the_errors_are_the_library_s(archive: Archive, sim: Instance) -> None:
    path = archive.path
    archive.close()
    with (
        Archive.open(path, readonly=True) as reading,
        uvicorn_at(reading, 0) as port,
        Client(f"http://127.0.0.1:{port}") as client,
    ):
        with pytest.raises(ReadOnlyError):
            client.instance("sim").prune(max_events=1)
        with pytest.raises(ReadOnlyError):
            client.rename("sim", "b")
        with pytest.raises(ReadOnlyError):
            client.instance("b", create=True)
