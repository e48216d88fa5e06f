"""Messages without Python texts are the same as by way of them, whichever are wanted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import many, stored_events
from yamcs_archive import Event
from yamcs_archive.event_vectors import PackedMessages, StoredVectors
from yamcs_archive.frames.texts import gathered, message_array
from yamcs_archive.storage.format.block import Block, encode_blocks
from yamcs_archive.storage.format.keys import in_key_order
from yamcs_archive.storage.format.messages import MessageChunks
from yamcs_archive.storage.read.picked_vectors import picked_vectors
from yamcs_archive.storage.write.validation import prepare

PLAIN = st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters='"\\')
event_lists = st.one_of(
    many(stored_events),
    many(
        st.builds(
            Event,
            st.text(PLAIN, max_size=30),
            severity=st.just(2),
            type=st.sampled_from(["a", None]),
            generation_time=st.integers(0, 9),
            seq_number=st.integers(0, 9),
            reception_time=st.just(0),
        )
    ),
)


@given(event_lists, st.data())
def test_messages_of_a_block_are_those_of_its_events(events: list[Event], data: st.DataObject) -> None:
    unique = list({event.key: event for event in events}.values())
    stored = in_key_order(StoredVectors.of(prepare(unique, int), commit=1))
    [made] = encode_blocks([stored])
    wanted = sorted(data.draw(st.sets(st.integers(0, len(unique) - 1), min_size=1)))
    whole = picked_vectors(Block(made.key, made.value), None)
    some = picked_vectors(Block(made.key, made.value), wanted)
    assert message_array(whole).to_pylist() == stored.messages
    assert message_array(some).to_pylist() == [stored.messages[at] for at in wanted]
    assert some.messages == [stored.messages[at] for at in wanted]


@pytest.mark.parametrize(
    "messages", [["a"], ["", ""], ['a","b', "c"], ["a\\b"], ["é", "\U0001f680" * 9], ["][", ","], ["\n"]]
)
def test_a_gathered_message_is_the_message_or_none(messages: list[str]) -> None:
    text = np.frombuffer(json.dumps(messages, separators=(",", ":"), ensure_ascii=False).encode(), np.uint8)
    found = gathered(PackedMessages(text, len(messages), None, b"\\" in text.tobytes()))
    escaped = any(character in message for message in messages for character in '"\\\n')
    assert (None if found is None else found.to_pylist()) == (None if escaped else messages)


@pytest.mark.parametrize(
    ("text", "count"),
    [(b'["a","b"]', 1), (b'["a","b"]', 3), (b'["a","b]', 2), (b"[]", 1), (b'["Boot","Wheel"]', 3), (b"", 1)],
)
def test_other_numbers_of_messages_are_noticed(text: bytes, count: int) -> None:
    packed = PackedMessages(np.frombuffer(text, np.uint8), count, None, escaped=False)
    assert gathered(packed) is None


@given(st.lists(st.text(st.sampled_from("a,[]é"), max_size=12), min_size=1), st.integers(0, 7))
def test_short_messages_are_told_apart_wherever_they_lie(messages: list[str], before: int) -> None:
    messages = ["x" * before, *messages]
    text = np.frombuffer(json.dumps(messages, separators=(",", ":"), ensure_ascii=False).encode(), np.uint8)
    found = gathered(PackedMessages(text, len(messages), None, escaped=False))
    assert found is not None
    assert found.to_pylist() == messages


@pytest.mark.parametrize("length", [0, 1, 2, 4, 5, 6, 30])
@pytest.mark.parametrize("size", [7, 8, 9, 1 << 20, (1 << 20) + 1])
def test_the_room_of_an_earlier_text_leaves_nothing_behind(length: int, size: int) -> None:
    messages = ["x" * length] * max(size // (length + 3), 1)
    text = np.frombuffer(json.dumps(messages, separators=(",", ":")).encode(), np.uint8)
    for kept in (text, np.frombuffer(b'["Boot"]', np.uint8), text):
        count = 1 if len(kept) == len('["Boot"]') and kept is not text else len(messages)
        found = gathered(PackedMessages(kept, count, None, escaped=False))
        assert found is not None
        assert found.to_pylist() == (messages if kept is text else ["Boot"])


@pytest.mark.parametrize("kinds", [1, 3])
@pytest.mark.parametrize(
    "wanted",
    [[5], [0, 999, 1000, 2000], range(1500, 1520), range(990, 1010), range(2400, 2500), range(0, 2500, 7)],
)
def test_messages_of_several_chunks(wanted: list[int], kinds: int) -> None:
    events = [
        Event(f"m{n}", generation_time=n, seq_number=n, reception_time=n, severity=n % kinds)
        for n in range(2500)
    ]
    [made] = encode_blocks([StoredVectors.of(prepare(events, int), commit=1)])
    some = picked_vectors(Block(made.key, made.value), wanted)
    assert message_array(some).to_pylist() == [f"m{n}" for n in wanted]
    assert (some.packed_messages is None) == (len(wanted) < 8)


def test_only_the_chunks_of_wanted_messages_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [Event(f"m{n}", generation_time=n, seq_number=n, reception_time=n) for n in range(2500)]
    [made] = encode_blocks([StoredVectors.of(prepare(events, int), commit=1)])
    read: list[int] = []
    whole = MessageChunks._chunk

    def noted(self: MessageChunks, nth: int) -> bytes:
        read.append(nth)
        return whole(self, nth)

    monkeypatch.setattr(MessageChunks, "_chunk", noted)
    message_array(picked_vectors(Block(made.key, made.value), range(1100, 1200)))
    assert read == [1]
