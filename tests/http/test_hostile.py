"""Requests that no description would generate: any text in paths, queries and headers, any bytes in bodies.

Every answer is described (``feeds`` checks that) and is no error of the server, and the next request is
answered as usual.
"""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from tests.http.conforms import DOCUMENT, parameters
from tests.http.feeds import Answer, Feed, core_feed, wsgi_feed
from tests.server.serving import WAIT_S, serving
from yamcs_archive import Archive

OPERATIONS = [
    (method.upper(), path)
    for path, methods in DOCUMENT["paths"].items()
    for method in methods
    if method != "parameters"
]
PATHS = sorted({path for _, path in OPERATIONS})
POSTED = [path for method, path in OPERATIONS if method == "POST"]
QUERIED = [
    (method, path, part["name"])
    for method, path in OPERATIONS
    for part in parameters(DOCUMENT["paths"][path][method.lower()])
    if part["in"] == "query"
]

fixtures_last = settings(
    max_examples=of_full(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
"""The archive is the same for all examples of a test: earlier ones must not matter either."""

any_text = st.text(st.characters(codec="utf-8"), max_size=30) | st.sampled_from(
    ["\0", "a\0b", "%00", "%ff", "..", "../..", "%2e%2e%2f", "é", "\U0001f680", "\u202e", "'; --", "x" * 5000]
)
numbers = st.sampled_from(
    ["0", "-1", "1.0", "1e3", "1e400", "-1e400", "NaN", "Infinity", "9" * 30, "9" * 5000, "0x10", "١", "1_0"]
) | st.integers().map(str)
values = (
    any_text
    | numbers
    | st.sampled_from(["2026-02-30T00:00:00Z", "9999-12-31T23:59:60Z", "0000-01-01T00:00:00Z"])
)


@pytest.fixture(params=["core", "wsgi"])
def hostile(request: pytest.FixtureRequest, archive: Archive) -> Feed:
    archive.instance("sim", create=True).append_many([])
    return core_feed(archive) if request.param == "core" else wsgi_feed(archive)


def well_answered(answer: Answer) -> Answer:
    assert answer.status < 500 or answer.status == 501, answer  # that: no live updates by this server
    return answer


@fixtures_last
@given(
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "TRACE"]),
    st.sampled_from(PATHS),
    any_text,
    any_text,
)
def test_a_path_may_have_any_text(hostile: Feed, method: str, path: str, name: str, tail: str) -> None:
    target = quote(path.replace("{instance}", name) + tail, safe="/:")
    answer = well_answered(hostile(method, target))
    assert answer.status in (200, 204, 400, 404, 405, 415, 501)


def not_for_long(wait: str) -> str:
    """Return a value for ``wait``: any text, but no number of seconds, so that no test waits."""
    try:
        return "0.001" if float(wait) > 0 else wait
    except ValueError:
        return wait


@fixtures_last
@given(st.sampled_from(QUERIED), values, st.booleans())
def test_a_query_may_have_any_text(hostile: Feed, asked: tuple[str, str, str], value: str, raw: bool) -> None:
    method, path, name = asked
    if name == "wait":
        value = not_for_long(value)
    shown = value.encode().decode("latin-1") if raw else quote(value)
    shown = shown.replace("#", "") if raw else shown
    answer = well_answered(hostile(method, f"{path.replace('{instance}', 'sim')}?{name}={shown}"))
    assert answer.status in ((200, 400, 404) if name == "instance" else (200, 400))


@fixtures_last
@given(
    st.sampled_from(OPERATIONS),
    st.dictionaries(
        st.sampled_from(
            [
                *("accept", "content-type", "content-encoding", "transfer-encoding", "accept-encoding"),
                *("idempotency-key", "origin", "range", "if-none-match", "expect", "cookie", "host", "x-any"),
            ]
        ),
        st.text(st.characters(codec="latin-1"), max_size=30)
        | st.sampled_from(["application/json; charset=x", "gzip", "application/protobuf", "a" * 5000]),
        max_size=4,
    ),
)
def test_a_header_may_have_any_text(hostile: Feed, asked: tuple[str, str], headers: dict[str, str]) -> None:
    method, path = asked
    well_answered(hostile(method, path.replace("{instance}", "sim"), b"", headers))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = sorted(
    {
        name
        for schema in ("CreateEvent", "CreateEvent2016", "ListEvents")
        for name in DOCUMENT["components"]["schemas"][schema]["properties"]
    }
)
objects = st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=4).map(msgspec.json.encode)
raw_values = st.sampled_from(
    [
        *(
            "1e400",
            "-0",
            "1E-400",
            "9" * 5000,
            "NaN",
            "Infinity",
            '"\\ud800"',
            '"\\udc00\\ud800"',
            '"\\u0000"',
        ),
        *(
            "[" * 100_000,
            '{"a":' * 10_000,
            "[" * 500 + "]" * 500,
            '"' + "\\" * 1001,
            "tru",
            "\x00",
            "\ufeff1",
        ),
    ]
)
texts = st.builds(
    lambda name, value: f'{{"message": "m", "{name}": {value}}}'.encode(), st.sampled_from(FIELDS), raw_values
)
bodies = st.binary(max_size=60) | objects | texts | raw_values.map(str.encode)
media = st.sampled_from(
    [
        None,
        "application/json",
        "application/protobuf",
        "application/msgpack",
        "application/x-ndjson",
        "text/plain",
    ]
)


