"""The whole API: requests as raw bytes, given to the application itself and sent to a served archive.

An answer is never an error of the server; a request that is refused leaves the archive as it was.
"""

from __future__ import annotations

import atexit
import shutil
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from benchmarks.fuzz.targets import CRITICAL, Target
from benchmarks.fuzz.wire_targets import TARGETS as WIRE
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Pending, Response
from yamcs_archive.http.routes import PATHS

_BODIES = tuple(
    text for target in WIRE if target.name in ("json", "protobuf", "ndjson") for text in target.valid
)
_NOT_IMPLEMENTED = 501
_ANSWER_BYTES_MAX = 1 << 20
"""Bytes of an answer that are read; the rest is left, as by a client that leaves."""
_QUERIES = (
    b"limit=3&order=asc&severity=watch&source=AOCS&q=wheel",
    b"start=2026-01-01T00:00:00Z&stop=2027-01-01T00:00:00Z&next=x&filter=type%3Dnull",
    b"form=2016&after=x&wait=0.001&pos=0&mergeTime=1000",
)
_HEADERS = (
    b"Host: localhost\r\nContent-Type: application/json\r\nAccept: application/protobuf",
    b"Host: 127.0.0.1:8090\r\nContent-Type: application/x-ndjson\r\nX-Request-Id: a\r\nIdempotency-Key: b",
    b"Host: localhost\r\nContent-Type: application/protobuf\r\nOrigin: http://a:90\r\nAccept-Encoding: gzip",
)
_TOKENS = (
    *CRITICAL, b"?", b"&", b"=", b"%00", b"%2e%2e%2f", b"%", b"+", b"/", b"//", b":", b"limit=",
    b"next=", b"q=", b"pos=",
    b"severity=", b"source=", b"start=", b"stop=", b"order=desc", b"form=2016", b"after=",
    b"wait=0.001", b"filter=",
    b"delimiter=TAB", b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"DELETE ", b" HTTP/1.1\r\n", b"\r\n",
    b"\r\n\r\n",
    b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"Host: evil.example\r\n",
    b"Content-Encoding: gzip\r\n", b"Accept: text/csv\r\n", b"Range: bytes=0-1\r\n", b"0\r\n\r\n",
    b"5\r\nabcde\r\n",
    b"events:batch", b"events:changes", b"events:list", b":exportEvents", b":streamEvents",
    b"Authorization: Basic eA==\r\n",
)  # fmt: skip


class _Request(NamedTuple):
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes


def _valid() -> tuple[bytes, ...]:
    """Return a request for each route and method, with a body, a query and headers of several kinds."""
    found: list[bytes] = []
    for path, routes in PATHS.items():
        for route in routes:
            at = len(found)
            target = (
                path.replace("{instance}", "sim").encode() + b"?" + _QUERIES[at % len(_QUERIES)] * (at % 2)
            )
            body = _BODIES[at % len(_BODIES)] if route.method == "POST" else b""
            head = b"%b %b HTTP/1.1\r\n%b\r\nContent-Length: %d\r\n\r\n"
            found.append(
                head % (route.method.encode(), target, _HEADERS[at % len(_HEADERS)], len(body)) + body
            )
    return tuple(found)


def _parsed(raw: bytes) -> _Request:
    """Take raw bytes for a request, however they are: a server in front of the application is stricter."""
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    method, _, rest = first.partition(" ")
    path, _, query = rest.partition(" ")[0].partition("?")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if body or "content-length" in headers:
        headers["content-length"] = str(len(body))
    return _Request(method, unquote(path), query, headers, body)


def _archive() -> Archive:
    """Return an archive in memory, which is removed at the end of the process."""
    directory = Path(tempfile.mkdtemp(prefix="yamcs-archive-fuzz-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    archive = Archive.open(directory / "a")
    sim = archive.instance("sim", create=True)
    sim.append_many(
        Event(f"event {n}", source=f"S{n % 5}", severity=list(Severity)[n % 7], generation_time=n * 1_000)
        for n in range(300)
    )
    return archive


def _whole(response: Response) -> int:
    """Read an answer as a server does; return its number of bytes."""
    body: Any = response.body
    if isinstance(body, bytes):
        return len(body)
    read = 0
    try:
        for chunk in body:
            read += len(chunk)
            if read > _ANSWER_BYTES_MAX:
                break
    finally:
        body.close()
    return read


def _application() -> Callable[[bytes], bool]:
    archive = _archive()
    core = Application(archive)
    sim = archive.instance("sim")

    def take(raw: bytes) -> bool:
        request = _parsed(raw)
        before = sim.cursor(), archive.instances()
        begun = core.begin(Head(request.method, request.path, request.query, request.headers))
        response = begun.run(request.body) if isinstance(begun, Exchange) else begun
        if isinstance(response, Pending):
            response = response.wait()
        assert isinstance(response, Response)
        _whole(response)
        assert response.status < 500 or response.status == _NOT_IMPLEMENTED, response
        if (
            response.status >= 400 and "batch" not in request.path
        ):  # a batch stores what comes before its fault
            assert (sim.cursor(), archive.instances()) == before, "a refused request changed the archive"
        return response.status < 400

    return take


def _served() -> Callable[[bytes], bool]:
    """Send raw bytes to a server in this process, and then a request that must be answered."""
    from benchmarks.fuzz.serving import serve  # noqa: PLC0415  # needs the extra "server"

    port = serve(_archive())

    def answered(raw: bytes) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            found = b""
            try:
                connection.sendall(raw)
                connection.shutdown(socket.SHUT_WR)
                while len(found) < _ANSWER_BYTES_MAX and (part := connection.recv(1 << 16)):
                    found += part
            except (ConnectionResetError, BrokenPipeError):
                pass  # it has read enough
            return found

    def take(raw: bytes) -> bool:
        found = answered(raw)
        for at, line in enumerate(found.split(b"\r\n")):
            if line.startswith(b"HTTP/1.1 5") and not line.startswith(b"HTTP/1.1 501"):
                raise AssertionError((at, line))
        sound = answered(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert sound.startswith(b"HTTP/1.1 200 "), "the next request is not answered"
        return found.startswith(b"HTTP/1.1 2")

    return take


TARGETS = (
    Target("http", _valid(), _TOKENS, _application, 2),
    Target("socket", _valid(), _TOKENS, _served, 1),
)
"""All targets of this module."""
