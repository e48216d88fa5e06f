"""Reading over HTTP: streams, CSV, pages and searches, from a served store at rest.

The client is a process of its own that only reads bytes (:mod:`benchmarks.reader`). The first time that a
request is sent is not counted; it warms the server up, and the digest covers the numbers of events in these
answers. Figures are medians.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from statistics import median
from urllib.parse import quote

import msgspec

from benchmarks import processes
from benchmarks.contenders import yamcs
from benchmarks.contenders.archive import INSTANCE
from benchmarks.jobs import Job, Outcome
from benchmarks.measures import queries
from benchmarks.measures.http import load
from benchmarks.reader import Asked
from benchmarks.servers import serving
from benchmarks.workload import ABSENT_TEXT, RARE_SOURCE

PAGE_EVENTS = 100
_STREAM_TIMES, _PAGE_TIMES, _SEARCH_TIMES = 3, 200, 5
_ASK_S_MAX = 600
_JSON, _PROTOBUF = "application/json", "application/protobuf"


def prepare(job: Job, directory: Path) -> None:
    """Fill the archive with the job's workload, and compact it; a Yamcs server is filled in each run."""
    if job.contender == "archive":
        queries.prepare(job, directory)


def run(job: Job, directory: Path) -> Outcome:
    """Serve the store, send all requests, and return the rates and times."""
    if job.contender == "yamcs":
        with yamcs.serving(directory) as port:
            load(job, port, yamcs.ROWS_PATH)
            yamcs.compact(port)
            return _asked(job, port, yamcs.INSTANCE, yamcs.versions())
    with serving("archive", directory / "data") as port:
        return _asked(job, port, INSTANCE, {"server": "uvicorn, ASGI"})


def reference(job: Job) -> str:
    """Return the number of events that each answer must have."""
    stored = list(job.workload().stored())
    rare = sum(event.source == RARE_SOURCE for event in stored)
    page = min(PAGE_EVENTS, len(stored))
    return " ".join(map(str, [len(stored)] * 3 + [page, page, min(PAGE_EVENTS, rare), 0]))


def _asked(job: Job, port: int, instance: str, notes: dict[str, str]) -> Outcome:
    figures: dict[str, float] = {}
    counts = []
    for name, request, count in _requests(instance):
        counts.append(count(_whole(port, request)))
        seconds = _read(port, request)
        if name.endswith("_ms"):
            figures[name] = median(seconds) * 1000
        else:
            figures[name] = job.events / median(seconds)
    return Outcome(figures=figures, digest=" ".join(map(str, counts)), notes=notes)


def _requests(instance: str) -> list[tuple[str, Asked, Callable[[bytes], int]]]:
    """Return the name of each figure, its request, and a function that counts the events of an answer."""
    stream, archive = f"/api/stream-archive/{instance}:streamEvents", f"/api/archive/{instance}"
    page = f"{archive}/events?limit={PAGE_EVENTS}"
    rare, absent = f"{page}&source={quote(RARE_SOURCE, safe='')}", f"{page}&q={ABSENT_TEXT}"
    return [
        ("stream_json_events_per_s", Asked("POST", stream, _JSON, _STREAM_TIMES), _in_json),
        ("stream_protobuf_events_per_s", Asked("POST", stream, _PROTOBUF, _STREAM_TIMES), _in_protobuf),
        ("csv_events_per_s", Asked("GET", f"{archive}:exportEvents", "*/*", _STREAM_TIMES), _in_csv),
        ("page_json_ms", Asked("GET", page, _JSON, _PAGE_TIMES), _in_page),
        ("page_protobuf_ms", Asked("GET", page, _PROTOBUF, _PAGE_TIMES), _in_message),
        ("rare_source_ms", Asked("GET", rare, _JSON, _SEARCH_TIMES), _in_page),
        ("absent_text_ms", Asked("GET", absent, _JSON, _SEARCH_TIMES), _in_page),
    ]


def _in_json(body: bytes) -> int:
    return body.count(b'\n  "seqNumber": ')


def _in_protobuf(body: bytes) -> int:
    return sum(1 for _ in yamcs.delimited_in(body))


def _in_csv(body: bytes) -> int:
    return body.count(b"\n") - 1


def _in_page(body: bytes) -> int:
    return len(msgspec.json.decode(body).get("event", []))


def _in_message(body: bytes) -> int:
    return yamcs.page_events(body)


def _whole(port: int, asked: Asked) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ASK_S_MAX)
    try:
        connection.request(asked.method, asked.target, headers={"Accept": asked.accept})
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status != 200:
        raise RuntimeError(f"{asked.method} {asked.target}: {response.status} {body[:500]!r}")
    return body


def _read(port: int, asked: Asked) -> list[float]:
    arguments = processes.command("benchmarks.reader", port)
    printed, said, status = processes.run(arguments, msgspec.json.encode(asked), timeout_s=_ASK_S_MAX)
    if status:
        raise RuntimeError(f"{asked.target}: {said.decode(errors='replace').strip()[-2000:]}")
    return msgspec.json.decode(printed, type=list[float])
