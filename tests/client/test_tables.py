"""Tables of a served instance are those of the archive itself, also after a stream that breaks off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from tests.client.scripted import answer, scripted
from tests.frames.test_table import day, read_back, run
from tests.http.feeds import uvicorn_at
from yamcs_archive import (
    Archive,
    Client,
    Event,
    Instance,
    InvalidInputError,
    MissingPackageError,
    RemoteInstance,
    ServerRefusedError,
    ServerUnavailableError,
    UnknownInstanceError,
)
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.frames.batches import batches
from yamcs_archive.frames.columns import ALL_COLUMNS, Selection
from yamcs_archive.frames.schema import schema_of
from yamcs_archive.http.query import EventQuery
from yamcs_archive.wire.tables import ARROW, encode_table

Both = tuple[Instance, RemoteInstance]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    with Archive.open(tmp_path_factory.mktemp("archive")) as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(
            [*day(300), Event("100 % full?", generation_time=1000), Event("100 x full", generation_time=1001)]
        )
        with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
            yield sim, client.instance("sim")


def test_a_served_table_loses_nothing(both: Both, tmp_path: Path) -> None:
    sim, served = both
    events = list(sim.events())
    table = served.table()
    assert read_back(table) == events
    assert repr(table) == repr(sim.table())
    assert table.count() == len(events)
    assert table.to_arrow().equals(sim.table().to_arrow())
    assert table.to_parquet(tmp_path / "day.parquet") == len(events)
    columns = sim.table(columns=ALL_COLUMNS).to_arrow()
    assert served.table(columns=ALL_COLUMNS).to_arrow().equals(columns)
    assert pl.DataFrame(table).shape == table.to_polars().shape == pd.DataFrame.from_arrow(table).shape
    table_ = table
    assert table_ is table
    counted: Any = duckdb.sql("select count(*) from table_")
    assert counted.fetchall() == [(len(events),)]


def test_columns_and_filters_are_those_of_the_archive(both: Both) -> None:
    asked: list[dict[str, Any]] = [
        {"columns": ["level", "message"], "start": 20, "stop": 200},
        {"columns": ["message"], "extra_columns": ["torque", "a,b&c"], "sources": ["EPS"]},
        {"min_severity": "critical", "filter": "source=aocs"},
        {"columns": ["source"], "text": "STEP 15"},
        {"columns": ["source"], "text": "100 % FULL?"},
        {"text": "x" * 5000},
        {"sources": []},
        {"columns": ["commit"], "sources": ["nosuch"]},
    ]
    sim, served = both
    for asking in asked:
        found, expected = served.table(**asking), sim.table(**asking)
        assert found.schema == expected.schema
        assert found.to_arrow().to_pylist() == expected.to_arrow().to_pylist(), asking
        assert found.count() == expected.count()


def test_wrong_arguments_and_absent_instances(both: Both) -> None:
    _, served = both
    asked: list[dict[str, Any]] = [
        {"columns": ["mesage"]},
        {"min_severity": "warn"},
        {"start": "yesterday"},
        {"filter": "severity>"},
    ]
    for asking in asked:
        with pytest.raises(InvalidInputError):
            served.table(**asking)
    with pytest.raises(InvalidInputError, match="extra_columns 'time'"):
        served.table(columns=["message"], extra_columns=["time"]).to_arrow()
    with Client(served.url) as client, pytest.raises(UnknownInstanceError):
        client.instance("nosuch", check=False).table().to_arrow()


def test_a_server_without_pyarrow_is_named(both: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    table = both[1].table()

    def missing(*_: Any) -> Any:  # of the server, which is in this process
        raise MissingPackageError("pyarrow", "install it")

    monkeypatch.setattr(EventQuery, "record_batches", missing)
    with pytest.raises(ServerRefusedError, match="without the package pyarrow; install it there") as caught:
        table.to_arrow()
    assert caught.value.status == 501


EVENTS = [
    Event(f"m{n}", source="S", generation_time=n // 2, seq_number=n, reception_time=1) for n in range(6)
]
HEAD = f"HTTP/1.1 200 OK\r\ncontent-type: {ARROW}\r\ntransfer-encoding: chunked\r\n\r\n".encode()


def stream_of(*parts: list[Event], columns: tuple[str, ...]) -> list[bytes]:
    """The pieces of a stream with a batch for each part."""
    selection = Selection.of(columns)
    made = [batch for part in parts for batch in batches([StoredVectors.of(Columns.of(part), 1)], selection)]
    return list(encode_table(ARROW, schema_of(selection), iter(made)))


def chunks(pieces: list[bytes]) -> bytes:
    return HEAD + b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)


@pytest.mark.parametrize("broken_bytes", [0, 5, 200])
def test_a_broken_stream_is_continued_after_its_last_event(broken_bytes: int) -> None:
    columns = ("message", "time", "source", "seq_number")
    first = stream_of(EVENTS[:3], EVENTS[3:], columns=columns)
    broken = chunks([first[0], first[1][:broken_bytes]])
    rest = chunks(stream_of(EVENTS[2:4], EVENTS[4:], columns=columns)) + b"0\r\n\r\n"  # from its time on
    seen: list[bytes] = []
    with scripted([broken], [rest], seen=seen) as url, Client(url, retries=0) as client:
        table = client.instance("sim", check=False).table(columns=["message"])
        assert table.to_arrow()["message"].to_pylist() == [event.message for event in EVENTS]
    assert b"columns=message%2Ctime%2Csource%2Cseq_number" in seen[0]
    assert b'"start":"1970-01-01T00:00:00.000001Z"' in seen[1]
    with scripted([broken], [HEAD]) as url, Client(url, retries=0) as client:
        found = client.instance("sim", check=False).table(columns=["message"]).batches()
        assert next(found).num_rows == 3
        with pytest.raises(ServerUnavailableError, match="broke off"):
            next(found)


def test_a_broken_stream_without_messages_is_continued_too() -> None:
    columns = ("time", "source", "seq_number")
    first = stream_of(EVENTS[:3], EVENTS[3:], columns=columns)
    rest = chunks(stream_of(EVENTS[2:], columns=columns)) + b"0\r\n\r\n"
    with scripted([chunks(first[:1])], [rest]) as url, Client(url, retries=0) as client:
        table = client.instance("sim", check=False).table(columns=["time", "seq_number"])
        assert table.to_arrow()["seq_number"].to_pylist() == list(range(6))


@pytest.mark.parametrize("body", [b"", b"no stream at all", b"\xff\xff\xff\xff\x10\0\0\0"])
def test_what_is_no_table_is_said(body: bytes) -> None:
    for sent, said in (
        (answer(body, media=ARROW), "it streams what is no table"),
        (answer(b"{}", media="application/json"), f"not {ARROW}"),
    ):
        with scripted([sent]) as url, Client(url, retries=0) as client:
            table = client.instance("sim", check=False).table()
            with pytest.raises(ServerRefusedError, match=said):
                table.to_arrow()


def test_a_client_without_tables_does_not_load_pyarrow() -> None:
    code = "import sys, yamcs_archive; yamcs_archive.Client; print('pyarrow' in sys.modules)"
    assert run(code, Path("/")).split() == ["False"]
