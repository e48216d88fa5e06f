"""Requests that schemathesis generates from the OpenAPI description, sent to a served archive.

Every answer is described, and none is an error of the server. A request that fits the description is
accepted; one that does not fit is refused, except for the leniency that docs/http.md promises (``lenient``).
"""

from __future__ import annotations

import base64
import json as standard_json
from collections.abc import Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgpack
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.core.result import Ok
from schemathesis.pytest.lazy import get_all_tests
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.examples import of_full
from tests.http.conforms import DOCUMENT, check, operation, parameters, validator
from tests.http.lenient import fits, unfit_parameters
from tests.server.serving import serving
from tests.strategies import stored_events, times
from yamcs_archive import Event, EventKey
from yamcs_archive.http.query import TABLE_PARAMETERS
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import JSON, PROTOBUF
from yamcs_archive.wire.page_token import Mark, encode_mark, encode_token
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint
from yamcs_archive.wire.tables import ENDINGS

NDJSON, MSGPACK, OTLP = "application/x-ndjson", "application/msgpack", "application/x-protobuf"
Case = schemathesis.Case[Any]
Schema = schemathesis.BaseSchema
SEED = 2016
INSTANCE = "sim"

# What schemas alone cannot say


def _mark(mark: Mark) -> str:
    return encode_mark(INSTANCE, mark)


BEYOND_SCHEMAS = (
    b"operations are off on this server",
    b"has used sequence number",  # no number is left for the events of that source
    b"UpgradeRequiredException",  # no request for a WebSocket
    b"this server has no users",
    b"must lie in the years 0001 to 9999",  # its offset puts a time of the first or last day beyond
    b" twice",  # names that the schema takes for distinct
    b"must be all, or left out",  # columns of CSV; those of tables have other names
    b"is not known in a page",  # the commit, in a table
    b"is the name of another column here",  # a key of extra
    b"must be whole milliseconds",  # 7.0 is an integer for a schema; as milliseconds it is refused on purpose
)
"""Texts of the errors for requests that fit their schema and are refused."""


def _extensions(numbers: list[int]) -> str:
    return base64.b64encode(b"".join(varint(number << 3) + b"\x01" for number in numbers)).decode()


schemathesis.openapi.format(
    "event-filter",
    st.sampled_from(["", "severity>=watch", 'source="A" OR -b', "message:x AND (type=T)", '"é"']),
)
schemathesis.openapi.format(
    "continuation-token",
    st.builds(EventKey, st.integers(0, 10), st.just("A"), st.just(0)).map(
        lambda key: encode_token(INSTANCE, key)
    ),
)
schemathesis.openapi.format("index-token", st.builds(Mark, times, times, st.just("A")).map(_mark))
schemathesis.openapi.format("cursor", st.just("newest"))
schemathesis.openapi.format("backup-cursor", st.just(""))  # that of a backup is known to its owner alone
schemathesis.openapi.format(
    "protobuf-extensions", st.lists(st.integers(100, 10_000), max_size=3).map(_extensions)
)

# Bodies that are not JSON: right ones of every kind, and any bytes


def _of_today(event: Event) -> dict[str, Any]:
    fields = {"message": event.message, "source": event.source, "severity": event.severity.name}
    time = format_rfc3339(event.generation_time or 0)
    return {**fields, "time": time, "sequenceNumber": event.seq_number, "extra": event.extra}


def _message(event: Event) -> bytes:
    message = today.CreateEventRequest(message=event.message, source=event.source, type=event.type)
    message.sequenceNumber = event.seq_number or 0
    return bytes(message.SerializeToString())


FORMS = st.sampled_from(Form)
FIELDS = stored_events.map(_of_today) | st.builds(json.shown, stored_events, FORMS)
MESSAGES = stored_events.map(_message) | st.builds(protobuf.encode_event, stored_events, FORMS)
QUESTIONS = st.builds(
    lambda limit, source, q: bytes(
        today.ListEventsRequest(limit=limit, source=source, q=q).SerializeToString()
    ),
    st.integers(-1, 5),
    st.lists(st.text(max_size=3), max_size=2),
    st.text(max_size=3),
)


