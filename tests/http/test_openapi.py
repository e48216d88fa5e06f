"""The OpenAPI description: valid, complete, and what the routes do; docs/http.md says no less.

Beyond these tests, every answer that any test of this folder gets is held against it (``feeds``).
"""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, NamedTuple

import msgspec
import pytest
from openapi_spec_validator import validate

from tests.child import ROOT
from tests.http.conforms import DOCUMENT, check, resolved, validator
from tests.http.feeds import Feed, core_feed
from yamcs_archive import Archive, Event, Instance, errors
from yamcs_archive.http.errors import STATUS_BY_ERROR
from yamcs_archive.http.openapi import faults
from yamcs_archive.http.query import PARAMETERS, SELECTED
from yamcs_archive.http.routes import PATHS
from yamcs_archive.wire.codec import JSON, PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")


class Described(NamedTuple):
    """One operation of the description."""

    method: str
    path: str
    said: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


OPERATIONS = [
    Described(method.upper(), path, said)
    for path, methods in DOCUMENT["paths"].items()
    for method, said in methods.items()
    if method != "parameters"
]
every_operation = pytest.mark.parametrize("described", OPERATIONS, ids=str)


def target(path: str) -> str:
    return path.replace("{instance}", "sim")


def test_it_is_a_valid_openapi_document(core: Feed) -> None:
    answer = core("GET", "/api/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    validate(answer.json())
    assert answer.json() == DOCUMENT


def test_operations_have_names_of_their_own() -> None:
    names = [described.said["operationId"] for described in OPERATIONS]
    assert len(set(names)) == len(names) > 0


def test_every_route_is_described_and_every_described_one_is_served(core: Feed) -> None:
    served = {
        (method, path)
        for path in PATHS
        for method in METHODS
        if core(method, target(path)).headers.get("allow") is None
    }
    described = {(described.method, described.path) for described in OPERATIONS}
    # HEAD is said of all of them at once: it goes wherever GET does.
    assert served == described | {("HEAD", path) for method, path in described if method == "GET"}


def body_of(described: Described) -> bytes:
    """Return the first example of the body that it takes, nothing where it takes none."""
    held = described.said.get("requestBody", {}).get("content", {}).get(JSON, {})
    return next((msgspec.json.encode(found["value"]) for found in held.get("examples", {}).values()), b"")


@every_operation
def test_the_page_for_people_has_the_route(described: Described) -> None:
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    assert f"`{described}`" in page


def test_every_kind_of_error_has_a_meaning_here_and_in_the_page_for_people() -> None:
    page = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")
    assert {kind for _, _, kind in STATUS_BY_ERROR} <= faults.MEANING.keys()
    assert [kind for kind in faults.MEANING if kind not in page] == []


# Parameters


def query_of(path: str) -> set[str]:
    return {part["name"] for part in DOCUMENT["paths"][path]["get"]["parameters"]}


def test_the_parameters_of_a_listing_are_those_that_are_read() -> None:
    assert query_of("/api/archive/{instance}/events") == PARAMETERS
    assert query_of("/api/archive/{instance}:exportEvents") == SELECTED | {"delimiter", "columns"}
    assert query_of("/api/archive/{instance}/events:count") == SELECTED


@pytest.mark.parametrize("name", ["ListEvents", "StreamEvents", "CountEvents", "StreamEventIndex"])
def test_the_fields_of_a_posted_listing_are_those_that_are_read(name: str) -> None:
    message = today.DESCRIPTOR.message_types_by_name[f"{name}Request"]
    described = DOCUMENT["components"]["schemas"][name]["properties"]
    assert set(described) == {field.name for field in message.fields}


@every_operation
def test_a_header_is_described_where_it_is_read(core: Feed, described: Described) -> None:
    headers = {"Idempotency-Key": "é"}  # none that is taken
    answer = core(described.method, target(described.path), body_of(described), headers)
    read = [part["name"] for part in described.said.get("parameters", []) if part["in"] == "header"]
    assert read == (["Idempotency-Key"] if answer.status == 400 else [])


# Examples


class Example(NamedTuple):
    """An example of a request's body, or of an answer."""

    described: Described
    of: str
    name: str
    media: str
    schema: dict[str, Any]
    value: Any


EXAMPLES = [
    Example(described, of, name, media, content["schema"], example["value"])
    for described in OPERATIONS
    for of, part in [("body", described.said.get("requestBody", {})), *described.said["responses"].items()]
    for media, content in resolved(part).get("content", {}).items()
    for name, example in content.get("examples", {}).items()
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda it: f"{it.described} {it.of} {it.name}")
def test_an_example_fits_its_schema_and_is_taken(core: Feed, example: Example) -> None:
    validator(msgspec.json.encode(example.schema).decode()).validate(example.value)
    if example.of == "body":
        described, body = example.described, msgspec.json.encode(example.value)
        answer = core(described.method, target(described.path), body, {"content-type": example.media})
        assert answer.status == 200, answer.body


def test_the_example_of_a_batch_is_taken(core: Feed) -> None:
    contents = DOCUMENT["paths"]["/api/archive/{instance}/events:batch"]["post"]["requestBody"]["content"]
    example = contents["application/x-ndjson"]["example"]
    assert core("POST", "/api/archive/sim/events:batch", example).json()["stored"] == 2


# Errors: what any route may answer, and what it answers when the archive fails below it


@every_operation
@pytest.mark.parametrize("media", [JSON, PROTOBUF])
@pytest.mark.parametrize(
    "headers",
    [
        {"content-length": "-1"},
        {"content-length": "9" * 5000},
        {"content-length": str(2**40)},
        {"content-encoding": "br"},
        {"transfer-encoding": "gzip"},
    ],
    ids=str,
)
def test_a_bad_head_is_answered_as_described(
    core: Feed, described: Described, media: str, headers: dict[str, str]
) -> None:
    core(described.method, target(described.path), b"", {"accept": media, **headers})


SOME_EVENT = Event("m", source="S", generation_time=0, seq_number=0, reception_time=0)
READS = ("events", "event_vectors", "count", "histogram", "sources", "stats", "changes", "commits")
READING = [errors.DamagedError("sim, block 5", "checksum"), errors.ClosedError(), ZeroDivisionError()]
WRITING = [
    errors.ConflictError(SOME_EVENT, SOME_EVENT),
    errors.ExpiredError(SOME_EVENT),
    errors.NumbersExhaustedError("S"),
    errors.ReadOnlyError("append"),
    errors.OutcomeUnknownError((SOME_EVENT,), "sync failed"),
    errors.OutOfSpaceError("/data", "no room"),
]


def failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


@every_operation
@pytest.mark.parametrize("error", [*READING, *WRITING], ids=lambda error: type(error).__name__)
def test_a_failing_archive_is_answered_as_described(
    archive: Archive,
    sim: Instance,
    monkeypatch: pytest.MonkeyPatch,
    described: Described,
    error: Exception,
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    for door in ("append_many", *(READS if error in READING else ())):
        if not (door == "append_many" and isinstance(error, errors.ConflictError | errors.ExpiredError)):
            monkeypatch.setattr(Instance, door, fail)  # those two are counted there, not raised
    at_once = isinstance(error, errors.ReadOnlyError | errors.ClosedError)
    monkeypatch.setattr(Instance, "submit", fail if at_once else lambda *_, **__: failed(error))
    for media in (JSON, PROTOBUF):
        core_feed(archive)(described.method, target(described.path), body_of(described), {"accept": media})


def test_a_read_only_archive_names_the_methods_that_work(archive: Archive, sim: Instance) -> None:
    path = archive.path
    archive.close()
    with Archive.open(path, readonly=True) as reading:
        send = core_feed(reading)
        answer = send("POST", "/api/archive/sim/events", '{"message": "m"}')
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert answer.json()["msg"] == "cannot append: this server serves the archive read-only"
        answer = send("POST", "/api/archive/sim/events:batch", '{"message": "m"}')
        assert (answer.status, answer.headers["allow"]) == (405, "")
        assert send("GET", "/readyz").json() == {"status": "ready", "instances": ["sim"], "storing": []}


@every_operation
def test_a_closed_archive_and_an_unknown_instance_are_answered_as_described(
    archive: Archive, sim: Instance, described: Described
) -> None:
    send = core_feed(archive)
    unknown = send(described.method, described.path.replace("{instance}", "nosuch"), body_of(described))
    assert (unknown.status == 404) == ("{instance}" in described.path)
    archive.close()
    send(described.method, target(described.path), body_of(described))


# The check that all tests lean on can fail


def event(**fields: Any) -> bytes:
    whole = {
        **{"source": "S", "generationTime": "2026-01-01T00:00:00Z", "receptionTime": "2026-01-01T00:00:00Z"},
        **{"seqNumber": 0, "message": "m", "severity": "INFO"},
    }
    return msgspec.json.encode(whole | fields)


@pytest.mark.parametrize(
    ("status", "media", "body"),
    [
        (418, JSON, b"{}"),
        (200, "text/plain", event()),
        (200, JSON, b"{}"),
        (200, JSON, event(seqNumber="0")),
        (200, JSON, event(seqNumber=2**31)),
        (200, JSON, event(severity="ERROR")),
        (200, JSON, event(generationTime="yesterday")),
        (200, JSON, event(undescribed=1)),
        (400, JSON, event()),
    ],
)
def test_an_answer_that_is_not_described_is_found(status: int, media: str, body: bytes) -> None:
    check("POST", "/api/archive/sim/events", 200, {"content-type": JSON}, event())
    with pytest.raises(AssertionError):
        check("POST", "/api/archive/sim/events", status, {"content-type": media}, body)


def test_an_answer_without_a_header_that_is_described_is_found() -> None:
    body = msgspec.json.encode({"code": 503, "type": "ServiceUnavailableException", "msg": "busy"})
    headers = {"content-type": JSON, "retry-after": "1"}
    check("POST", "/api/archive/sim/events", 503, headers, body)
    with pytest.raises(AssertionError, match="retry-after"):
        check("POST", "/api/archive/sim/events", 503, {"content-type": JSON}, body)
