"""Tables over HTTP: every route that reads events answers them in Arrow and Parquet, whole or not at all."""

from __future__ import annotations

import gzip
import http.client
import sys
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

from tests.http.feeds import Feed, uvicorn_server, waitress_server
from tests.http.history import EXPORT, HISTORY, LIST, STREAM
from tests.http.test_api import error_of
from tests.http.test_streams import opened
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import Vectors
from yamcs_archive.frames import batches as batches_module
from yamcs_archive.frames.columns import EVENT_COLUMNS
from yamcs_archive.frames.events import columns_from
from yamcs_archive.http.application import Application
from yamcs_archive.storage.lmdb_store import LmdbStore
from yamcs_archive.wire import tables
from yamcs_archive.wire.tables import ARROW, PARQUET

FORMS = [ARROW, PARQUET]


@pytest.fixture
def history(sim: Instance) -> Instance:
    sim.append_many(HISTORY)
    return sim


def table_in(media: str, body: bytes) -> pa.Table:
    return pa.ipc.open_stream(body).read_all() if media == ARROW else pq.read_table(BytesIO(body))


def events_in(media: str, body: bytes) -> list[Event]:
    return [event for part in columns_from(table_in(media, body)) for event in part.events()]


@pytest.mark.parametrize("media", FORMS)
@pytest.mark.parametrize(
    "asked",
    [("GET", LIST, True), ("POST", f"{LIST}:list", True), ("POST", STREAM, False), ("GET", EXPORT, False)],
    ids=["page", "posted page", "stream", "export"],
)
def test_every_route_of_events_answers_a_table_that_loses_nothing(
    send: Feed, history: Instance, asked: tuple[str, str, bool], media: str
) -> None:
    method, target, descending = asked
    answer = send(method, target, headers={"Accept": media})
    assert (answer.status, answer.headers["content-type"]) == (200, media)
    assert events_in(media, answer.body) == (HISTORY[::-1] if descending else HISTORY)
    assert table_in(media, answer.body).schema.names == list(EVENT_COLUMNS)


@pytest.mark.parametrize("media", FORMS)
def test_columns_and_filters(send: Feed, history: Instance, media: str) -> None:
    query = "?columns=message,level&columns=time&extra_columns=n&extra_columns=a,b"
    headers = {"Accept": media}
    body = b'{"severity": "distress", "source": ["LA", "LB"]}'
    found = table_in(media, send("POST", STREAM + query, body, headers).body)
    assert found.schema.names == ["message", "level", "time", "n", "a,b"]
    assert found.to_pydict()["message"] == ["ALPHA lost", " padded "]
    assert found.to_pydict()["level"] == [3, 5]
    assert found.to_pydict()["n"] == ["3", None]
    wildcards = table_in(media, send("GET", f"{EXPORT}?columns=message&q=al%25t", headers=headers).body)
    assert wildcards.to_pydict() == {"message": ["alpha start", "ALPHA lost"]}
    nothing = table_in(media, send("GET", f"{EXPORT}?columns=commit&source=nosuch", headers=headers).body)
    assert (nothing.num_rows, nothing.schema.names) == (0, ["commit"])
    assert table_in(media, send("GET", f"{LIST}?source=nosuch", headers=headers).body).num_rows == 0
    assert table_in(media, send("GET", f"{EXPORT}?columns=all", headers=headers).body).num_rows == len(
        HISTORY
    )


@pytest.mark.parametrize("media", FORMS)
def test_the_token_of_a_page_is_in_a_header(send: Feed, history: Instance, media: str) -> None:
    found, token = [], ""
    for _ in range(4):
        answer = send("GET", f"{LIST}?order=asc&limit=3&next={token}", headers={"Accept": media})
        found += events_in(media, answer.body)
        token = answer.headers.get("continuation-token", "")
        if not token:
            break
    assert found == HISTORY


def test_accept_decides(send: Feed, history: Instance) -> None:
    json = "application/json"
    for accept, media in (
        ("*/*", json),
        (f"{ARROW}, */*", json),
        (f"{ARROW}, */*;q=0.5", ARROW),
        (f"{PARQUET};q=0.5, {ARROW};q=0.4", PARQUET),
        (f"{PARQUET}, application/protobuf", "application/protobuf"),
        (f"{ARROW};q=0, {PARQUET};q=0.1", PARQUET),
    ):
        for method, target in (("GET", LIST), ("POST", STREAM)):
            assert send(method, target, headers={"Accept": accept}).headers["content-type"] == media
    for accept, media in (
        ("*/*", "text/csv"),
        (f"text/csv, {ARROW}", "text/csv"),
        (f"text/csv;q=0.1, {ARROW}", ARROW),
    ):
        assert send("GET", EXPORT, headers={"Accept": accept}).headers["content-type"] == media