@fixtures_last
@given(st.sampled_from(POSTED), bodies, media, media, st.booleans())
@example(POSTED[0], b'{"message": "\\ud800"}', None, None, False)
def test_a_body_may_have_any_bytes(  # noqa: PLR0917  # hypothesis gives them by position
    hostile: Feed, path: str, body: bytes, sent: str | None, wanted: str | None, gzipped: bool
) -> None:
    headers = {"content-type": sent, "accept": wanted, "content-encoding": "gzip" if gzipped else None}
    given_headers = {name: value for name, value in headers.items() if value is not None}
    answer = well_answered(hostile("POST", path.replace("{instance}", "sim"), body, given_headers))
    assert answer.status in (200, 400, 409, 413, 415)


@pytest.mark.parametrize("query", [f"pos={2**63 - 1}&q=a%25b", "limit=1e3"])
def test_a_page_has_bounds(hostile: Feed, query: str) -> None:
    assert hostile("GET", f"/api/archive/sim/events?{query}").status == 200


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ('{"instance": {}}', 400),
        ('{"instance": "any", "start": "", "severity": ""}', 200),
        ('{"q": {}}', 400),
    ],
)
@pytest.mark.parametrize("path", ["/api/archive/sim/events:list", "/api/stream-archive/sim:streamEvents"])
def test_the_fields_of_a_posted_listing_are_checked(hostile: Feed, path: str, body: str, status: int) -> None:
    assert hostile("POST", path, body).status == status


# Over a socket: bytes that never become a request


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of an archive that is served in a process of its own."""
    with serving(tmp_path_factory.mktemp("served") / "archive") as served:
        yield served.port


lines = st.binary(max_size=60) | st.sampled_from(
    [
        b"GET / HTTP/9.9",
        b"GET /\0 HTTP/1.1",
        b"GET /%zz%00%ff HTTP/1.1",
        b"GET \xff\xfe HTTP/1.1",
        b"POST /api/archive/sim/events HTTP/1.1\r\nContent-Length: -1",
        b"POST /api/archive/sim/events HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6",
        b"POST /api/archive/sim/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz",
        b"POST /api/archive/sim/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3",
        b"GET /api/archive/sim/events?source=%00&q=\xff HTTP/1.1\r\nAccept: \xff\x80",
        b"GET /api/archive/sim/events HTTP/1.1\r\nX: " + b"a" * 100_000,
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1",
        b"PRI * HTTP/2.0\r\n\r\nSM",
        b"\x16\x03\x01\x02\x00\x01\x00",
    ]
)


@settings(
    max_examples=of_full(80), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(lines)
def test_bytes_that_are_no_request_do_not_harm_the_server(port: int, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as connection:
        try:
            connection.sendall(line + b"\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(200)
        except OSError:  # it hung up first
            answer = b""
    assert not answer or answer.startswith(b"HTTP/1.1 2") or answer.startswith(b"HTTP/1.1 4"), answer
    following = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    try:
        following.request("GET", "/healthz")
        assert following.getresponse().status == 200
    finally:
        following.close()


@pytest.mark.parametrize(
    "body", [b'{"mess\\ud800age": "a"}', b'{"message": {"\\udfff": "a"}}', b'{"\\n": 1}']
)
def test_an_error_may_name_a_field_of_any_characters(hostile: Feed, body: bytes) -> None:
    for path in ("/api/archive/sim/events", "/api/archive/sim/events:batch", "/api/archive/sim/events:list"):
        answer = hostile("POST", path, body)
        assert answer.status == 400
        assert answer.json()["msg"].isprintable()
