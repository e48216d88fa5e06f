"""Log records of OpenTelemetry on a server with users: who may send them, and who is said to have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.feeds import Feed
from tests.http.users import add
from yamcs_archive import Archive, Instance
from yamcs_archive.access import administration
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Response

PATHS = ["/v1/logs", "/api/archive/sim/v1/logs"]
every_path = pytest.mark.parametrize("path_sent", PATHS)


def body(service: str = "AOCS") -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]}
    records = [{"timeUnixNano": "1767225600000000000", "body": {"stringValue": "a"}}]
    return json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [{"logRecords": records}]}]})


@every_path
def test_who_may_write_the_source_stores_under_their_name(
    send: Feed, sim: Instance, path: Path, path_sent: str
) -> None:
    ada = add(path, "ada", "WriteEvents@sim/AOCS") | {"content-type": "application/json"}
    assert send("POST", path_sent, body(), ada).status == 200
    assert send("POST", path_sent, body(), ada).status == 200
    answer = send("POST", path_sent, body("EPS"), ada)
    assert (answer.status, "for source 'EPS'" in answer.json()["message"]) == (403, True)
    [event] = sim.events()
    assert (event.source, event.created_by) == ("AOCS", "ada")


@every_path
@pytest.mark.parametrize("grants", [[], ["ReadEvents"], ["WriteEvents@other"]])
def test_others_are_refused_before_anything_is_stored(
    send: Feed, sim: Instance, path: Path, path_sent: str, grants: list[str]
) -> None:
    bob = add(path, "bob", *grants) | {"content-type": "application/json"}
    assert send("POST", path_sent, body(), bob).status == 403
    assert send("POST", path_sent, body(), {"content-type": "application/json"}).status == 401
    assert sim.count() == 0


@every_path
def test_what_comes_after_its_sender_was_removed_is_not_stored(
    core: Application, send: Feed, sim: Instance, path: Path, path_sent: str
) -> None:
    ada = add(path, "ada", "WriteEvents") | {"content-type": "application/json"}
    assert send("POST", path_sent, body(), ada).status == 200  # so the password is known
    head = Head("POST", path_sent, "", {**ada, "transfer-encoding": "chunked"}, "192.0.2.1")
    begun = core.begin(head)
    assert isinstance(begun, Exchange)

    def uploading() -> Iterator[bytes]:
        yield body("EPS")[:20].encode()
        administration.remove_user(path, "ada")
        yield body("EPS")[20:].encode()

    answer = begun.run(uploading())
    assert isinstance(answer, Response)
    assert (answer.status, sim.sources()) == (401, ["AOCS"])


def test_the_bare_path_tells_a_stranger_nothing_of_the_instances(
    archive: Archive, send: Feed, path: Path
) -> None:
    archive.instance("secret", create=True)
    archive.instance("other", create=True)
    bob = add(path, "bob") | {"content-type": "application/json"}
    answer = send("POST", "/v1/logs", body(), bob)
    assert answer.status == 400
    assert "secret" not in answer.body.decode()
