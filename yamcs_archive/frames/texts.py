"""The messages of stored events -> an Arrow array of texts, without a Python text for each where possible.

A block has its messages as JSON arrays. Where nothing in them is escaped, the bytes between two quotes are a
message, or the separator between two of them. All of these are taken for an array of texts as they lie there,
from which one gather picks the messages, in the events' order: in half of the time that Python texts take.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import PackedMessages, Vectors
from yamcs_archive.frames.library import load

if TYPE_CHECKING:
    import pyarrow

_QUOTE = ord('"')
_BYTES_MAX = (1 << 31) - 1
"""The offsets of an array of texts are int32."""
_WORD_BYTES = 8
_NTH_BYTE = np.uint64(0x00_01_02_03_04_05_06_07)
"""A word whose nth byte is 1, times this one, has n as its highest byte."""
_ROOM_KEPT_BYTES_MAX = 1 << 20
"""Largest text, in bytes, for which a thread keeps the room of its flags: new pages would cost more."""
_scratch = threading.local()


def message_array(events: Vectors) -> pyarrow.Array:
    """Return the messages of some events.

    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event import Event
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> event = Event("Wheel", generation_time=1, seq_number=2, reception_time=3)
    >>> message_array(StoredVectors.of(Columns.of([event]), commit=4)).to_pylist()
    ['Wheel']
    """
    packed = events.packed_messages
    found = None if packed is None else gathered(packed)
    return load().array(events.messages, load().string()) if found is None else found


def gathered(packed: PackedMessages) -> pyarrow.Array | None:
    """Return the messages; None where something is escaped, or they are not as many as they should be.

    >>> text = np.frombuffer(b'["a","b","c"]', np.uint8)
    >>> gathered(PackedMessages(text, 3, np.array([2, 0]), escaped=False)).to_pylist()
    ['c', 'a']
    >>> gathered(PackedMessages(text, 4, None, escaped=False)) is None
    True
    """
    text, size, order, escaped = packed
    if escaped or not 2 < len(text) <= _BYTES_MAX:
        return None
    ends = _ends(text, size)
    if len(ends) != 2 * size:
        return None
    pa = load()
    pieces = pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))
    return pieces.take(pa.array((np.arange(size) if order is None else order) * 2))


def _ends(text: npt.NDArray[np.uint8], count: int) -> npt.NDArray[np.int32]:
    """Return where the pieces of a JSON array begin, and where the last one ends: ``count`` messages without
    their quotes, and the separator with both quotes between each two of them.

    >>> _ends(np.frombuffer(b'["Boot","Wheel"]', np.uint8), 2).tolist()
    [2, 6, 9, 14]
    """
    room = _room(len(text))
    flags = room[: len(text)]
    np.equal(text, _QUOTE, out=flags)
    separators = _separators(room, len(text))
    if separators is None or len(separators) != count - 1:
        # Each quote ends a piece, and the next one begins there.
        ends = np.flatnonzero(np.equal(text, _QUOTE, out=flags)).astype(np.int32)
        ends[0::2] += 1
        return ends
    ends = np.empty(2 * count, np.int32)
    ends[0], ends[-1] = len('["'), len(text) - len('"]')
    ends[1:-1:2] = separators
    separators += len('","')
    ends[2::2] = separators
    return ends


def _separators(room: npt.NDArray[np.bool_], size: int) -> npt.NDArray[np.int64] | None:
    """Return where separators begin, from flags of the ``size`` bytes that are quotes, which are overwritten.

    They are right if they are one fewer than the messages: a separator is a quote with another one two bytes
    later, and so is a message of one character. Eight flags are looked at together, which takes half of the
    time in which numpy finds single ones. None where two of them are within one word.
    """
    flags = room[:size]
    np.logical_and(flags[:-2], flags[2:], out=flags[:-2])
    flags[-2:] = False
    words = room.view("<u8")
    at = np.flatnonzero(words != 0)
    found = words[at]
    if (found & (found - np.uint64(1))).any():
        return None
    at *= _WORD_BYTES
    at += ((found * _NTH_BYTE) >> np.uint64(56)).view(np.int64)
    return at


def _room(size: int) -> npt.NDArray[np.bool_]:
    """Return room for some flags, in whole words; those after them are False. It is this thread's own."""
    whole = -(-size // _WORD_BYTES) * _WORD_BYTES
    room: npt.NDArray[np.bool_] | None = getattr(_scratch, "room", None)
    if room is None or len(room) < whole:
        room = np.empty(whole, np.bool_)
        if whole <= _ROOM_KEPT_BYTES_MAX:
            _scratch.room = room
    room[size:whole] = False
    return room[:whole]
