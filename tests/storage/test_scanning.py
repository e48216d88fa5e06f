"""Events as vectors are the same as events one by one, in the same order, in every form of storage."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Archive, Event, Options, Severity
from yamcs_archive.wire import csv, json, protobuf
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.columns import encoder
from yamcs_archive.wire.protobuf_scan import varint

OPTIONS = Options(block_events_max=16, run_events_min=8, maintenance=False, read_events_max=5)
SOURCES = ("GNC", "gnc", "EPS", "é")

events = st.builds(
    Event,
    message=st.sampled_from(["Wheel 3 over speed", "WHEEL", "Straße", "", 'a\t"b"\n', "\U0001f680"]),
    source=st.sampled_from(SOURCES),
    severity=st.sampled_from(Severity),
    type=st.sampled_from([None, "", "FDIR", "Test"]),
    generation_time=st.integers(-3, 60).map(lambda at: 400_000 * at),
    seq_number=st.integers(-1, 3),
    reception_time=st.integers(0, 5),
    created_by=st.sampled_from([None, None, "flight"]),
    extra=st.sampled_from([{}, {}, {"k": "v"}]),
    extensions=st.sampled_from([b"", b"", bytes.fromhex("a00601")]),
)
batches = st.lists(st.tuples(st.lists(events, max_size=40), st.booleans()), min_size=1, max_size=6)
instants = st.none() | st.integers(-3, 60).map(lambda at: 400_000 * at)
questions = st.fixed_dictionaries(
    {},
    optional={
        "start": instants,
        "stop": instants,
        "sources": st.none() | st.lists(st.sampled_from([*SOURCES, "nobody"]), max_size=2),
        "min_severity": st.none() | st.sampled_from(Severity),
        "text": st.none() | st.sampled_from(["", "wheel", "SS", "nothing"]),
        "filter": st.none()
        | st.sampled_from(["wheel", "type=null -eps", "severity<severe", "extra.k=v", "source:g OR strasse"]),
    },
)


@given(batches, st.lists(questions, min_size=1, max_size=6))
def test_vectors_hold_the_events_that_are_found_one_by_one(
    stored: list[tuple[list[Event], bool]], asked: list[dict[str, Any]]
) -> None:
    with TemporaryDirectory() as directory, Archive.open(Path(directory) / "a", options=OPTIONS) as archive:
        sim = archive.instance("sim", create=True)
        for batch, settles in stored:
            sim.append_many(batch)
            if settles:
                sim.settle()
        for question in asked:
            expected = list(sim.events(**question))
            found = list(sim.event_vectors(**question))
            assert all(part.size for part in found)
            assert list(chain.from_iterable(part.events() for part in found)) == expected
            assert b"".join(map(encoder.encode_json_stream, found)) == b"".join(
                json.encode(json.shown(event, Form.TODAY)) for event in expected
            )
            messages = [protobuf.encode_event(event, Form.TODAY) for event in expected]
            assert b"".join(map(encoder.encode_protobuf_stream, found)) == b"".join(
                varint(len(message)) + message for message in messages
            )
            assert b"".join(encoder.encode_csv_rows(part, "\t") for part in found) == b"".join(
                csv.lines(expected, csv.PLAIN, "\t")
            )
