"""Events -> Arrow -> events: nothing is lost, in the archive's own form, and in those of other libraries."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from tests.strategies import many, stored_events
from yamcs_archive import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.frames import batches as batches_module
from yamcs_archive.frames.batches import batches
from yamcs_archive.frames.columns import ALL_COLUMNS, Selection
from yamcs_archive.frames.events import columns_from
from yamcs_archive.frames.parquet import ParquetSink
from yamcs_archive.frames.schema import schema_of
from yamcs_archive.storage.write.validation import prepare

event_lists = st.lists(stored_events, min_size=1, max_size=20) | many(stored_events)


def table_of(events: list[Event], parts: int = 1) -> pa.Table:
    size = -(-len(events) // parts)
    cut = [events[start : start + size] for start in range(0, len(events), size)]
    vectors = [StoredVectors.of(prepare(part, int), commit=1) for part in cut]
    selection = Selection.of(ALL_COLUMNS)
    return pa.Table.from_batches(list(batches(vectors, selection)), schema_of(selection))


def read_back(data: Any) -> list[Event]:
    return [event for columns in columns_from(data) for event in columns.events()]


@given(event_lists, st.integers(1, 3))
def test_all_columns_lose_nothing(events: list[Event], parts: int) -> None:
    table = table_of(events, parts)
    table.validate(full=True)
    assert read_back(table) == events
    assert table["level"].to_pylist() == [event.severity.rank for event in events]


@given(event_lists)
@settings(max_examples=of_full(30))
def test_parquet_and_ipc_lose_nothing(events: list[Event]) -> None:
    table = table_of(events)
    parquet, stream = BytesIO(), BytesIO()
    with ParquetSink(parquet.write, table.schema) as sink:
        for batch in table.to_batches():
            sink.add(batch)
    parquet.seek(0)
    found = pq.read_table(parquet)
    assert found.schema.equals(table.schema)
    assert read_back(found) == events
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    assert read_back(pa.ipc.open_stream(stream.getvalue())) == events


@given(event_lists)
@settings(max_examples=of_full(20))
def test_frames_of_others_lose_nothing(events: list[Event]) -> None:
    table = table_of(events)
    relation = duckdb.connect().from_arrow(table).project("* exclude (commit)")
    assert read_back(relation) == events
    assert read_back(pl.DataFrame(table)) == events
    parquet = BytesIO()
    pl.DataFrame(table).write_parquet(parquet)
    assert read_back(pq.read_table(parquet)) == events


@given(event_lists, st.data())
def test_slices_of_a_batch_are_read_as_such(events: list[Event], data: st.DataObject) -> None:
    [batch] = table_of(events).to_batches()
    start = data.draw(st.integers(0, len(events) - 1))
    stop = data.draw(st.integers(start, len(events)))
    assert read_back(batch.slice(start, stop - start)) == events[start:stop]


@pytest.mark.parametrize("most", [5, 6, 7])
def test_a_dictionary_grows_to_its_bound_and_begins_anew(most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, "DICTIONARY_MAX", most)
    monkeypatch.setattr(batches_module, "JOINED_EVENTS", 1)
    events = [
        Event("a", "S", type=f"type {n}", generation_time=n, seq_number=n, reception_time=n)
        for n in range(12)
    ]
    table = table_of(events, 4)
    sizes = [len(chunk.dictionary) for chunk in table["type"].chunks]
    assert sizes == ([3, 3, 3, 3] if most < 6 else [3, 6, 3, 6])
    assert [len(chunk.dictionary) for chunk in table["source"].chunks] == [1] * 4
    assert read_back(table) == events


@pytest.mark.parametrize("bound", ["JOINED_EVENTS", "JOINED_BYTES", "HELD_BYTES"])
@given(events=event_lists)
@settings(max_examples=of_full(15))
def test_parts_are_the_same_joined_or_not(bound: str, events: list[Event]) -> None:
    whole = table_of(events, len(events))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batches_module, bound, 0)
        apart = table_of(events, len(events))
    assert (whole["time"].num_chunks, apart["time"].num_chunks) == (1, len(events))
    assert read_back(whole) == read_back(apart) == events
    assert whole.to_pylist() == apart.to_pylist()
