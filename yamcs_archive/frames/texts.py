"""The messages of stored events -> an Arrow array of texts, without a Python text for each where possible.

A block has its messages as JSON arrays. Where nothing in them is escaped, the bytes between two quotes are a
message, or the separator between two of them. All of these are taken for an array of texts as they lie there,
from which one gather picks the messages, in the events' order: in half of the time that Python texts take.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from yamcs_archive.event_vectors import PackedMessages, Vectors
from yamcs_archive.frames.library import load

if TYPE_CHECKING:
    import pyarrow

_QUOTE = ord('"')
_BYTES_MAX = (1 << 31) - 1
"""The offsets of an array of texts are int32."""


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
    found = None if packed is None else gathered(packed, events.size)
    return load().array(events.messages, load().string()) if found is None else found


def gathered(packed: PackedMessages, size: int) -> pyarrow.Array | None:
    """Return the messages of ``size`` events; None where something is escaped, or they are not as expected.

    >>> text = np.frombuffer(b'["a","b"]["c"]', np.uint8)
    >>> gathered(PackedMessages(text, np.array([2, 0]), escaped=False), 2).to_pylist()
    ['c', 'a']
    >>> gathered(PackedMessages(text, None, escaped=False), 2) is None
    True
    """
    text, order, escaped = packed
    if escaped or len(text) > _BYTES_MAX:
        return None
    # Each quote ends a piece, and the next one begins there: messages without their quotes, and between each
    # two
    # of them the separator with both.
    ends = np.flatnonzero(text == _QUOTE).astype(np.int32)
    messages = len(ends) // 2
    if len(ends) % 2 or (messages != size if order is None else messages <= int(order.max(initial=-1))):
        return None
    ends[0::2] += 1
    pa = load()
    pieces = pa.StringArray.from_buffers(len(ends) - 1, pa.py_buffer(ends), pa.py_buffer(text))
    return pieces.take(pa.array((np.arange(size) if order is None else order) * 2))