@pytest.mark.parametrize(("media", "ending"), [(ARROW, "arrows"), (PARQUET, "parquet")])
def test_an_export_has_a_name_and_a_head(send: Feed, history: Instance, media: str, ending: str) -> None:
    for method in ("GET", "HEAD"):
        answer = send(method, EXPORT, headers={"Accept": media})
        assert answer.headers["content-disposition"].endswith(f'.{ending}"')
        assert answer.headers["content-type"] == media


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (f"{EXPORT}?columns=mesage", "columns 'mesage': is no column; did you mean 'message'?"),
        (f"{EXPORT}?columns=time&extra_columns=time", "extra_columns 'time': is the name of another column"),
        (f"{LIST}?columns=commit", "columns 'commit': is not known in a page"),
        (f"{EXPORT}?severity=bad", "severity 'bad'"),
    ],
)
def test_a_wrong_request_is_an_error_in_json(send: Feed, history: Instance, target: str, said: str) -> None:
    answer = send("GET", target, headers={"Accept": ARROW})
    assert said in error_of(answer, 400, "BadRequestException")


def test_without_pyarrow_the_answer_says_so(
    send: Feed, history: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for method, target in (("GET", LIST), ("POST", STREAM), ("GET", EXPORT)):
        answer = send(method, target, headers={"Accept": PARQUET})
        assert "without the package pyarrow" in error_of(answer, 501, "NotImplementedException")
        assert send(method, target).status == 200


def test_gzip_is_for_arrow_only(send: Feed, sim: Instance) -> None:
    sim.append_many(Event(f"Wheel {n} over speed", generation_time=n) for n in range(500))
    for media in FORMS:
        answer = send("POST", STREAM, headers={"Accept": media, "Accept-Encoding": "gzip"})
        packed = answer.headers.get("content-encoding") == "gzip"
        assert packed == (media == ARROW)
        assert table_in(media, gzip.decompress(answer.body) if packed else answer.body).num_rows == 500


def many(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "GROUP_BYTES", 1 << 14)
    monkeypatch.setattr(batches_module, "JOINED_EVENTS", 100)
    sim.append_many(Event(f"Wheel {n} over speed", generation_time=n, seq_number=n) for n in range(2000))


@pytest.mark.parametrize("media", FORMS)
def test_a_fault_midway_does_not_end_cleanly(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, media: str
) -> None:
    many(sim, monkeypatch)
    whole = LmdbStore.scan_lazily

    def failing(self: LmdbStore, query: Any) -> Iterator[Vectors]:
        yield from whole(self, query)
        yield from whole(self, query)
        raise DamagedError("blocks 00", "checksum")

    monkeypatch.setattr(LmdbStore, "scan_lazily", failing)
    chunks: Any = opened(Application(archive), "POST", STREAM, accept=media).body
    first = next(chunks)
    with pytest.raises(DamagedError):
        list(chunks)
    if media == PARQUET:
        with pytest.raises(pa.ArrowInvalid):
            pq.read_table(BytesIO(first))
    for server in (uvicorn_server, waitress_server):
        with server(archive) as port:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("POST", STREAM, b"", {"Accept": media})
            response = connection.getresponse()
            with pytest.raises(http.client.IncompleteRead):
                response.read()
            connection.close()


@pytest.mark.parametrize("media", FORMS)
def test_what_is_written_is_bounded(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, media: str
) -> None:
    many(sim, monkeypatch)
    sim.append_many(Event("x" * (1 << 20), generation_time=n) for n in range(20))
    chunks: Any = opened(Application(archive), "POST", STREAM, accept=media).body
    sizes = [len(chunk) for chunk in chunks]
    assert len(sizes) > 4
    assert max(sizes) < 12 << 20


def test_polars_reads_an_export_by_its_url(archive: Archive, history: Instance) -> None:
    with uvicorn_server(archive) as port:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}{EXPORT}", headers={"Accept": ARROW})
        with urllib.request.urlopen(asked) as answer:
            frame = pl.read_ipc_stream(answer.read())
    assert frame["message"].to_list() == [event.message for event in HISTORY]
