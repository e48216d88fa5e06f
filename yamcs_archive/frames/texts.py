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
from yamcs_archive.text_bounds import text_bounds

if TYPE_CHECKING:
    import pyarrow

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
    text, size, order, escaped, memory = packed
    if escaped or len(text) > _BYTES_MAX:
        return None
    bounds = text_bounds(text, size)
    if bounds is None:
        return None
    if memory is not None and len(memory) <= _BYTES_MAX:
        # From the mean length of all pieces Arrow concludes how much memory it needs. Half of them are
        # separators: with a last piece as long as the text the mean is that of messages, and what was
        # gathered need not be moved to more memory.
        text, bounds = memory, np.append(bounds, len(memory))
    pa = load()
    # Between each two messages there is a piece that is their separator.
    offsets = pa.py_buffer(bounds.astype(np.int32))
    pieces = pa.StringArray.from_buffers(len(bounds) - 1, offsets, pa.py_buffer(text))
    which = (np.arange(size) if order is None else order) * 2
    # The indexes are those of messages that are there: to check them would take a tenth longer.
    return load("pyarrow.compute").take(pieces, pa.array(which), boundscheck=False)