def _several(one: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(one, max_size=4).map(b"".join)


def _delimited(message: bytes) -> bytes:
    return varint(len(message)) + message


ANY_BYTES = st.binary(max_size=100)
schemathesis.openapi.media_type(
    PROTOBUF, ANY_BYTES | MESSAGES | QUESTIONS | _several(MESSAGES.map(_delimited))
)
schemathesis.openapi.media_type(
    NDJSON, ANY_BYTES | _several(FIELDS.map(lambda fields: msgspec.json.encode(fields) + b"\n"))
)
schemathesis.openapi.media_type(MSGPACK, ANY_BYTES | _several(FIELDS.map(msgpack.packb)))


schemathesis.openapi.media_type(OTLP, ANY_BYTES)


@schemathesis.serializer(PROTOBUF, NDJSON, MSGPACK, OTLP)
def _as_it_is(_: schemathesis.SerializationContext, value: Any) -> Any:
    return value if isinstance(value, bytes) else str(value).encode()


STREAMED = {"streamEvents": "Event", "streamEventIndex": None}
"""Operations whose answer is a sequence of JSON objects, and the schema of the objects, if it has a name."""


@schemathesis.deserializer(JSON)
def _json(context: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    """Return the JSON of an answer; for a sequence of objects, which are checked here, their text."""
    name = context.operation.definition.raw["operationId"]
    if response.status_code != 200 or name not in STREAMED:
        return response.json()
    text, at = response.content.decode(), 0
    schema = STREAMED[name] and {"$ref": f"#/components/schemas/{STREAMED[name]}"}
    one = validator(msgspec.json.encode(schema or {"type": "object"}).decode())
    while at < len(text):
        found, at = standard_json.JSONDecoder().raw_decode(text, at)
        one.validate(found)
    return text


# Checks of our own


def described_here(_: Any, response: schemathesis.Response, case: Case) -> None:
    """Fail if the description, with all objects closed, does not have the answer."""
    url = urlsplit(str(response.request.url))
    headers = {name.lower(): values[0] for name, values in response.headers.items()}
    check(str(response.request.method), url.path, response.status_code, headers, response.content)


def unfit_requests_are_refused(_: Any, response: schemathesis.Response, case: Case) -> None:
    """Fail if a request is accepted that does not fit the description, even when it is read leniently.

    Replaces ``negative_data_rejection``: it knows the leniency, and examines the request that was sent.
    """
    request = response.request
    url = urlsplit(str(request.url))
    described = operation(str(request.method), url.path)
    if response.status_code != 200 or described is None:
        return
    unfit = unfit_parameters(url.query, parameters(described))
    if (
        response.headers.get("content-type", [""])[0] not in ENDINGS
    ):  # other forms ignore the columns of tables
        unfit = {name: value for name, value in unfit.items() if name not in TABLE_PARAMETERS}
    assert not unfit, f"taken: {unfit}"
    contents = described.get("requestBody", {}).get("content", {})
    body: Any = request.body or b""
    # A byte order mark and white space are ignored, so this body may count as empty.
    sent = (body.encode() if isinstance(body, str) else body).removeprefix(b"\xef\xbb\xbf").strip()
    kind = str(request.headers.get("content-type", JSON))
    if JSON in contents and sent and kind not in (PROTOBUF, OTLP):
        assert fits(msgspec.json.decode(sent), contents[JSON]["schema"]), f"taken: {sent!r}"


def fitting_requests_are_accepted(context: Any, response: schemathesis.Response, case: Case) -> None:
    """Fail if a request that fits its schema is refused, except for one of the reasons above.

    Bodies of bytes are left out, because a schema cannot say which of them are right.
    """
    binary = case.media_type in (PROTOBUF, NDJSON, MSGPACK, OTLP)
    if not binary and not any(reason in response.content for reason in BEYOND_SCHEMAS):
        positive_data_acceptance(context, response, case)


# The runs


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an archive that a process of its own serves."""
    with serving(tmp_path_factory.mktemp("served") / "archive") as served:
        yield served.url


CONFIG = {"parameters": {"instance": INSTANCE, "query.wait": 0}}
"""Other instances are a 404, which test_openapi checks. Waiting would give the same answers later."""
OPERATIONS = [
    described["operationId"]
    for path in DOCUMENT["paths"].values()
    for described in path.values()
    if "operationId" in described
]


@cache
def _description(**config: Any) -> Schema:
    return schemathesis.openapi.from_dict(DOCUMENT, config=SchemathesisConfig.from_dict(CONFIG | config))


BOUNDLESS = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


def call_and_check(case: Case, url: str) -> None:
    case.call_and_validate(
        base_url=url,
        additional_checks=[described_here, unfit_requests_are_refused, fitting_requests_are_accepted],
        excluded_checks=[negative_data_rejection, positive_data_acceptance],
    )


def try_requests(description: Schema, name: str, how: settings, url: str) -> None:
    """Send the requests that schemathesis makes for the operation of this name.

    Its decorator ``parametrize`` would make those of all operations, also for a test that is left out, in
    each process that collects the tests. Its ``from_fixture`` needs an attribute that pytest 9.2 has no more.
    """
    described = description.include(operation_id=name)
    (made,) = get_all_tests(schema=described, test_func=call_and_check, settings=how, given_kwargs=None)
    assert isinstance(made, Ok), made.err()
    _, test = made.ok()
    test(url=url)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_answer_is_described_and_none_is_a_fault_of_the_server(name: str, url: str) -> None:
    how = settings(BOUNDLESS, max_examples=of_full(15), derandomize=True)
    try_requests(_description(seed=SEED), name, how, url)


@pytest.mark.long
@pytest.mark.parametrize("name", OPERATIONS)
def test_the_answers_to_many_more_requests_are_described_too(name: str, url: str) -> None:
    try_requests(_description(), name, settings(BOUNDLESS, max_examples=100, derandomize=True), url)
