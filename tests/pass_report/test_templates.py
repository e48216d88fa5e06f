"""Templates found by keys, thousands at once, are those of each message by itself, whatever is in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Archive, Event, Severity, StoredVectors
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import PackedMessages
from yamcs_archive.pass_report.analysis.known_texts import UNKNOWN, KnownTexts
from yamcs_archive.pass_report.analysis.masking import template_of
from yamcs_archive.pass_report.analysis.template_counts import TemplateCounts
from yamcs_archive.pass_report.limits import TEMPLATES_LISTED_MAX

BASE = 1_800_000_000_000_000


class Packed:
    """Events whose messages are at hand as a block has them: at ``order``, among others."""

    def __init__(self, events: StoredVectors, order: Sequence[int], others: Sequence[str]) -> None:
        texts = dict(zip(order, events.messages, strict=True))
        left = iter(others)
        lying = [texts[index] if index in texts else next(left) for index in range(len(order) + len(others))]
        text = bytes(msgspec.json.encode(lying))
        is_order = list(order) == list(range(len(lying)))
        self.packed_messages = PackedMessages(
            np.frombuffer(text, np.uint8),
            len(lying),
            None if is_order else np.array(order, np.intp),
            b"\\" in text,
        )
        self._events = events

    def __getattr__(self, name: str) -> Any:
        assert name != "messages", "a text of each message is not needed"
        return getattr(self._events, name)


def stored(messages: Sequence[str], first: int = 0) -> StoredVectors:
    events = [
        Event(text, "A", Severity.INFO, None, BASE + first + at, first + at, BASE)
        for at, text in enumerate(messages)
    ]
    return StoredVectors.of(Columns.of(events), commit=1)


def found(counts: TemplateCounts) -> dict[str, tuple[int, int, int, str]]:
    assert counts.untold == 0
    return {
        each.text: (each.events, each.first_time - BASE, each.last_time - BASE, each.example)
        for each in counts.rarest(TEMPLATES_LISTED_MAX)
    }


def plain(messages: Sequence[str]) -> dict[str, tuple[int, int, int, str]]:
    """The same, one message after the other."""
    expected: dict[str, tuple[int, int, int, str]] = {}
    for at, text in enumerate(messages):
        cut = text if len(text) <= 500 else f"{text[:500]}… ({len(text)} characters)"
        events, first, _, example = expected.get(template_of(text), (0, at, at, cut))
        expected[template_of(text)] = events + 1, first, at, example
    return expected


# What keys leave out, what JSON escapes, what looks like the end of a message, and what fills rows.
pieces = st.sampled_from(
    [
        *("Step ", "12", "7", "9", "0x1F", "10:00:00", ":", "/", "°", "😀"),
        *('"', "\\", "\\\\", '\\"', "\\u", "u001", "\n", "\x1f", "\0", "\x7f", '","', '"]["'),
        *("a" * 60, "b" * 130, "c" * 400),
    ]
)
messages_of_pieces = st.lists(pieces, max_size=6).map("".join)


@given(
    st.lists(st.lists(messages_of_pieces | st.text(max_size=20), min_size=1, max_size=12), max_size=5),
    st.data(),
)
def test_templates_are_those_of_each_message(batches: list[list[str]], data: st.DataObject) -> None:
    known_bytes = data.draw(st.sampled_from([24 << 20, 4096, 600, 0]))
    counts = TemplateCounts(None, known_bytes_max=known_bytes)
    first = 0
    for batch in batches:
        events = stored(batch, first)
        if data.draw(st.booleans()):
            counts.add(events)
        else:
            others = data.draw(st.lists(messages_of_pieces, max_size=3))
            order = data.draw(st.permutations(range(len(batch) + len(others))))[: len(batch)]
            counts.add(Packed(events, order, others))
        first += len(batch)
    assert found(counts) == plain([text for batch in batches for text in batch])


@pytest.mark.parametrize("length", [0, 1, 127, 128, 129, 511, 512, 513, 4096, 4097])
def test_keys_of_all_lengths(length: int) -> None:
    texts = [
        "x" * length,
        "x" * (length - 1) + "7" if length else "",
        "é" * (length // 2),
        "x" * length + "4",
    ]
    counts = TemplateCounts(None)
    for first in (0, 4):
        counts.add(stored(texts, first))
    assert found(counts) == plain(texts * 2)


def test_messages_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    # A hash is now the sum of the words of eight bytes.
    texts = ["a" * 8 + "b" * 8, "b" * 8 + "a" * 8, "a" * 8 + "c" * 8, "a" * 150 + "b" * 2, "c" * 8 + "a" * 8]
    counts = TemplateCounts(None)
    for first in range(0, 3 * len(texts), len(texts)):
        counts.add(stored(texts, first))
    assert found(counts) == plain(texts * 3)


def rows(known: KnownTexts, texts: Sequence[str]) -> Any:
    encoded = [text.encode() for text in texts]
    lengths = np.array([len(text) for text in encoded], np.intp)
    starts = np.cumsum(lengths) - lengths
    return known.rows(np.frombuffer(b"".join(encoded) + bytes(known.width), np.uint8), starts, lengths)


def test_thousands_of_texts_are_known() -> None:
    known = KnownTexts(64, texts_max=10_000)
    texts = [f"{number:x}" for number in range(5_000)]
    for at in (0, 10, 1_500, 1_501, 3_000, 4_999):
        some = texts[at : at + 2_000]
        numbers = known.find(rows(known, some))
        new = np.flatnonzero(numbers == UNKNOWN)
        assert len(known.add(rows(known, [some[index] for index in new]), new + at)) == 0
    every = known.find(rows(known, texts))
    assert every.tolist() == list(range(5_000))
    assert known.find(rows(known, [f"{text} " for text in texts])).tolist() == [UNKNOWN] * 5_000


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_once_there_is_no_room_all_texts_are_forgotten(more: int) -> None:
    known = KnownTexts(64, texts_max=4)
    first, second = rows(known, "ab"), rows(known, "cdefg"[: 2 + more])
    assert len(known.add(first, np.arange(2))) == 0
    assert len(known.add(second, np.arange(len(second)))) == 0
    assert known.find(second).tolist() == list(range(len(second)))
    assert known.find(first).tolist() == ([0, 1] if more <= 0 else [UNKNOWN] * 2)


def test_more_texts_than_there_may_be() -> None:
    known = KnownTexts(64, texts_max=2)
    texts = rows(known, "abc")
    [left] = known.add(texts, np.arange(3)).tolist()
    assert known.find(texts).tolist() == [UNKNOWN if at == left else at for at in range(3)]


@pytest.mark.parametrize("sources", [None, ["A"], ["A", "C"]])
def test_templates_of_blocks(tmp_path: Path, sources: list[str] | None) -> None:
    kinds = (
        "Step {}",
        'say "{}"',
        "path C:\\{}",
        "bell \x07 {}",
        "Höhe {} °C",
        "{}",
        "long " + "y" * 700 + " {}",
    )
    events = [
        Event(kinds[at * 7919 % len(kinds)].format(at), "ABC"[at % 31 % 3], generation_time=BASE + at)
        for at in range(12_000)
    ]
    wanted = [event for event in events if sources is None or event.source in sources]
    with Archive.open(tmp_path / "data") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events)
        sim.settle()
        report = sim.report(sources=sources)
    assert report is not None
    assert {each.text: each.events for each in report.templates} == {
        text: events for text, (events, *_) in plain([event.message for event in wanted]).items()
    }
