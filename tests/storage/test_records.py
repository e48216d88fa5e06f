"""Stored records: every record round-trips, and flipped bits are detected."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import keys, stored_events
from yamcs_archive import Event, EventKey
from yamcs_archive.errors import BadCursorError, DamagedError, FormatVersionError
from yamcs_archive.storage.format.checksum import Checksummed
from yamcs_archive.storage.format.commits import (
    CommitRecord,
    Cursor,
    Run,
    commit_key,
    decode_commit,
    decode_cursor,
    encode_commit,
    encode_cursor,
)
from yamcs_archive.storage.format.keys import encode_key
from yamcs_archive.storage.format.meta import Meta, decode_meta, encode_meta
from yamcs_archive.storage.format.rows import Row, decode_row, decode_rows, encode_rows
from yamcs_archive.storage.format.source_states import SourceState, decode_source, encode_source
from yamcs_archive.storage.write.validation import prepare

commit_numbers = st.integers(1, 2**63 - 1)
counts = st.integers(0, 2**40)


def encoded(event: Event, commit: int = 1) -> tuple[bytes, bytes]:
    [pair] = encode_rows(prepare([event], int), commit)
    return pair


def flipped(value: bytes, bit: int) -> bytes:
    at = bit % (8 * len(value))
    return bytes(byte ^ (1 << at % 8) if index == at // 8 else byte for index, byte in enumerate(value))


@given(stored_events, commit_numbers)
def test_every_row_round_trips(event: Event, commit: int) -> None:
    assert decode_row(*encoded(event, commit)) == Row(event, commit)


@given(stored_events, st.integers(0, 2**20))
def test_a_flipped_bit_in_a_row_is_detected(event: Event, bit: int) -> None:
    key, value = encoded(event)
    with pytest.raises(DamagedError, match="rows"):
        decode_row(key, flipped(value, bit))


@given(st.lists(st.tuples(stored_events, st.integers(1, 2**62)), min_size=1, max_size=20))
def test_many_rows_are_decoded_as_one_by_one(stored: list[tuple[Event, int]]) -> None:
    found = decode_rows([encoded(event, commit) for event, commit in stored])
    assert list(found.events()) == [event for event, _ in stored]
    assert found.commits.tolist() == [commit for _, commit in stored]


@given(st.lists(stored_events, min_size=1, max_size=5), st.data())
def test_a_flipped_bit_among_many_rows_is_detected(events: list[Event], data: st.DataObject) -> None:
    pairs = [encoded(event) for event in events]
    at = data.draw(st.integers(0, len(pairs) - 1))
    key, value = pairs[at]
    pairs[at] = key, flipped(value, data.draw(st.integers(0, 2**20)))
    with pytest.raises(DamagedError, match=key.hex()):
        decode_rows(pairs)


@given(stored_events, keys)
def test_a_row_under_another_key_is_detected(event: Event, other: EventKey) -> None:
    key, value = encoded(event)
    if encode_key(*other) != key:
        with pytest.raises(DamagedError):
            decode_row(encode_key(*other), value)


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x90", b"\x94\x01\x02\x63\xa1x", b"\x01"])
def test_a_row_with_a_right_checksum_and_wrong_content_is_damage(body: bytes) -> None:
    key = encode_key(0, "A", 0)
    with pytest.raises(DamagedError):
        decode_row(key, Checksummed("rows").wrap(key, body))


moments = st.integers(-(2**60), 2**60)


@given(
    st.integers(1, 2**63),
    st.lists(st.tuples(moments, counts), min_size=1, max_size=20),
    st.lists(st.tuples(keys, keys).map(lambda pair: Run(*sorted(encode_key(*key) for key in pair)))),
)
def test_every_commit_record_round_trips(first: int, commits: list[tuple[int, int]], runs: list[Run]) -> None:
    times, events = zip(*commits, strict=True)
    record = CommitRecord(first, times, events, tuple(runs))
    assert decode_commit(*encode_commit(record)) == record
    assert record.last == first + len(commits) - 1


@pytest.mark.parametrize(
    "body", [b"\x94\x02\x00\x00\x90", b"\x91\x00", b"\xc0", b"\x96\x01\x02\x00\xc4\x00\xc4\x00\x90"]
)
def test_a_commit_record_of_another_kind_or_form_is_damage(body: bytes) -> None:
    with pytest.raises(DamagedError, match="commits"):
        decode_commit(commit_key(1), Checksummed("commits").wrap(commit_key(1), body))


@given(
    st.text(min_size=1, max_size=50),
    st.builds(SourceState, counts, st.none() | counts, st.none() | counts, counts),
)
def test_every_source_state_round_trips(name: str, state: SourceState) -> None:
    assert decode_source(*encode_source(name, state)) == (name, state)


words = st.integers(0, 2**32 - 1)


@given(
    st.binary(min_size=8, max_size=8), st.integers(0, 1000) | st.integers(0, 2**63), words, st.none() | words
)
def test_every_cursor_round_trips(lineage: bytes, commit: int, position: int, mark: int | None) -> None:
    cursor = Cursor(lineage, commit, position, mark)
    text = encode_cursor(cursor)
    assert decode_cursor(text) == cursor
    assert quote(text, safe="") == text
    assert mark is None or commit >= 2**48 or text[0] == "A"  # and no option of a command line


@given(st.none() | words, st.integers(0, 38), st.sampled_from("ABCabc019-_=+/ é"))
def test_a_changed_cursor_is_refused_never_misread(mark: int | None, at: int, character: str) -> None:
    text = encode_cursor(Cursor(b"lineage!", 7, 2, mark))
    changed = text[:at] + character + text[at + 1 :]
    if changed != text:
        with pytest.raises(BadCursorError):
            decode_cursor(changed)


@pytest.mark.parametrize("text", ["", "A", "made up", "A" * 32, "A" * 31, "A" * 33, "A" * 38, "=" * 32, "\0"])
def test_a_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(BadCursorError, match="cursor"):
        decode_cursor(text)


def test_another_format_version_is_refused_by_number() -> None:
    pairs = dict(encode_meta(Meta("sim", b"8 random", 0)))
    pairs[b"format"] = Checksummed("meta").wrap(b"format", b"\x63")
    with pytest.raises(FormatVersionError, match="format version 99"):
        decode_meta(pairs, "somewhere")


def test_meta_that_lacks_a_value_is_damage() -> None:
    pairs = dict(encode_meta(Meta("sim", b"8 random", 0)))
    del pairs[b"lineage"]
    with pytest.raises(DamagedError):
        decode_meta(pairs, "somewhere")
