"""Placement of new events in blocks: what a table, or a large run, becomes.

1. Events go between the blocks that are there, or into them; no two blocks overlap. So the events are cut
   where a stored block begins: a stretch belongs to the last block whose first key is not above it.
2. Events within a block's range become its late part. The block is rewritten only when its late events are an
   eighth of the others, or have enough text to fill a block: otherwise one late event in a hundred would
   rewrite every block.
3. Events after a block that is not full fill it up first.
4. A block is full at the option's number of events or bytes of text, whichever is reached first, and before
   any of its frames exceeds the limit. A larger event gets a block of its own.
5. Late events may also be left out: the commit log carries them on, until they are many, or the archive
   rests. To rewrite a block for each few of them would take most of the time of an ingest in any order.
6. A damaged block is never filled up: events after it begin a new one. Those within its range are left out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import accumulate
from math import ceil
from typing import NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.limits import LATE_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.storage.format.block import Block, encode_blocks
from yamcs_archive.storage.format.block_part_encoder import fits
from yamcs_archive.storage.format.keys import Keys, encode_key, in_key_order
from yamcs_archive.storage.format.zone_maps import ZoneMap
from yamcs_archive.storage.read.block_index import BlockIndex
from yamcs_archive.storage.write.block_steps import Found, Plan
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.young.arrivals import memory_of

_EVENT_BYTES = 300
"""Memory of a late event beside the characters of its texts."""
_CHECKPOINTS_LEFT = 8
"""Checkpoints whose late events may be left out together."""


class Placed(NamedTuple):
    """How events are put among stored blocks."""

    plans: list[Plan]
    ranges: list[range]
    """For each plan the indexes of the events that it puts."""
    starts: list[int]
    """The index of the first event of each stretch, between whose events no block begins."""
    left: list[range]
    """The indexes of the events that are not put."""
    damaged: list[DamagedError]
    """Why some are not."""


class _Stretch(NamedTuple):
    """Events that belong to one block, or to none."""

    start: int
    stop: int
    before: ZoneMap | None
    inside: int
    """How many of them are within the block's range; they come first."""


def place(
    events: StoredVectors,
    index: BlockIndex,
    value_of: Callable[[bytes], bytes],
    options: Options,
    *,
    left_max: int = 0,
    carried: int = 0,
) -> Placed:
    """Return how events, in key order and none of them stored, are put among the stored blocks.

    ``value_of`` returns the bytes of the block with a first key. Up to ``left_max`` late events are left out;
    if there are more, those blocks take theirs that have the most. ``carried`` of them were left out before.
    """
    placed = Placed([], [], [], [], [])
    stretches = list(_stretches(events, index, placed))
    leaving = _leaving(events, stretches, left_max, carried)
    for stretch in stretches:
        placed.starts.append(stretch.start)
        own = events.cut(stretch.start, stretch.stop)
        try:
            plans = _plans(own, stretch, value_of, options, leave=stretch.start in leaving)
            put = stretch.start not in leaving
        except DamagedError as error:
            placed.damaged.append(error)
            put = False
            plans = [_new(own.cut(stretch.inside, own.size), options)] if stretch.inside < own.size else []
        placed.plans.extend(plans)
        placed.ranges.extend(
            range(stretch.stop - plan.added, stretch.stop)
            if plan is plans[-1]
            else range(stretch.start, stretch.start + plan.added)
            for plan in plans
        )
        if not put and stretch.inside:
            placed.left.append(range(stretch.start, stretch.start + stretch.inside))
    return placed


def _stretches(events: StoredVectors, index: BlockIndex, placed: Placed) -> Iterator[_Stretch]:
    """Yield the stretches of events; those of a block whose end is not known are left out."""
    keys = Keys.of(events)
    at = 0
    while at < events.size:
        first = encode_key(*keys.key(at))
        following = index.first_from(first)
        if (
            following == first
        ):  # a fault of the program: it must not go on for ever, nor store the event twice
            placed.damaged.append(
                DamagedError(f"key {first.hex()}", "the event is young and in a block as well")
            )
            placed.left.append(range(at, at + 1))
            at += 1
            continue
        stop = events.size if following is None else keys.below(following)
        try:
            before = index.before(first)
        except DamagedError as error:
            placed.damaged.append(error)
            placed.left.append(range(at, stop))
        else:
            inside = 0 if before is None else keys.below(before.last, or_equal=True) - at
            yield _Stretch(at, stop, before, max(0, inside))
        at = stop


