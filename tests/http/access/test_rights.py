"""Who may use which route, and what a change of rights does to requests under way."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.http.feeds import Answer, Feed, core_feed, uvicorn_at
from tests.http.users import add, basic, bearer
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.access import administration, users_file
from yamcs_archive.access.passwords import NOBODYS
from yamcs_archive.access.permissions import Grant, Permission
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.http.routes import PATHS, Route

EVENTS = "/api/archive/sim/events"
ROUTES = [(path, route) for path, routes in PATHS.items() for route in routes]
CLOSED = [(path, route) for path, route in ROUTES if not route.is_open]
MSGPACK = {"accept": "application/msgpack"}


def target(path: str, instance: str = "sim") -> str:
    return path.replace("{instance}", instance)


def names(answer: Answer) -> list[str]:
    return [event["source"] for event in answer.json().get("events", [])]


def test_what_is_open_is_what_says_nothing_of_events() -> None:
    opened = {path for path, route in ROUTES if route.is_open}
    assert opened == {"/auth", "/auth/token", "/auth/session", "/healthz", "/readyz"}


@pytest.mark.parametrize(("path_", "route"), CLOSED, ids=lambda it: getattr(it, "method", it))
def test_nothing_is_told_without_credentials_or_with_wrong_ones(send: Feed, path_: str, route: Route) -> None:
    answer = send(route.method, target(path_))
    assert (answer.status, answer.body) == (401, b"Missing authentication")
    for wrong in (
        *(basic("root", "wrong horse"), basic("nobody"), bearer("x"), {"x-api-key": "x"}),
        *({"authorization": "Negotiate x"}, {"authorization": "Basic %"}, {"authorization": ""}),
        *({"cookie": "yamcs_archive_session=x"}, {"cookie": "access_token=x"}),
    ):
        answer = send(route.method, target(path_), headers=wrong)
        if answer.status != 429:  # wrong passwords come from this address
            assert (answer.status, answer.body) == (401, b"401 Unauthorized")


@pytest.mark.parametrize(("path_", "route"), CLOSED, ids=lambda it: getattr(it, "method", it))
def test_a_route_needs_its_permission_and_that_is_enough(
    send: Feed, path: Path, path_: str, route: Route
) -> None:
    wanted = route.permission
    others = [str(each) for each in Permission if each is not wanted]
    lacking = add(path, "lacking", *others)
    granted = add(path, "granted", *([] if wanted is None else [str(wanted)]), "WriteEvents@other")
    if wanted is not None:
        answer = send(route.method, target(path_), headers=lacking)
        assert answer.status == 403
        assert f"Missing system privilege '{wanted}'" in answer.body.decode()
        if wanted is not Permission.READ_METRICS:  # which is of the whole server
            elsewhere = add(path, "elsewhere", f"{wanted}@oth*")
            assert send(route.method, target(path_), headers=elsewhere).status == 403
    if path_ == "/api/instances/{instance}" and wanted is None:
        granted = add(path, "reader", "ReadEvents@sim")
    if path_ == "/v1/logs":  # the handler knows which instance it is
        granted = add(path, "writer", "WriteEvents@sim")
    assert send(route.method, target(path_), headers=granted).status not in (401, 403)


def test_a_server_without_users_asks_for_nothing(archive: Archive, sim: Instance) -> None:
    send = core_feed(archive)
    for headers in ({}, basic("ada"), bearer("x"), {"x-api-key": "x"}):
        assert send("GET", EVENTS, headers=headers).status == 200
    assert send("GET", "/auth").json() == {"requireAuthentication": False}
    assert send("GET", "/api/user").json()["name"] == "guest"
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = send("POST", "/auth/token", "grant_type=password&username=a&password=b", form)
    assert answer.status == 400
    assert "no users" in answer.json()["msg"]


def test_a_challenge_goes_to_programs_and_not_to_pages(send: Feed) -> None:
    assert send("GET", EVENTS).headers["www-authenticate"].startswith("Basic ")
    navigates = send("GET", EVENTS, headers={"sec-fetch-mode": "navigate"})
    assert "www-authenticate" in navigates.headers
    for mode in ("cors", "same-origin", "no-cors"):
        assert "www-authenticate" not in send("GET", EVENTS, headers={"sec-fetch-mode": mode}).headers


def test_a_path_that_is_not_there_is_told_without_a_login(send: Feed) -> None:
    assert send("GET", "/nosuch").status == 404
    assert send("PUT", EVENTS).status == 405


def test_an_instance_that_is_not_there_is_not_told_to_everybody(send: Feed, path: Path) -> None:
    ada = add(path, "ada", "ReadEvents@sim")
    assert send("GET", target("/api/archive/{instance}/events", "nosuch"), headers=ada).status == 403
    everything = add(path, "bob", "ReadEvents")
    assert send("GET", target("/api/archive/{instance}/events", "nosuch"), headers=everything).status == 404


def test_instances_are_listed_to_those_whom_they_concern(send: Feed, path: Path, archive: Archive) -> None:
    for name in ("bench", "sim2"):
        archive.instance(name, create=True)
    ada = add(path, "ada", "ReadEvents@sim*", "WriteEvents@bench", "ReadEvents@bench/GNC", "ReadMetrics")
    found = {
        each["name"]: each.get("eventCount")
        for each in send("GET", "/api/instances", headers=ada).json()["instances"]
    }
    assert found == {"bench": None, "sim": 0, "sim2": 0}  # the number of all events is not for everybody
    bob = add(path, "bob", "ManageArchive@sim2")
    assert [each["name"] for each in send("GET", "/api/instances", headers=bob).json()["instances"]] == [
        "sim2"
    ]
    assert send("GET", "/api/instances/sim", headers=bob).status == 403
    assert send("GET", "/api", headers=bob).json()["defaultYamcsInstance"] == "sim2"


def test_a_new_name_needs_the_right_for_that_name_as_well(
    send: Feed, path: Path, root: dict[str, str]
) -> None:
    ada = add(path, "ada", "ManageArchive@sim")
    for name, status in (("bench", 403), ("sim", 200)):
        assert send("PUT", f"/api/instances/{name}", "", ada).status == status
    rename = "/api/instances/sim:rename"
    assert send("POST", rename, '{"name": "bench"}', ada).status == 403
    assert send("POST", rename, '{"name": "bench"}', root).status == 200


# Rights that change


def test_a_change_of_the_file_counts_at_once(send: Feed, path: Path) -> None:
    ada = add(path, "ada", "ReadEvents")
    token = administration.add_token(path, "ada", "t")
    for headers in (ada, bearer(token), {"x-api-key": token}):
        assert send("GET", EVENTS, headers=headers).status == 200
    administration.set_permissions(path, "ada", [])
    assert send("GET", EVENTS, headers=ada).status == 403
    administration.set_permissions(path, "ada", [Grant.parse("ReadEvents")])
    administration.revoke_token(path, "ada", "t")
    assert [send("GET", EVENTS, headers=each).status for each in (ada, bearer(token))] == [200, 401]
    administration.set_password(path, "ada", NOBODYS)
    assert send("GET", EVENTS, headers=ada).status == 401  # although it was remembered
    administration.remove_user(path, "ada")
    assert send("GET", EVENTS, headers=ada).status == 401


@pytest.mark.parametrize("content", [b"", b'{"version": 1, "users": {"ro', None])
def test_a_file_that_cannot_be_read_any_more_changes_nothing(
    send: Feed, path: Path, root: dict[str, str], content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    kept = path.read_bytes()
    if content is None:
        path.chmod(0o644)
    else:
        path.write_bytes(content)
    for _ in range(3):
        assert send("GET", EVENTS, headers=root).status == 200
    assert sum("the users stay as they were" in record.message for record in caplog.records) == 1
    users_file.write(path, kept)
    path.chmod(0o600)
    administration.remove_user(path, "root")
    assert send("GET", EVENTS, headers=root).status == 401


def test_a_stream_ends_when_its_right_does(
    archive: Archive, core: Application, path: Path, filled: Instance
) -> None:
    filled.append_many(Event("x" * 1000, source="GNC") for _ in range(20_000))
    token = administration.add_token(path, "root", "t")
    with uvicorn_at(archive, 0, create_asgi_app(archive, access=AccessOptions(users=path))) as port:
        import http.client  # noqa: PLC0415

        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", "/api/stream-archive/sim:streamEvents", b"", bearer(token))
        answer = connection.getresponse()
        assert answer.read(1000)
        administration.set_permissions(path, "root", [])
        with pytest.raises(http.client.HTTPException):
            answer.read()  # it does not end as a whole answer does
        answer.close()
        connection.close()


def test_a_poll_that_waits_is_refused_when_its_right_ends(
    core: Application, send: Feed, path: Path, filled: Instance
) -> None:
    ada = add(path, "ada", "ReadEvents@sim")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(send, "GET", f"{EVENTS}:changes?after=newest&wait=30", b"", ada)
        while not core.services.admission.polls._open:
            time.sleep(0.001)
        administration.set_permissions(path, "ada", [Grant.parse("ReadEvents@sim/GNC")])
        filled.append(Event("hidden", source="AOCS"))
        answer = waiting.result()
        assert (answer.status, "changed" in answer.json()["msg"]) == (403, True)


def test_processors_of_an_instance_need_the_right_to_read_it(send: Feed, path: Path) -> None:
    ada = add(path, "ada", "ReadEvents@other")
    assert send("GET", "/api/processors", b"", ada).status == 200
    assert send("GET", "/api/processors?instance=sim", b"", ada).status == 403
    assert send("GET", "/api/processors?instance=nosuch", b"", ada).status == 403
    assert send("GET", "/api/processors?instance=sim").status == 401


def uploading(path: Path, change: str) -> Iterator[bytes]:
    """Yield lines of a batch; after the first ones the right to store them ends."""
    line = b'{"message": "%s"}\n' % (b"x" * 1000)
    yield line * 500
    if change == "removed":
        administration.remove_user(path, "ada")
    else:
        administration.set_permissions(path, "ada", [])
    for _ in range(20):
        yield line * 500


@pytest.mark.parametrize(("change", "status"), [("removed", 401), ("not permitted", 403)])
def test_an_upload_ends_when_its_right_does(
    core: Application, send: Feed, path: Path, change: str, status: int
) -> None:
    ada = add(path, "ada", "ReadEvents", "WriteEvents")
    assert send("GET", "/api", headers=ada).status == 200  # so the password is known
    head = Head("POST", f"{EVENTS}:batch", "", {**ada, "transfer-encoding": "chunked"}, "192.0.2.1")
    begun = core.begin(head)
    assert isinstance(begun, Exchange)
    answer = begun.run(uploading(path, change))
    assert isinstance(answer, Response)
    assert answer.status == status
    stored = core.services.archive.instance("sim").count()
    assert stored < 2000


def test_a_body_that_comes_after_the_right_has_ended_is_not_stored(
    archive: Archive, sim: Instance, core: Application, send: Feed, path: Path
) -> None:
    ada = add(path, "ada", "WriteEvents")
    assert send("GET", "/api", headers=ada).status == 200
    begun = core.begin(Head("POST", EVENTS, "", {**ada, "content-length": "16"}, "192.0.2.1"))
    assert isinstance(begun, Exchange)
    administration.remove_user(path, "ada")
    answer = begun.run(b'{"message": "a"}')
    assert isinstance(answer, Response)
    assert (answer.status, sim.count()) == (401, 0)


def test_a_key_file_that_others_may_read_does_not_hold_back_a_change_of_users(
    send: Feed, path: Path, root: dict[str, str]
) -> None:
    users_file.key_path(path).chmod(0o644)
    administration.set_permissions(path, "root", [])
    assert send("GET", EVENTS, headers=root).status == 403


def test_whether_it_is_ready_is_for_everybody_and_names_are_not(send: Feed) -> None:
    answer = send("GET", "/readyz")
    assert (answer.status, b"sim" in answer.body) == (200, False)
