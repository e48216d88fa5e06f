"""The block that a query reads next is the one that a look at every zone map finds, with any groups."""

from __future__ import annotations

from itertools import combinations
from tempfile import TemporaryDirectory

import lmdb
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive.storage.format.zone_maps import (
    BLOCK_LEVEL,
    GROUP_LEVEL,
    BlockFilter,
    ZoneMap,
    block_filter,
    encode_zone_map,
    pack_sources,
)
from yamcs_archive.storage.read.block_index import BlockIndex

_block = st.tuples(st.integers(0, 2), st.sampled_from(["AOCS", "EPS", "EPS", "EPS"]))
_runs = st.lists(st.tuples(st.lists(_block, min_size=1, max_size=3), st.booleans()), min_size=1, max_size=5)
"""Runs of blocks, each with its length and its source, and whether the run is a closed group."""


@given(_runs, st.sampled_from([None, block_filter(None, None), block_filter(frozenset(["AOCS"]), None)]))
def test_the_same_blocks_are_found_with_groups_and_without(
    drawn: list[tuple[list[tuple[int, str]], bool]], ask: BlockFilter | None
) -> None:
    at, blocks, groups = 0, [], []
    for run, closed in drawn:
        for length, source in run:
            blocks.append(ZoneMap(b"%03d" % at, b"%03d" % (at + length), 1, pack_sources([source]), 2, 1, 1))
            at += length + 2
        if closed:
            groups.append(ZoneMap.merge(blocks[-len(run) :]))
    bounds = [b"%03d" % place for place in range(at + 1)]
    with TemporaryDirectory() as folder, lmdb.open(folder) as environment:
        with environment.begin(write=True) as transaction:
            for level, summaries in ((BLOCK_LEVEL, blocks), (GROUP_LEVEL, groups)):
                for summary in summaries:
                    transaction.put(*encode_zone_map(level, summary))
        with environment.begin() as transaction:
            for lower, upper in combinations(bounds, 2):
                there = [
                    block
                    for block in blocks
                    if block.first < upper and block.last >= lower and (ask is None or block.may_match(ask))
                ]
                index = BlockIndex(transaction.cursor())
                found = [find(lower, upper, ask) for find in (index.first_match, index.last_match)]
                assert found == ([there[0], there[-1]] if there else [None, None])
