"""Checks that the sub-databases of an instance agree with each other, by the rules of docs/format.md.

Nothing is decoded here, and nothing of the package is used.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from hashlib import blake2b
from itertools import pairwise, product
from typing import Any, NamedTuple
from zlib import crc32

import msgpack

from tests.golden import texts
from tests.golden.blocks import Stored
from tests.golden.records import DIGEST_BYTES, Commit, Request, Source, Summary
from tests.golden.texts import Filter
from tests.golden.values import BrokenError, Key, Met, decoded, hold

BLOCK_LEVEL, GROUP_LEVEL = 0, 1


class Held(NamedTuple):
    """The decoded content of an instance. Records with a key are in key order."""

    meta: dict[str, Any]
    sources: dict[bytes, Source]
    rows: list[Stored]
    """Empty but in version 1."""
    young: list[Stored]
    """The events of the log; empty in version 1."""
    blocks: list[list[Stored]]
    """The events of each block."""
    summaries: list[Summary]
    commits: list[Commit]
    requests: list[Request]
    texts: list[Filter]

    def events(self) -> list[Stored]:
        """Return the events of rows, log and blocks, in key order, pruned ones included."""
        return sorted([*self.rows, *self.young, *(event for block in self.blocks for event in block)])

    def is_pruned(self, key: Key) -> bool:
        """Return whether an event with this key is before the horizon."""
        return self.meta["horizon"] is not None and key.time < self.meta["horizon"]


def check(held: Held, met: Met) -> None:
    """Raise BrokenError unless all sub-databases agree."""
    events = held.events()
    hold(all(one.key < other.key for one, other in pairwise(events)), "an event is stored twice")
    apart = all(one[-1].key < other[0].key for one, other in pairwise(held.blocks))
    hold(apart, "blocks overlap")
    if any(block[0].key < row.key < block[-1].key for row in held.rows for block in held.blocks):
        met.add("rows: between the keys of a block")
    if any(block[0].key < each.key < block[-1].key for each in held.young for block in held.blocks):
        met.add("log: an event between the keys of a block")
    _check_sources(held, events, met)
    _check_block_summaries(held)
    _check_groups(held, met)
    _check_texts(held, met)
    _check_commits(held, events, met)
    _check_horizon(held, events, met)
    _check_requests(held, events, met)


def _check_sources(held: Held, events: Sequence[Stored], met: Met) -> None:
    by_source: dict[bytes, list[Key]] = defaultdict(list)
    for event in events:
        by_source[event.key.source].append(event.key)
    hold(by_source.keys() <= held.sources.keys(), "an event's source is not in sources")
    for name, kept in held.sources.items():
        keys = by_source[name]
        left = sum(not held.is_pruned(key) for key in keys)
        # Before anything pruned, horizons that were written by hand left the counts as they were.
        right = kept.events in (left, len(keys))
        hold(right, f"source {name!r} has {left} events, not {kept.events}")
        if left < len(keys):
            met.add("source: without pruned events" if kept.events == left else "source: with pruned events")
        for greatest, found in (
            (kept.greatest_number, [key.number for key in keys]),
            (kept.greatest_time, [key.time for key in keys]),
        ):
            right = not found or (greatest is not None and greatest >= max(found))
            if held.meta["horizon"] is None:
                right = greatest == max(found, default=None)
            hold(right, f"source {name!r} has greater ones than {greatest}, or none so great")


def _covers(summary: Summary, events: Iterable[Stored]) -> None:
    """Check that a summary covers all of its events."""
    where = f"the summary of level {summary.level} at {summary.first}"
    for event in events:
        if summary.names is None:
            known = crc32(event.key.source).to_bytes(4, "big") in summary.hashes
        else:
            known = event.key.source in summary.names
        hold(known, f"{where} lacks source {event.key.source!r}")
        hold(bool(summary.severities & 1 << event.severity), f"{where} lacks severity {event.severity}")
        within = summary.lowest_commit <= event.commit <= summary.greatest_commit
        hold(within, f"{where} lacks commit {event.commit}")


def _counts(summary: Summary, events: Sequence[Stored]) -> None:
    """Check the counts of severities of a summary, if it has any: they are exact."""
    if summary.counts is not None:
        found = Counter(event.severity for event in events)
        right = summary.counts == tuple(found[code] for code in range(len(summary.counts)))
        hold(right, f"the summary of level {summary.level} at {summary.first} counts other severities")


def _check_block_summaries(held: Held) -> None:
    found = [summary for summary in held.summaries if summary.level == BLOCK_LEVEL]
    one_for_each = [each.first for each in found] == [block[0].key for block in held.blocks]
    hold(one_for_each, "there is not one summary for each block")
    for summary, block in zip(found, held.blocks, strict=True):
        hold(summary.last == block[-1].key, f"the summary of block {summary.first} ends elsewhere")
        hold(summary.events == len(block), f"the summary of block {summary.first} counts other events")
        _covers(summary, block)
        _counts(summary, block)


def _check_groups(held: Held, met: Met) -> None:
    groups = [summary for summary in held.summaries if summary.level == GROUP_LEVEL]
    hold(all(one.last < other.first for one, other in pairwise(groups)), "groups overlap")
    grouped = 0
    for group in groups:
        blocks = [block for block in held.blocks if group.first <= block[0].key <= group.last]
        hold(bool(blocks) and blocks[0][0].key == group.first, f"group {group.first} begins with no block")
        hold(blocks[-1][-1].key <= group.last, f"group {group.first} ends within a block")
        events = [event for block in blocks for event in block]
        hold(group.events >= len(events), f"group {group.first} counts fewer events than it has")
        met.add("group: as many events" if group.events == len(events) else "group: counts more events")
        _covers(group, events)
        _counts(group, events)
        grouped += len(blocks)
    if grouped < len(held.blocks):
        met.add("group: blocks in none")


def _check_texts(held: Held, met: Met) -> None:
    summaries = {(summary.level, summary.first): summary for summary in held.summaries}
    for found in held.texts:
        summary = summaries.pop((found.level, found.first), None)
        if summary is None:
            raise BrokenError(f"there is a text filter at {found.first}, and no summary")
        within = [block for block in held.blocks if found.first <= block[0].key <= summary.last]
        texts.check(found, (event for block in within for event in block))
    if summaries:
        met.add("texts: none of a block or a group")


def _check_commits(held: Held, events: Sequence[Stored], met: Met) -> None:
    numbers = [commit.number for commit in held.commits]
    missing = set(range(1, max(numbers, default=0) + 1)) - set(numbers)
    allowed = all(number < held.meta["horizon_commit"] for number in missing)
    hold(numbers == sorted(set(numbers)) and allowed, "commits have gaps, or do not begin at 1")
    if missing:
        met.add("commits: a gap before the horizon's commit")
    by_commit: dict[int, list[Stored]] = defaultdict(list)
    for event in events:
        by_commit[event.commit].append(event)
    hold(by_commit.keys() <= set(numbers), "an event's commit has no record")
    for commit in held.commits:
        own = by_commit[commit.number]
        for event in own:
            within = any(begin <= event.key <= end for begin, end in commit.runs)
            hold(within, f"an event of commit {commit.number} is in none of its runs")
        gone = commit.events - len(own)
        if commit.number > held.meta["horizon_commit"]:
            hold(gone == 0, f"commit {commit.number} has {len(own)} events, not {commit.events}")
        hold(gone >= 0, f"commit {commit.number} has more events than {commit.events}")
        if gone:
            met.add("pruned: gone")
        others = {event.commit for event in events for begin, end in commit.runs if begin <= event.key <= end}
        if others - {commit.number}:
            met.add("commit: events of others within a run")


def _check_horizon(held: Held, events: Sequence[Stored], met: Met) -> None:
    for event in events:
        if held.is_pruned(event.key):
            met.add("pruned: still stored")
            known = event.commit <= held.meta["horizon_commit"]
            hold(known, f"commit {event.commit} has pruned events, and is none of those up to horizon_commit")


def _check_requests(held: Held, events: Sequence[Stored], met: Met) -> None:
    where = {row.key: "a row" for row in held.rows} | {each.key: "young" for each in held.young}
    by_key = {event.key: event for event in events}
    for request in held.requests:
        event = by_key.get(request.event)
        if event is None:
            hold(held.is_pruned(request.event), f"request {request.id!r} points to no event")
            met.add("request: its event is gone")
            continue
        given = [how for how in product((True, False), repeat=2) if request.digest == digest(event, *how)]
        hold(len(given) == 1, f"request {request.id!r} has the digest of something else")
        met.add(f"request: its event is {where.get(event.key, 'in a block')}")
        met.add(f"request: {'a' if given[0][0] else 'no'} time was given")
        met.add(f"request: {'a' if given[0][1] else 'no'} number was given")


def digest(event: Stored, with_time: bool, with_number: bool) -> bytes:
    """Return the digest of a request for an event; the request may have had no time or no number."""
    content = [
        event.message,
        decoded(event.key.source),
        event.severity,
        event.type,
        event.key.time if with_time else None,
        event.key.number if with_number else None,
        event.extensions,
        dict(sorted(event.extra.items())),
    ]
    return blake2b(msgpack.packb(content), digest_size=DIGEST_BYTES).digest()
