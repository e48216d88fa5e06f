"""Any events, written in any form and compression, are read back as they were, however the bytes come."""

from __future__ import annotations

import gzip
import io
from collections.abc import Sequence
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.cases import CASES
from tests.examples import of_full
from tests.files.reading import events_of, read
from tests.strategies import many, stored_events
from yamcs_archive import Event, InvalidInputError, Severity
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.files.compression import COMPRESSIONS, compression_of, decompressed
from yamcs_archive.files.export import Batch, Kind, write_events
from yamcs_archive.files.forms import FORMS, form_of
from yamcs_archive.files.reading import ReadOptions, Source
from yamcs_archive.importers.file import EventFile
from yamcs_archive.importers.formats import open_reader

KINDS = [Kind(form) for form in FORMS] + [
    Kind(form.name, compression)
    for form in FORMS.values()
    if form.is_appendable
    for compression in COMPRESSIONS
]
by_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.form}-{kind.compression}")
events_with_rarities = [
    Event("", "S", Severity.ERROR, None, 0, 0, 0),
    Event('a "b", c', " S ", Severity.SEVERE, "", -1, -1, -1, "", b"\xa0\x06\x01", {"": "", "k": "\r\n"}),
    Event(
        "\0\r\n\t;é\U0001f680", "a,b", Severity.WATCH, " ", 1_000_001, 2**31 - 1, 2, "ada", b"", {"a": "b"}
    ),
    Event('"', '"', Severity.INFO, '"', 5, 6, 7, '"', b"\0", {'"': '"'}),
]


def written(events: Sequence[Event], kind: Kind, size: int = 1000) -> bytes:
    """The file of these events, in batches of a size; compressed in several members or frames."""
    out = io.BytesIO()
    batches = [
        Batch(StoredVectors.of(Columns.of(events[at : at + size]), commit=0), at)
        for at in range(0, len(events), size)
    ]
    write_events(batches, kind, out, checkpoint=lambda *_: None, checkpoint_s=0)
    return out.getvalue()


class Trickle(io.BytesIO):
    """Gives a few bytes at a time."""

    def __init__(self, body: bytes, size: int) -> None:
        super().__init__(body)
        self._size = size

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._size)


@by_kind
@given(events=st.lists(stored_events, max_size=12) | many(stored_events), size=st.integers(1, 70))
@settings(max_examples=of_full(12), deadline=None)
def test_events_are_read_back_as_they_were(kind: Kind, events: list[Event], size: int) -> None:
    body = written(events, kind, size)
    assert read(body, kind.form) == events


@by_kind
@pytest.mark.parametrize("size", [1, 7, 4096])
def test_rare_values_survive_however_the_bytes_come(kind: Kind, size: int) -> None:
    events = [case.event for case in CASES] + events_with_rarities
    body = written(events, kind, 3)
    source = Source(Trickle(body, size), "file")
    assert events_of(EventFile(open_reader(kind.form, source, ReadOptions()))) == events


@by_kind
def test_a_file_that_is_cut_anywhere_gives_its_first_events_and_then_an_error(kind: Kind) -> None:
    events = [Event(f"m{n}", "S", generation_time=n, seq_number=n, reception_time=n) for n in range(200)]
    body = written(events, kind, 50)
    for cut in {len(body) - 1, len(body) - 9, len(body) // 2, len(body) // 3}:
        found: list[Event] = []
        ended = False
        file = EventFile(open_reader(kind.form, Source(io.BytesIO(body[:cut]), "file"), ReadOptions()))
        try:
            for part in file.parts():
                found += part.events()
            ended = True
        except InvalidInputError as error:
            assert error.position == len(found)
            assert file.place(error.position)
        assert found == events[: len(found)]
        if kind.compression is not None or not kind.is_appendable:
            assert not ended
        elif kind.form != "csv" and cut == len(body) - 1:
            assert ended == (kind.form == "jsonl")  # only its last line feed is missing


@by_kind
def test_a_file_without_events_is_a_file(kind: Kind) -> None:
    assert read(written([], kind), kind.form) == []


def test_names_say_form_and_compression() -> None:
    for form in FORMS.values():
        for suffix in form.suffixes:
            assert form_of(f"A/b.c{suffix.upper()}") == form.name
            assert form_of(f"b{suffix}.zst") == form.name
    assert [compression_of(name) for name in ("a.GZ", "a.jsonl.zst", "a.zstd", "gz", "a.csv")] == [
        *("gzip", "zstd", "zstd"),
        *(None, None),
    ]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_bomb_is_decompressed_in_small_pieces(pack: Any) -> None:
    packed = pack(bytes(64 << 20))
    total = 0
    for piece in decompressed(iter([packed])):
        assert len(piece) <= 32 << 20
        total += len(piece)
    assert total == 64 << 20


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_flipped_and_trailing_bytes_are_errors(pack: Any) -> None:
    packed = pack(b"events" * 1000)
    flipped = packed[:-3] + bytes([packed[-3] ^ 1]) + packed[-2:]
    for body in (flipped, packed + b"more", packed[:-1], packed + packed[:5]):
        with pytest.raises(InvalidInputError):
            list(decompressed(iter([body])))


def test_what_is_not_of_the_form_is_named() -> None:
    for form in FORMS:
        for body in (
            b"\0\1\2 no file of events\n" * 10,
            b"PAR1" + bytes(40) + b"PAR1",
            b"ARROW1\0\0" + bytes(9),
        ):
            with pytest.raises(InvalidInputError):
                read(body, form)
