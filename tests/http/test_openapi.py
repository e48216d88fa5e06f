"""The OpenAPI description agrees with the routes, and so does docs/http.md.

Beyond these tests, every answer that any test of this folder gets is checked against it (``feeds``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import Future
from configparser import ConfigParser
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import msgspec
import pytest
from openapi_spec_validator import validate

from tests.child import ROOT
from tests.http.conforms import DOCUMENT, check, parameters, resolved, validator
from tests.http.feeds import Answer, Feed, core_feed
from yamcs_archive import Archive, Event, Instance, errors, limits
from yamcs_archive.access.administration import add_user
from yamcs_archive.access.passwords import NOBODYS
from yamcs_archive.access.permissions import Grant
from yamcs_archive.event import SEVERITIES
from yamcs_archive.frames.columns import ALL_COLUMNS
from yamcs_archive.http import limits as http_limits
from yamcs_archive.http.access import password_checks
from yamcs_archive.http.access.failed_logins import FailedLogins
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application
from yamcs_archive.http.errors import STATUS_BY_ERROR
from yamcs_archive.http.query import PAGE_PARAMETERS, PARAMETERS, TABLE_PARAMETERS
from yamcs_archive.http.routes import PATHS
from yamcs_archive.pass_report.limits import LATE_AFTER_S_DEFAULT, LATE_AFTER_S_MAX, TOP_DEFAULT, TOP_MAX
from yamcs_archive.wire.api_generations import SEVERITIES_2016, SHOWN_TODAY, Form, to_ms
from yamcs_archive.wire.codec import CSV, JSON, MSGPACK, PROTOBUF
from yamcs_archive.wire.csv import DELIMITERS
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint
from yamcs_archive.wire.tables import ENDINGS

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE")
NDJSON, OPENMETRICS = "application/x-ndjson", "application/openmetrics-text"
PLAIN = "text/plain; charset=UTF-8"
PAGE = (ROOT / "docs" / "http.md").read_text(encoding="utf-8")


class Described(NamedTuple):
    """One operation of the description."""

    method: str
    path: str
    said: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def answers(self) -> dict[int, dict[str, Any]]:
        return {int(status): resolved(part) for status, part in self.said["responses"].items()}

    def promises(self, answer: Answer) -> bool:
        """Return whether an answer has all headers that are described for it, beside the common ones."""
        said: dict[str, Any] = self.answers()[answer.status].get("headers", {})
        required = {name for name, header in said.items() if resolved(header).get("required")}
        return required <= headers_of(answer) <= set(said)

    def takes(self) -> dict[str, Any]:
        """The bodies that it accepts, by media type."""
        found: dict[str, Any] = self.said.get("requestBody", {}).get("content", {})
        return found

    def body(self) -> bytes:
        """The first example of its body; empty if it has no body."""
        examples = self.takes().get(JSON, {}).get("examples", {}).values()
        return next((msgspec.json.encode(resolved(example)["value"]) for example in examples), b"")

    def send(
        self,
        feed: Feed,
        headers: dict[str, str],
        body: bytes | None = None,
        instance: str = "sim",
        query: str = "",
    ) -> Answer:
        """Send it, with the example of its body if no other is given."""
        path = self.path.replace("{instance}", instance) + query
        return feed(self.method, path, self.body() if body is None else body, headers)


OPERATIONS = [
    Described(method.upper(), path, said)
    for path, methods in DOCUMENT["paths"].items()
    for method, said in methods.items()
    if method != "parameters"
]
OTHERS = ("Logins", "Operations", "OpenTelemetry")
LIKE_YAMCS = [one for one in OPERATIONS if one.said["tags"][0] not in OTHERS]
"""Those that every server has. The others, of users and of operators, have tests of their own."""
every_operation = pytest.mark.parametrize("described", LIKE_YAMCS, ids=str)
with_body = pytest.mark.parametrize(
    "described", [one for one in LIKE_YAMCS if one.takes().keys() - {JSON}], ids=str
)


def test_the_description_is_valid_and_served_and_of_this_version(core: Feed) -> None:
    answer = core("GET", "/api/openapi.json")
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)
    validate(answer.json())
    assert answer.json() == DOCUMENT
    metadata = ConfigParser()
    metadata.read(ROOT / "setup.cfg")
    assert DOCUMENT["info"]["version"] == metadata["metadata"]["version"]


# Routes, parameters, fields


def test_every_route_is_described_and_every_described_one_is_served(core: Feed) -> None:
    described = {(one.method, one.path) for one in OPERATIONS}
    assert described == {(route.method, path) for path, routes in PATHS.items() for route in routes}
    served = {
        (method, path)
        for path in DOCUMENT["paths"]
        for method in METHODS
        if core(method, path.replace("{instance}", "sim")).headers.get("allow") is None
    }
    # HEAD is described once, for all paths with GET.
    assert served == described | {("HEAD", path) for method, path in described if method == "GET"}


def test_the_page_for_people_has_every_route() -> None:
    assert [str(described) for described in OPERATIONS if f"`{described}`" not in PAGE] == []


def query_of(path: str) -> set[str]:
    return {part["name"] for part in parameters(DOCUMENT["paths"][path]["get"])}


def test_the_parameters_of_a_listing_are_those_that_are_read() -> None:
    assert query_of("/api/archive/{instance}/events") == PAGE_PARAMETERS | TABLE_PARAMETERS
    assert query_of("/api/archive/{instance}:exportEvents") == PARAMETERS | TABLE_PARAMETERS | {"delimiter"}
    assert query_of("/api/archive/{instance}/events:count") == PARAMETERS


@pytest.mark.parametrize("name", ["ListEvents", "StreamEvents", "CountEvents", "StreamEventIndex"])
def test_the_fields_of_a_posted_listing_are_those_that_are_read(name: str) -> None:
    message = today.DESCRIPTOR.message_types_by_name[f"{name}Request"]
    described = DOCUMENT["components"]["schemas"][name]["properties"]
    assert set(described) == {field.name for field in message.fields}


@every_operation
def test_a_header_is_described_where_it_is_read(core: Feed, described: Described) -> None:
    answer = described.send(core, {"Idempotency-Key": "é"})  # no value is valid
    read = [part["name"] for part in parameters(described.said) if part["in"] == "header"]
    assert read == (["Idempotency-Key"] if answer.status == 400 else [])


# Bounds


BOUNDS = {
    "schemas/Milliseconds minimum": to_ms(limits.TIME_MIN_US),
    "schemas/Milliseconds maximum": to_ms(limits.TIME_MAX_US),
    "schemas/EmptyList maxProperties": 0,
    "schemas/Queues/properties/queues maxItems": 0,
    "schemas/Message maxLength": limits.MESSAGE_BYTES_MAX,
    "schemas/Source maxLength": limits.SOURCE_BYTES_MAX,
    "schemas/StoredSource minLength": 1,
    "schemas/Int32 minimum": limits.SEQ_NUMBER_MIN,
    "schemas/Int32 maximum": limits.SEQ_NUMBER_MAX,
    "schemas/Count minimum": 0,
    "schemas/Event/properties/extra minProperties": 1,
    "schemas/BatchCounts/properties/conflicts maxItems": limits.CONFLICTS_KEPT_MAX,
    "schemas/BatchCounts2016/properties/conflicts maxItems": limits.CONFLICTS_KEPT_MAX,
    "schemas/PageLimit minimum": 1,
    "schemas/PageLimit maximum": limits.PAGE_EVENTS_MAX,
    "schemas/PageLimit default": http_limits.PAGE_EVENTS_DEFAULT,
    "schemas/Position minimum": 0,
    "schemas/Position maximum": 2**63 - 1,
    "schemas/MergeTime minimum": 0,
    "schemas/MergeTime maximum": limits.PAUSE_US_MAX // 1000,
    "schemas/MergeTime default": limits.PAUSE_US_DEFAULT // 1000,
    "schemas/IndexLimit minimum": 1,
    "schemas/IndexLimit maximum": http_limits.INDEX_ENTRIES_MAX,
    "schemas/IndexLimit default": http_limits.INDEX_ENTRIES_DEFAULT,
    "schemas/EventIndexEntry/properties/count minimum": 1,
    "schemas/ReportLateAfter minimum": 0,
    "schemas/ReportLateAfter maximum": LATE_AFTER_S_MAX,
    "schemas/ReportLateAfter default": LATE_AFTER_S_DEFAULT,
    "schemas/ReportTop minimum": 1,
    "schemas/ReportTop maximum": TOP_MAX,
    "schemas/ReportTop default": TOP_DEFAULT,
    "schemas/Prune minProperties": 1,
    "schemas/Prune/properties/keepDays minimum": 1,
    "schemas/Prune/properties/keepDays maximum": limits.KEEP_DAYS_MAX,
    "schemas/Prune/properties/maxBytes minimum": 1,
    "schemas/Prune/properties/maxEvents minimum": 1,
    "parameters/instance/schema maxLength": limits.INSTANCE_NAME_MAX,
    "parameters/idempotencyKey/schema maxLength": limits.REQUEST_ID_BYTES_MAX,
    "parameters/wait/schema minimum": 0,
    "parameters/wait/schema maximum": limits.POLL_S_MAX,
    "parameters/wait/schema default": 0,
}
_BOUND = re.compile(r"default|multipleOf|(exclusive)?(min|max)[A-Z]\w*|minimum|maximum")


def bounds(part: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield every bound of a value in a part of the description, by its place."""
    inner = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for name, value in inner:
        if _BOUND.fullmatch(str(name)) and not isinstance(value, dict):
            yield f"{place} {name}", value
        yield from bounds(value, f"{place}/{name}" if place else str(name))


