"""What can be read of rows and blocks of which parts are damaged; bytes in, vectors out.

A block is in pieces with checksums of their own: of each part the key frame, the body frame and the chunks of
messages. An event can be read if all its pieces can; its key is known if its key frame can be read.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage.format.block_part_decoder import BlockPart
from yamcs_archive.storage.format.block_part_encoder import LATE, MAIN, end_of
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import Key, Keys
from yamcs_archive.storage.format.rows import decode_row, decode_rows


class Unread(NamedTuple):
    """Events that cannot be read."""

    reason: str
    keys: list[Key] | None
    """None: even their keys cannot be read."""


def read_rows(pairs: Sequence[Pair]) -> tuple[StoredVectors, list[tuple[bytes, DamagedError]]]:
    """Return the events of the rows that can be read, and the keys of the others."""
    try:
        return decode_rows(pairs), []
    except DamagedError:
        pass
    sound, damaged = [], []
    for pair in pairs:
        try:
            decode_row(*pair)
        except DamagedError as error:
            damaged.append((pair[0], error))
        else:
            sound.append(pair)
    return decode_rows(sound), damaged


def read_block(key: bytes, value: bytes) -> tuple[StoredVectors, list[Unread]]:
    """Return the events of a block that can be read, and the others.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.storage.format.block import encode_blocks
    >>> events = [Event(f"{n}", generation_time=n, seq_number=n, reception_time=9) for n in range(3)]
    >>> [block] = encode_blocks([StoredVectors.of(Columns.of(events), commit=1)])
    >>> [unread.keys for unread in read_block(block.key, block.value[:-1] + b"?")[1]]
    [[(0, 'User', 0), (1, 'User', 1), (2, 'User', 2)]]
    """
    end = end_of(value)
    raw = [(value[:end], MAIN)]
    if end < len(value):
        raw.append((value[end:], LATE))
    found: list[StoredVectors] = []
    unread: list[Unread] = []
    for part_value, kind in raw:
        try:
            part = BlockPart(key, part_value, kind)
            _ = part.times, part.sources, part.numbers, part.commits, part.severities
        except DamagedError as error:
            unread.append(Unread(error.reason, None))
            continue
        events, lost = _read_part(part)
        found.append(events)
        if lost is not None:
            unread.append(lost)
    return StoredVectors.concat(found), unread


def _read_part(part: BlockPart) -> tuple[StoredVectors, Unread | None]:
    """Return the events of a part whose key frame can be read, and those that cannot be read."""
    try:
        return part.events, None
    except DamagedError as error:
        reason = error.reason
    holds = np.zeros(part.count, np.bool_)
    messages = [""] * part.count
    with suppress(DamagedError):
        each = part.body_frame.chunk_messages
        for start in range(0, part.count, max(1, each)):
            stored = range(start, min(start + each, part.count))
            with suppress(DamagedError):
                messages[stored.start : stored.stop] = part.messages_at(stored)
                holds[stored.start : stored.stop] = True
        order = part.message_indexes
        if order is not None:
            messages, holds = [messages[at] for at in order.tolist()], holds[order]
    keys = Keys(part.times, part.sources, part.numbers)
    unread = Unread(reason, [keys.key(at) for at in np.flatnonzero(~holds).tolist()])
    if not holds.any():
        return StoredVectors.concat([]), unread
    try:
        body = part.body_frame
        columns = part.received, part.types, part.users
    except DamagedError:
        return StoredVectors.concat([]), Unread(reason, [keys.key(at) for at in range(part.count)])
    received, types, users = columns
    events = StoredVectors(
        part.times,
        part.numbers,
        received,
        part.commits,
        part.severities,
        part.sources,
        types,
        users,
        messages,
        body.extensions,
        body.extra,
    )
    return events.take(np.flatnonzero(holds)), unread
