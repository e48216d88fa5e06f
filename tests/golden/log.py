"""Decodes the commit log by docs/format.md: segments, their records, and where it ends. Uses nothing of the
package.

1. No length is used, and no payload is unpacked, before its checksum has been verified.
2. What is read is what a process reads beside which nobody writes: all records that follow the checkpoint.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from tests.golden.blocks import SEVERITIES, Stored
from tests.golden.records import Commit, Source, source_of
from tests.golden.values import (
    BrokenError,
    Key,
    Met,
    array,
    binary,
    extra_of,
    hold,
    text,
    text_or_nil,
    unpacked,
    whole,
)

HEADER = struct.Struct(">8sIIQQQIII8sI")
FRAME = struct.Struct(">IIQII")
END = struct.Struct(">QIIQ4sI")
MAGIC, FORM = b"yarclog\0", 1
ALIGNED = 8
BYTE_CODES_MAX = 256


class Segment(NamedTuple):
    """A segment that has a header."""

    number: int
    epoch: int
    first: int
    """The number of its first record."""
    before: tuple[int, int, int, int]
    """Where the log ends before it: number and epoch of that segment, offset, checksum."""
    checksum: int
    """Over the whole header."""
    data: bytes


class Record(NamedTuple):
    """What a record says."""

    commits: list[Commit]
    events: list[Stored]
    sources: dict[bytes, Source]
    requests: list[tuple[bytes, bytes]]
    facts: list[tuple[bytes, bytes]]
    carried: list[Stored] | None
    before: int
    """The record whose events are carried as well, or 0."""


def records(generation: Path, checkpoint: list[int], lineage: bytes, met: Met) -> list[Record]:
    """Return what the log says after a checkpoint."""
    stored, named, _ = checkpoint
    found = {
        sequence: _record(payload, met) for sequence, payload in _payloads(generation, stored, lineage, met)
    }
    counting = set()
    while named:
        hold(named in found and found[named].carried is not None, f"record {named} carries nothing")
        counting.add(named)
        before = found[named].before
        hold(before < named, f"record {named} names a later one")
        met.add("record: carried, after another one" if before else "record: carried")
        named = before
    left_out = {sequence for sequence, record in found.items() if record.carried is not None} - counting
    if left_out:
        met.add("record: carried, not named")
    return [record for sequence, record in found.items() if sequence not in left_out]


def _payloads(generation: Path, stored: int, lineage: bytes, met: Met) -> Iterator[tuple[int, bytes]]:
    """Yield the number and the payload of each record after the one that the checkpoint names."""
    segments = _segments(generation, lineage, met)
    end = _acknowledged(generation, met)
    if end is not None and end[3] > stored:
        hold(end[0] in segments, f"segment {end[0]}, in which records were acknowledged, is missing")
        hold(segments[end[0]].epoch == end[1], f"records were acknowledged in another segment {end[0]}")
    if not segments:
        return
    chain = [segments[max(segments)]]
    while chain[0].first > stored + 1:
        number, epoch, _, _ = chain[0].before
        before = segments.get(number)
        if before is None or before.epoch != epoch:
            raise BrokenError(f"records before {chain[0].first} are missing")
        chain.insert(0, before)
    met.add("log: one segment" if len(chain) == 1 else "log: several segments")
    for segment, following in zip(chain, [*chain[1:], None], strict=True):
        stop = len(segment.data) if following is None else following.before[2]
        sequence, place, checksum = segment.first, HEADER.size, segment.checksum
        while (record := _framed(segment, place, stop)) is not None and record[:2] == (sequence, checksum):
            _, _, payload, checksum, place = record
            if sequence > stored:
                yield sequence, payload
            else:
                met.add("log: a record that LMDB has")
            sequence += 1
        if following is None:
            _check_end(segment, place, end, met)
            continue
        ends = following.before == (segment.number, segment.epoch, place, checksum)
        hold(ends and following.first == sequence, f"a record of segment {segment.number} is damaged")
        if any(segment.data[place:]):
            met.add("log: bytes that the next segment leaves out")


def _segments(generation: Path, lineage: bytes, met: Met) -> dict[int, Segment]:
    """Return the segments that have a header, by number."""
    found: dict[int, Segment] = {}
    for path in generation.iterdir():
        match = re.fullmatch(r"log-([1-9][0-9]*)", path.name)
        if match is None:
            hold(path.name in ("data.mdb", "lock.mdb", "log.end"), f"what is {path.name}?")
            continue
        number, data = int(match[1]), path.read_bytes()
        if not any(data):
            met.add("log: a segment without a header")
            continue
        right = crc32(data[: HEADER.size - 4]).to_bytes(4, "big") == data[HEADER.size - 4 : HEADER.size]
        if not right and not any(data[HEADER.size :]):
            met.add("log: a torn header")
            continue
        hold(right, f"the checksum of the header of segment {number} is wrong")
        magic, form, epoch, named, first, *before, archive, _ = HEADER.unpack_from(data)
        hold((magic, form, named) == (MAGIC, FORM, number), f"segment {number} is something else")
        hold(epoch > 0, f"the header of segment {number} is of no form")
        hold(archive == lineage[: len(archive)], f"segment {number} is one of another archive")
        met.add("log: a segment without a predecessor" if before[0] == 0 else "log: a predecessor")
        found[number] = Segment(
            number, epoch, whole(first, 1), tuple(before), crc32(data[: HEADER.size]), data
        )
    if not found:
        met.add("log: no segment")
    return found


def _acknowledged(generation: Path, met: Met) -> tuple[int, int, int, int] | None:
    """Return the acknowledged end, if it is known: number and epoch of a segment, offset, record."""
    path = generation / "log.end"
    data = path.read_bytes() if path.exists() else b""
    if len(data) != END.size or crc32(data[:-4]).to_bytes(4, "big") != data[-4:]:
        met.add("log: no acknowledged end")
        return None
    met.add("log: an acknowledged end")
    number, epoch, offset, sequence, _, _ = END.unpack(data)
    return number, epoch, offset, sequence


def _framed(segment: Segment, place: int, stop: int) -> tuple[int, int, bytes, int, int] | None:
    """Return the record at a place, if it is valid by itself: its number, the checksum of the one before,
    payload, checksum, and the place behind it.
    """
    data = segment.data
    begin = place + FRAME.size
    if begin > stop:
        return None
    epoch, size, sequence, before, checksum = FRAME.unpack_from(data, place)
    payload = data[begin : begin + size]
    if epoch != segment.epoch or not 0 < size <= stop - begin:
        return None
    if crc32(payload, crc32(data[place : begin - 4])) != checksum:
        return None
    behind = begin + size + -size % ALIGNED
    hold(not any(data[begin + size : behind]), f"record {sequence} is followed by something else than zeros")
    return sequence, before, payload, checksum, behind


def _check_end(segment: Segment, place: int, end: tuple[int, int, int, int] | None, met: Met) -> None:
    """Check that the log may end at a place of its last segment."""
    where = f"the record at {place} of segment {segment.number} is damaged"
    if end is not None and end[:2] == (segment.number, segment.epoch):
        hold(place >= end[2], f"{where}: it was acknowledged")
        met.add("log: acknowledged up to its end" if place == end[2] else "log: more than acknowledged")
    size = len(segment.data)
    for later in range(place + ALIGNED, size, ALIGNED):
        hold(_framed(segment, later, size) is None, f"{where}: there is one behind it")
    rest = segment.data[place:]
    met.add("log: torn" if any(rest) else "log: zeros behind its end" if rest else "log: nothing behind it")


def _record(payload: bytes, met: Met) -> Record:
    commits, sources, requests, facts, carried = array(unpacked(payload), 5)
    found = Record([], [], {}, _pairs(requests), _pairs(facts), None, 0)
    for each in array(commits):
        commit, events = _commit(each, met)
        found.commits.append(commit)
        found.events.extend(events)
    met.add(f"record: {('no commit', 'one commit', 'several commits')[min(2, len(found.commits))]}")
    for name, state in map(_two, array(sources)):
        found.sources[text(name).encode()] = source_of(text(name).encode(), state, met)
    if requests:
        met.add("record: requests")
    if facts:
        met.add("record: facts")
    if carried is None:
        return found
    hold(not any((commits, sources, requests, facts)), "a record that carries events has more")
    columns, packed, before = array(carried, 3)
    events = _columns(columns, met)
    numbers = _int64s(packed, len(events))
    carried_events = [
        event._replace(commit=whole(number, 1)) for event, number in zip(events, numbers, strict=True)
    ]
    return found._replace(carried=carried_events, before=whole(before, 0))


def _two(value: Any) -> list[Any]:
    return array(value, 2)


def _pairs(value: Any) -> list[tuple[bytes, bytes]]:
    return [(binary(key), binary(rest)) for key, rest in map(_two, array(value))]


def _commit(value: Any, met: Met) -> tuple[Commit, list[Stored]]:
    number, time, runs, columns = array(value, 4)
    events = [event._replace(commit=whole(number, 1)) for event in _columns(columns, met)]
    hold(all(one.key < other.key for one, other in pairwise(events)), "columns are not in the order of keys")
    if runs is None:
        ends = [0, len(events) - 1]
        met.add("record: one run")
    else:
        ends = [whole(end, 0, len(events) - 1) for end in array(runs)]
        met.add("record: several runs")
    hold(len(ends) % 2 == 0 and ends == sorted(ends), f"{ends} are no runs")
    within = [at for first, last in zip(ends[::2], ends[1::2], strict=True) for at in range(first, last + 1)]
    hold(within == list(range(len(events))), "an event is in no run, or in two")
    bounds = tuple(
        (events[first].key, events[last].key) for first, last in zip(ends[::2], ends[1::2], strict=True)
    )
    return Commit(number, whole(time), len(events), bounds), events


def _columns(value: Any, met: Met) -> list[Stored]:
    """Return the events of columns; the numbers of their commits are elsewhere."""
    size, times, numbers, delays, severities, *rest = array(value, 11)
    sources, types, users, messages, extensions, extra = rest
    whole(size, 1)
    codes = binary(severities)
    hold(len(codes) == size and max(codes) < len(SEVERITIES), "severities are no codes, or too few")
    met.update(f"columns: {SEVERITIES[code]}" for code in codes)
    met.add("columns: one event" if size == 1 else "columns: several events")
    names = [text(name).encode() for name in _texts(sources, size, met)]
    hold(all(name and 0 not in name for name in names), "a source is empty, or has a NUL")
    met.add("columns: extensions nil" if extensions is None else "columns: extensions")
    met.add("columns: extra nil" if extra is None else "columns: extra")
    attached = [b""] * size if extensions is None else list(map(binary, array(extensions, size)))
    more = [{}] * size if extra is None else list(map(extra_of, array(extra, size)))
    columns = zip(
        _int64s(times, size),
        names,
        _int64s(numbers, size),
        _int64s(delays, size),
        codes,
        map(text, array(messages, size)),
        map(text_or_nil, _texts(types, size, met)),
        map(text_or_nil, _texts(users, size, met)),
        attached,
        more,
        strict=True,
    )
    return [
        Stored(Key(time, name, whole(number, -(2**31), 2**31 - 1)), 0, whole(time + delay), *others)
        for time, name, number, delay, *others in columns
    ]


def _int64s(packed: Any, size: int) -> list[int]:
    hold(len(binary(packed)) == 8 * size, f"{len(packed)} bytes are no {size} integers")
    return list(struct.unpack(f"<{size}q", packed))


def _texts(value: Any, size: int, met: Met) -> list[Any]:
    """Return a column of texts."""
    values, packed = array(value, 2)
    hold(len(set(array(values))) == len(values) > 0, "a value is in a table twice, or none is")
    if len(values) == 1:
        hold(binary(packed) == b"", "there are codes of a single value")
        met.add("columns: nil for all" if values == [None] else "columns: one value")
        return list(values) * size
    if len(values) <= BYTE_CODES_MAX:
        codes = list(binary(packed))
        full = len(values) == BYTE_CODES_MAX
        met.add(f"columns: codes of a byte{', 256 values' if full else ''}")
    else:
        hold(len(binary(packed)) % 4 == 0, "codes are cut off")
        codes = list(struct.unpack(f"<{len(packed) // 4}I", packed))
        met.add("columns: codes of four bytes")
    hold(len(codes) == size and max(codes) < len(values), f"{len(codes)} codes for {size} events")
    if None in values:
        met.add("columns: nil among others")
    return [values[code] for code in codes]