def test_every_bound_is_that_of_the_limits_and_is_written_once() -> None:
    assert dict(bounds(DOCUMENT["components"], "")) == BOUNDS
    assert dict(bounds(DOCUMENT["paths"], "")) == {}


def test_a_bound_that_only_words_say_is_that_of_the_limits() -> None:
    words = msgspec.json.encode(DOCUMENT).decode()
    for text in (
        f"up to {limits.MESSAGE_BYTES_MAX >> 20} MiB of UTF-8",
        f"up to {limits.SOURCE_BYTES_MAX} bytes of UTF-8",
        f"up to {limits.ATTACHED_BYTES_MAX >> 10} KiB",
        f"The first {limits.CONFLICTS_KEPT_MAX} conflicts",
        f"up to {http_limits.EXCHANGE_EVENTS_MAX}, by default {http_limits.EXCHANGE_EVENTS_DEFAULT}",
        f"after {http_limits.CHANGES_BYTES_MAX >> 20} MiB of text",
        f"body is larger than {limits.BODY_BYTES_MAX >> 20} MiB",
        f"Elements of up to {limits.BODY_BYTES_MAX >> 20} MiB",
        f"for {limits.REQUEST_AGE_US // 3_600_000_000} hours",
    ):
        assert text in words


def test_the_words_of_a_choice_are_those_that_are_taken() -> None:
    schemas, query = DOCUMENT["components"]["schemas"], DOCUMENT["components"]["parameters"]
    assert schemas["Severity"]["enum"] == [severity.name for severity in SEVERITIES]
    assert schemas["Severity2016"]["enum"] == list(SEVERITIES_2016)
    assert set(schemas["StoredSeverity"]["enum"]) == set(SHOWN_TODAY.values())
    assert set(query["form"]["schema"]["enum"]) == {form.value for form in Form}
    assert query["delimiter"]["schema"]["enum"] == list(DELIMITERS)
    assert schemas["TableColumns"]["items"]["enum"] == list(ALL_COLUMNS)