def _leaving(
    events: StoredVectors, stretches: list[_Stretch], left_max: int, carried: int
) -> frozenset[int] | set[int]:
    """Return the starts of the stretches whose late events are left out.

    What is left out is written to the log again at each checkpoint. Where few events are late, to write many
    again would cost more than it saves: then at most a quarter of the bound is left out.
    """
    late = [stretch for stretch in stretches if stretch.inside]
    if not late or not left_max:
        return frozenset()
    if memory_of(events) > LATE_BYTES_MAX // 2:
        texts = np.cumsum([0, *events.sizes()])
        sizes = [
            _EVENT_BYTES * each.inside + int(texts[each.start + each.inside] - texts[each.start])
            for each in late
        ]
    else:  # whatever their sizes are
        sizes = [0] * len(late)
    total = sum(stretch.inside for stretch in late)
    room = min(left_max, max(left_max // 4, _CHECKPOINTS_LEFT * (total - carried)))
    bytes_max = LATE_BYTES_MAX
    if total > room or sum(sizes) > bytes_max:
        room, bytes_max = room // 2, bytes_max // 2
    leaving = set()
    for stretch, size in sorted(zip(late, sizes, strict=True), key=lambda each: each[0].inside):
        room, bytes_max = room - stretch.inside, bytes_max - size
        if room < 0 or bytes_max < 0:
            break
        leaving.add(stretch.start)
    return leaving


def _plans(
    events: StoredVectors,
    stretch: _Stretch,
    value_of: Callable[[bytes], bytes],
    options: Options,
    *,
    leave: bool,
) -> list[Plan]:
    """Return the plans for the events of a stretch; with ``leave``, not for those within the block's
    range.
    """
    before, inside = stretch.before, stretch.inside
    if before is None:
        return [_new(events, options)]
    after = events.cut(inside, events.size)
    if inside:
        if leave:
            return [_new(after, options)] if after.size else []
        found = _found(before, value_of)
        main, *late = found.block.parts
        if (inside + sum(part.count for part in late)) * options.late_share >= main.count:
            return [_rewritten(found, events, options)]
        within = _late(found, events.cut(0, inside), options)
        return [within, _new(after, options)] if after.size else [within]
    if before.events < well_filled(options.block_events_max):
        try:
            found = _found(before, value_of)
            if found.block.events.text_bytes() < well_filled(options.block_text_bytes_max):
                return [_rewritten(found, events, options)]
        except DamagedError:
            pass  # it is left as it is
    return [_new(events, options)]


def _found(zone_map: ZoneMap, value_of: Callable[[bytes], bytes]) -> Found:
    value = value_of(zone_map.first)
    found = Found(Block(zone_map.first, value), value, zone_map)
    found.block.check_body()
    return found


def _new(events: StoredVectors, options: Options) -> Plan:
    return Plan(None, list(split_into_blocks(events, options)), added=events.size)


def _rewritten(found: Found, events: StoredVectors, options: Options) -> Plan:
    together = in_key_order(StoredVectors.concat([found.block.events, events]))
    return Plan(found, list(split_into_blocks(together, options)), added=events.size)


def _late(found: Found, events: StoredVectors, options: Options) -> Plan:
    """Return the plan that adds events to the late part of a block.

    If the late part would have more text than a block may have, the block is rewritten instead: a part is
    never split.
    """
    late = in_key_order(StoredVectors.concat([*(part.events for part in found.block.parts[1:]), events]))
    text_bytes = late.text_bytes()
    if text_bytes > options.block_text_bytes_max or not fits(late, text_bytes):
        return _rewritten(found, events, options)
    return Plan(found, [], late, added=events.size)


def put_run(events: StoredVectors, stored: WriteTransaction, options: Options) -> None:
    """Store a large run of new events, which lies between two blocks, as blocks at once.

    A block that replaces a partial one has events that were acknowledged before, so each of its frames is
    decompressed and compared with its source. Of other new blocks only the bounds are checked.
    """
    before = stored.index.before(encode_key(*events.key(0)))
    replaced = 0
    if before is not None and before.events < well_filled(options.block_events_max):
        try:
            partial = stored.block(before.first).events
        except DamagedError:
            # It is left as it is; new events must not fail because of it.
            partial = None
        if partial is not None and partial.text_bytes() < well_filled(options.block_text_bytes_max):
            replaced = partial.size
            events = StoredVectors.concat([partial, events])
    parts = list(split_into_blocks(events, options))
    before_each = accumulate((part.size for part in parts), initial=0)
    blocks = encode_blocks(parts, compared=sum(reached < replaced for reached in before_each))
    for block, part in zip(blocks, parts, strict=True):
        stored.put_block(block)
        stored.cache.keep_new_times(block.key, part.times)
    if blocks[-1].zone_map.events < options.block_events_max:
        # The next append then fills it up without reading it back.
        stored.cache.keep(Block.known(blocks[-1], parts[-1]))


def well_filled(bound: int) -> int:
    """Return the size from which on a block is not filled up further: three quarters of its bound.

    >>> well_filled(5000), well_filled(1)
    (3750, 1)
    """
    return ceil(bound * 3 / 4)


def split_into_blocks(events: StoredVectors, options: Options) -> Iterator[StoredVectors]:
    """Yield the events of each block.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> events = [Event("abc", generation_time=n, seq_number=n, reception_time=n) for n in range(5)]
    >>> many = StoredVectors.of(Columns.of(events), commit=1)
    >>> [part.size for part in split_into_blocks(many, Options(block_events_max=2))]
    [2, 2, 1]
    """
    # The blocks get equal sizes if that fills them well enough. Then no chunk of a long append leaves a block
    # for the next chunk to fill up, which would encode a fifth of all events twice.
    start = 0
    while start < events.size:
        left = events.size - start
        even = ceil(left / ceil(left / options.block_events_max))
        part = events.cut(
            start,
            start + (even if even >= well_filled(options.block_events_max) else options.block_events_max),
        )
        text_bytes = part.text_bytes()
        if text_bytes > options.block_text_bytes_max:
            reached = list(accumulate(part.sizes()))
            part = part.cut(0, max(1, bisect_right(reached, options.block_text_bytes_max)))
            text_bytes = reached[part.size - 1]
        # With default options no block comes near the limit: that takes tens of thousands of types and users,
        # which do not count as text.
        while part.size > 1 and not fits(part, text_bytes):
            part = part.cut(0, part.size // 2)
        yield part
        start += part.size
