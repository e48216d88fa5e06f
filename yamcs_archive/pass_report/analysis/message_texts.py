"""The messages of stored events as they lie in the storage, one after the other -> where each is; pure.

1. No Python text is made of a message, except of the few that are asked for.
2. A message's *key* are the bytes between its quotes in JSON, with a 0 for each digit. Messages with one key
   have one template, because digits decide nothing. Escapes may have digits of their own (``\\u001f``), so a
   message with one of these has the key None.
3. Keys are held less the code of 0, and each digit as 9: two operations of numpy, and no byte of a key is 0.
4. Text that is not as it should be is left to the storage, which finds out what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Indexes, PackedMessages, Vectors
from yamcs_archive.text_bounds import text_bounds

PADDING_BYTES = 512
"""Bytes after the last key, so that this many can be read from the beginning of any."""
_QUOTE, _BACKSLASH, _U, _ZERO = b'"\\u0'
_DIGIT = 9
_DIGITS = np.full(1 << 16, _DIGIT, np.uint8)
"""As many as stay in the processor's cache. With a scalar instead, numpy takes ten times as long."""
_KEY_BYTES = bytes(_ZERO if byte == _DIGIT else (byte + _ZERO) % 256 for byte in range(256))
"""For ``bytes.translate``: what each byte of a key stands for."""
_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(str)


class MessageTexts:
    """Where the messages of some events are.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> texts = '7"', "Step 12"
    >>> events = [Event(text, generation_time=1, seq_number=1, reception_time=1) for text in texts]
    >>> texts = MessageTexts(StoredVectors.of(Columns.of(events), commit=1))
    >>> list(texts.keys_of(np.array([0, 1]))), texts.message(1)
    ([b'0\\\\"', b'Step 00'], 'Step 12')
    """

    def __init__(self, events: Vectors) -> None:
        self._events = events
        packed = events.packed_messages
        spans = None if packed is None else _spans(packed)
        if packed is None or spans is None:
            packed = _pack(events.messages)
            spans = _spans(packed)
            if spans is None:
                raise AssertionError("what was just encoded is as it should be")
        self._text = packed.text
        self.keys = _keys(packed.text)
        """The bytes of all keys as they are held, and padding."""
        self.order = packed.order
        """The index of each event's message among these; None: they are in the events' order."""
        if self.order is not None and len(self.order) < len(spans.starts):
            spans, self.order = spans.picked(self.order), None
        self.starts, self.lengths, self.coded = spans

    def keys_of(self, events: Indexes) -> Iterator[bytes | None]:
        """Yield the keys of some events' messages."""
        indexes = events if self.order is None else self.order[events]
        starts = self.starts[indexes]
        stops = starts + self.lengths[indexes]
        coded = [False] * len(indexes) if self.coded is None else self.coded[indexes].tolist()
        keys = self.keys.data
        for start, stop, is_coded in zip(starts.tolist(), stops.tolist(), coded, strict=True):
            yield None if is_coded else bytes(keys[start:stop]).translate(_KEY_BYTES)

    def message(self, at: int) -> str:
        """Return the message of one event. DamagedError for what is no text."""
        index = at if self.order is None else int(self.order[at])
        start = int(self.starts[index])
        try:
            return _decoder.decode(self._text[start - 1 : start + int(self.lengths[index]) + 1].tobytes())
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return self._events.messages[at]


def unescaped(key: bytes) -> bytes:
    """Return the message that has a key, in UTF-8.

    >>> unescaped(b'a\\\\"b')
    b'a"b'
    """
    if b"\\" not in key:
        return key
    try:
        return _decoder.decode(b'"%s"' % key).encode()
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return key  # no text: who asks for the message is told


def _pack(messages: list[str]) -> PackedMessages:
    text = _encoder.encode(messages)
    return PackedMessages(np.frombuffer(text, np.uint8), len(messages), None, b"\\" in text)


class _Spans(NamedTuple):
    """Where messages are."""

    starts: Indexes
    """Where each begins."""
    lengths: Indexes
    """Their bytes."""
    coded: npt.NDArray[np.bool_] | None
    """Which have escapes with digits; None: no one has."""

    def picked(self, order: Indexes) -> _Spans:
        """Return some of them, in that order."""
        coded = None if self.coded is None else self.coded[order]
        return _Spans(self.starts[order], self.lengths[order], coded)


def _spans(packed: PackedMessages) -> _Spans | None:
    """Return where messages are; None if they are not as many as they should be."""
    text, size = packed.text, packed.size
    if not packed.escaped:
        bounds = text_bounds(text, size)
        return None if bounds is None else _Spans(bounds[0::2].copy(), bounds[1::2] - bounds[0::2], None)
    is_quote = text == _QUOTE
    escapes = _escapes(np.flatnonzero(text == _BACKSLASH))
    if len(escapes):
        if escapes[-1] >= len(text):
            return None
        is_quote[escapes] = False
    quotes = np.flatnonzero(is_quote)
    if len(quotes) != 2 * size:
        return None
    starts = quotes[0::2] + 1
    coded = None
    if len(codes := escapes[text[escapes] == _U]):
        coded = np.zeros(size, np.bool_)
        coded[starts.searchsorted(codes, "right") - 1] = True
    return _Spans(starts, quotes[1::2] - starts, coded)


def _escapes(backslashes: Indexes) -> Indexes:
    """Return where an escaped byte is: after an odd number of backslashes."""
    if not len(backslashes):
        return backslashes
    lasts = np.flatnonzero(np.append(backslashes[1:] != backslashes[:-1] + 1, True))
    firsts = np.append(0, lasts[:-1] + 1)
    found: Indexes = backslashes[lasts[(lasts - firsts) % 2 == 0]] + 1
    return found


def _keys(text: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return a text as keys have it, with padding."""
    found = np.zeros(len(text) + PADDING_BYTES, np.uint8)
    for at in range(0, len(text), len(_DIGITS)):
        piece = text[at : at + len(_DIGITS)]
        key = found[at : at + len(piece)]
        np.subtract(piece, _ZERO, out=key)  # of what is no digit: more than 9
        np.maximum(key, _DIGITS[: len(key)], out=key)
    return found