# Media types, headers and examples


def headers_of(answer: Answer) -> set[str]:
    return answer.headers.keys() - {"content-type", "content-length", "vary"}


@every_operation
def test_its_answers_are_of_the_media_types_described(core: Feed, described: Described) -> None:
    answers = [
        described.send(core, {"accept": accept})
        for accept in (JSON, PROTOBUF, MSGPACK, CSV, OPENMETRICS, *ENDINGS, "*/*")
    ]
    if any(one.get("name") == "progress" for one in described.said.get("parameters", ())):
        answers.append(described.send(core, {}, query="?progress=true"))
    found = {answer.headers["content-type"] for answer in answers}
    assert {answer.status for answer in answers} <= {200, 501}
    assert found == described.answers()[answers[0].status]["content"].keys()
    assert all(map(described.promises, answers))


@with_body
def test_its_bodies_are_of_the_media_types_described(core: Feed, described: Described) -> None:
    schema = described.takes().get(JSON, {}).get("schema", {}).get("$ref", "")
    if schema:
        message = getattr(today, f"{schema.rpartition('/')[2]}Request")()
        message.start.seconds = 1
        fields = {"start": "2026-01-01T00:00:00Z"}
    else:
        message, fields = today.CreateEventRequest(message="m"), {"message": "m"}
    whole = message.SerializeToString()
    prefix = varint(len(whole)) if NDJSON in described.takes() else b""
    bodies = {
        PROTOBUF: prefix + whole,
        MSGPACK: msgpack.packb(fields),
        JSON: msgspec.json.encode(fields),
    }
    taken = {
        kind
        for kind, body in bodies.items()
        if described.send(core, {"content-type": kind}, body).status == 200
    }
    # Any other content type is read as JSON; for a batch, as JSON objects line by line.
    assert taken == {JSON if kind == NDJSON else kind for kind in described.takes()}


