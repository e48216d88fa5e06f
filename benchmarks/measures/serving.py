"""Peak memory of a process that serves an archive of messages of 1 MiB, under one load after another.

Each load has a server of its own, so that no earlier peak hides its own; the last load is several of them at
once. It is the peak of anonymous memory (RssAnon) of the server's process, as in
:mod:`benchmarks.measures.memory`. Loads that store use an instance of their own, so that all loads read the
same events.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import cycle, islice
from pathlib import Path

import msgspec

from benchmarks.bodies import MEDIA_TYPES, batch_body, json_body
from benchmarks.contenders import factory
from benchmarks.contenders.archive import INSTANCE
from benchmarks.digest import digest
from benchmarks.jobs import Job, Outcome
from benchmarks.measures.ingest import cut
from benchmarks.peak import Peak
from benchmarks.servers import archive_command, running
from yamcs_archive import Event

_SENT = "sent"
"""The instance for loads that store."""
_BATCH_EVENTS, _POSTS = 8, 4
_ANSWER_S_MAX = 300
_READ_BYTES = 1 << 16
_JSON = "application/json"
_ACCEPTED = (_JSON, "application/protobuf")

Call = Callable[[int], None]
"""Sends one request, or several in sequence, to the server at a port."""


def reference(job: Job) -> str:
    """Return the digest of the served events."""
    return digest(job.workload().stored())


def run(job: Job, directory: Path) -> Outcome:
    """Fill an archive, serve it, and return the peak of each load, in MiB."""
    data, events = directory / "data", job.workload().events()
    with factory("archive")(data) as contender:
        for batch in cut(events, 10):
            contender.append(contender.ready(batch))
        contender.settle()
    figures = {f"{name}_mib": _peak_mib(data, calls) for name, calls in _loads(events).items()}
    with factory("archive")(data) as contender:
        answer, notes = digest(contender.scan()), contender.versions()
    return Outcome(figures=figures | {"peak_mib": max(figures.values())}, digest=answer, notes=notes)


def _peak_mib(data: Path, calls: list[Call]) -> float:
    """Serve, make all calls at once, and return the peak of the server's memory."""
    with (
        running(archive_command(data, INSTANCE, _SENT)) as server,
        Peak(server.pid) as peak,
        ThreadPoolExecutor(len(calls)) as clients,
    ):
        for done in [clients.submit(call, server.port) for call in calls]:
            done.result()
    return peak.peak_bytes / 2**20


def _loads(events: list[Event]) -> dict[str, list[Call]]:
    page = f"/api/archive/{INSTANCE}/events?limit=1000&order=asc"
    changes = f"/api/archive/{INSTANCE}/events:changes?limit=1000"
    stream = f"/api/stream-archive/{INSTANCE}:streamEvents"

    def read(method: str, target: str, times: int) -> list[Call]:
        return [partial(_read, method, target, accept) for accept in islice(cycle(_ACCEPTED), times)]

    loads: dict[str, list[Call]] = {
        "page": read("GET", page, 1),
        "stream": read("POST", stream, 1),
        "pages_16": read("GET", page, 16),
        "streams_8": read("POST", stream, 8),
        "changes_16": read("GET", changes, 16),
        "batches_30": [partial(_send_batch, of) for of in _sent(events, 30)],
        "posts_64": [partial(_post, of) for of in _sent(events, 64)],
    }
    return loads | {"together": [*loads["pages_16"], *loads["streams_8"], *loads["batches_30"]]}


def _sent(events: list[Event], times: int) -> list[list[Event]]:
    """Return, for each client, the first events, with a source of its own."""
    return [
        [msgspec.structs.replace(event, source=f"Client{nth}") for event in events[:_BATCH_EVENTS]]
        for nth in range(times)
    ]


def _read(method: str, target: str, accept: str, port: int) -> None:
    _exchange(port, method, target, accept=accept)


def _send_batch(events: list[Event], port: int) -> None:
    lines = (batch_body([event], "ndjson") for event in events)
    target = f"/api/archive/{_SENT}/events:batch"
    answer = _exchange(port, "POST", target, lines, media=MEDIA_TYPES["ndjson"])
    counts = msgspec.json.decode(answer)
    if counts["stored"] + counts["duplicates"] != len(events):
        raise RuntimeError(f"{len(events)} events were sent: {answer[:500]!r}")


def _post(events: list[Event], port: int) -> None:
    for event in events[:_POSTS]:
        _exchange(port, "POST", f"/api/archive/{_SENT}/events", json_body(event), media=_JSON)


def _exchange(
    port: int,
    method: str,
    target: str,
    body: bytes | Iterable[bytes] | None = None,
    *,
    accept: str = _JSON,
    media: str = _JSON,
) -> bytes:
    """Send a request, read the answer to its end, and return its beginning; RuntimeError if it is no 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S_MAX)
    try:
        connection.request(method, target, body, {"Accept": accept, "Content-Type": media})
        response = connection.getresponse()
        if response.status != 200:
            raise RuntimeError(f"{method} {target}: {response.status} {response.read(500)!r}")
        begin = response.read(_READ_BYTES)
        while response.read(_READ_BYTES):
            pass
    finally:
        connection.close()
    return begin