class Example(NamedTuple):
    """An example of a request's body, or of an answer."""

    described: Described
    of: str
    name: str
    media: str
    schema: dict[str, Any]
    value: Any


EXAMPLES = [
    Example(described, str(of), name, media, content["schema"], resolved(example)["value"])
    for described in LIKE_YAMCS
    for of, part in [("body", described.said.get("requestBody", {})), *described.answers().items()]
    for media, content in part.get("content", {}).items()
    for name, example in content.get("examples", {}).items()
]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda it: f"{it.described} {it.of} {it.name}")
def test_an_example_fits_its_schema_and_is_taken(core: Feed, example: Example) -> None:
    validator(msgspec.json.encode(example.schema).decode()).validate(example.value)
    if example.of == "body":
        body = msgspec.json.encode(example.value)
        answer = example.described.send(core, {"content-type": example.media}, body)
        assert answer.status == 200, answer.body


def test_the_example_of_a_batch_is_taken(core: Feed) -> None:
    contents = DOCUMENT["paths"]["/api/archive/{instance}/events:batch"]["post"]["requestBody"]["content"]
    answer = core("POST", "/api/archive/sim/events:batch", contents[NDJSON]["example"])
    assert answer.json()["stored"] == 2


# Errors


def kinds(response: dict[str, Any]) -> dict[str, str]:
    """Return the kinds of errors that the description of a response lists, each with its meaning."""
    entries = (entry.split(": ", 1) for entry in response["description"].split("\n- ")[1:])
    return {kind.strip("`"): meaning.strip() for kind, meaning in entries}


def errors_of(described: Described) -> set[tuple[int, str]]:
    return {(status, kind) for status, part in described.answers().items() for kind in kinds(part)}


def test_an_error_has_one_status_and_one_meaning_and_is_in_the_page_for_people() -> None:
    said = [
        (kind, status, meaning)
        for described in OPERATIONS
        for status, part in described.answers().items()
        for kind, meaning in kinds(part).items()
    ]
    by_kind = {kind: (status, meaning) for kind, status, meaning in said}
    assert {(kind, *of) for kind, of in by_kind.items()} == set(said)
    for _, status, kind in STATUS_BY_ERROR:
        assert by_kind[kind][0] == status
    assert [kind for kind in by_kind if kind not in PAGE] == []


SOME_EVENT = Event("m", source="S", generation_time=0, seq_number=0, reception_time=0)
Doors = list[tuple[type, str]]
CHANGES: Doors = [(Instance, name) for name in ("changes", "commits")]
READS: Doors = [
    (Instance, name) for name in ("events", "event_vectors", "count", "histogram", "sources", "stats")
]
OPENING: Doors = [(Archive, "instance"), (Archive, "instances")]
SUBMIT: Doors = [(Instance, "submit")]
STORING: Doors = [*SUBMIT, (Instance, "append_columns")]
DAMAGE, CLOSED = errors.DamagedError("sim, block 5", "checksum"), errors.ClosedError()
FAILING: list[tuple[Exception, Doors]] = [
    *((error, [*READS, *CHANGES, *STORING]) for error in (DAMAGE, CLOSED, ZeroDivisionError())),
    *((error, OPENING) for error in (DAMAGE, CLOSED, ZeroDivisionError())),
    (errors.OtherHistoryError(7), [*CHANGES, (Instance, "backup_stream")]),
    (errors.CursorGoneError("oldest"), CHANGES),
    (errors.ConflictError(SOME_EVENT, SOME_EVENT), SUBMIT),  # a batch counts these two
    (errors.ExpiredError(SOME_EVENT), SUBMIT),
    (errors.RequestIdError("id"), STORING),
    (errors.NumbersExhaustedError("S"), STORING),
    (errors.ReadOnlyError("append"), STORING),
    (errors.OutcomeUnknownError((SOME_EVENT,), "sync failed"), STORING),
    (errors.OutOfSpaceError("/data", "no room"), STORING),
]
"""Errors of the archive, and the methods that raise them."""
BAD_HEADS = [
    {"content-length": "-1"},
    {"content-length": "9" * 5000},
    {"content-length": str(2**40)},
    {"content-encoding": "br"},
    {"host": "evil.example"},
]
BEYOND_THE_CORE = {
    "GET /api/websocket": {(503, "ServiceUnavailableException")},  # too many of them: test_live
    "GET /api/processors": {  # with the name of an instance: test_beside_events
        (404, "NotFoundException"),
        (500, "DamagedBlockException"),
        (503, "ServiceUnavailableException"),
    },
    "POST /api/doctor": {(404, "NotFoundException")},  # instance=nosuch: tests/cli/test_stats.py
    "GET /metrics": {(501, "NotImplementedException")},  # without prometheus-client: test_metrics
    **{
        operation: {(501, "NotImplementedException")}  # without pyarrow: test_tables
        for operation in (
            "GET /api/archive/{instance}/events",
            "POST /api/archive/{instance}/events:list",
            "POST /api/stream-archive/{instance}:streamEvents",
            "GET /api/archive/{instance}:exportEvents",
        )
    },
}


def failing(error: Exception, name: str) -> Any:
    """Return a substitute for a method: it raises the error, or returns a future with it."""

    def fail(*_: Any, **__: Any) -> Any:
        if name != "submit" or isinstance(error, errors.ReadOnlyError | errors.ClosedError):
            raise error
        future: Future[Any] = Future()
        future.set_exception(error)
        return future

    return fail


BASIC = {"authorization": "Basic YWRhOmNvcnJlY3QgaG9yc2U="}


def login_refusals(archive: Archive, described: Described, media: str, users: Path) -> Iterator[Answer]:
    """Yield the answers of an operation of a server with users that fails because of its sender."""
    core = Application(archive, live=True, access=AccessOptions(users=users))
    feed, accept = core_feed(archive, core=core), {"accept": media}
    given = accept | BASIC
    yield described.send(feed, accept)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(password_checks, "is_right", lambda *_: False)
        patch.setattr(password_checks, "WRONG_S", 0)
        yield described.send(feed, given)
        patch.setattr(password_checks, "CHECKS_WAITING_MAX", 0)
        yield described.send(feed, given)
        patch.setattr(FailedLogins, "wait_s", lambda *_: 5)
        yield described.send(feed, given)
    core.end_polls()


def refusals(archive: Archive, described: Described, media: str) -> Iterator[Answer]:
    """Yield the answers of an operation that fails, in every way in which it can."""
    feed, accept = core_feed(archive), {"accept": media}
    for head in BAD_HEADS:
        yield described.send(feed, accept | head)
    yield described.send(feed, accept, instance="nosuch")
    yield described.send(feed, accept, b"{" * (limits.BODY_BYTES_MAX + 1))
    yield described.send(core_feed(archive, core=Application(archive, live=True)), accept)
    yield described.send(feed, accept)
    for error, doors in FAILING:
        with pytest.MonkeyPatch.context() as patch:
            for owner, name in doors:
                patch.setattr(owner, name, failing(error, name))
            yield described.send(feed, accept)


@every_operation
def test_its_errors_are_those_described(
    archive: Archive, sim: Instance, described: Described, tmp_path: Path
) -> None:
    users = tmp_path / "users.json"
    add_user(users, "ada", [Grant.parse("ReadEvents")], NOBODYS)
    found = BEYOND_THE_CORE.get(str(described), set()) | {(500, "InternalServerErrorException")}  # a bug
    answers = [(JSON, answer) for answer in refusals(archive, described, JSON)]
    answers += [(PROTOBUF, answer) for answer in refusals(archive, described, PROTOBUF)]
    answers += [(JSON, answer) for answer in login_refusals(archive, described, JSON, users)]
    archive.close()
    answers.append((JSON, described.send(core_feed(archive), {})))
    plain = {answer.status for _, answer in answers if answer.headers.get("content-type") == PLAIN}
    assert plain == described.answers().keys() & {401}
    for media, answer in answers:
        if answer.status >= 400 and answer.status != 401:
            assert answer.headers["content-type"] == media
            assert described.promises(answer)
            error = today.ExceptionMessage.FromString(answer.body) if media == PROTOBUF else None
            found.add((answer.status, error.type if error else answer.json()["type"]))
    assert found == errors_of(described)


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


# The check of every answer can fail


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
