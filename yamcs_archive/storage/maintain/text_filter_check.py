"""The check of text filters: each against its block, those of groups against those of blocks.

A filter may claim texts that its block does not have: searches then read the block in vain. It must never
miss one: the event would not be found.
"""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import lmdb

from yamcs_archive.errors import DamagedError
from yamcs_archive.results import Fault
from yamcs_archive.storage.disk.lmdb_open import TEXTS
from yamcs_archive.storage.format.block import Block, text_filter_of
from yamcs_archive.storage.format.text_filters import TextFilter, decode_filter
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, GROUP_LEVEL, decode_zone_map
from yamcs_archive.storage.maintain.faults import VerifyScope, key_or_none
from yamcs_archive.storage.read.block_index import BlockIndex

_GROUP = "the text filter of a group excludes texts that its blocks have"
_BLOCK = "its text filter excludes texts that the block has"


class _Reading(NamedTuple):
    """One read transaction."""

    scope: VerifyScope
    transaction: lmdb.Transaction[bytes]

    def value(self, database: str, key: bytes) -> bytes | None:
        return self.transaction.get(key, db=self.scope.environment.databases[database])

    def filter_of_block(self, first: bytes) -> TextFilter | None:
        """Return what the filter of a block must have, read from the block; None if it cannot be read."""
        value = self.value("blocks", first)
        if value is None:
            return None
        with suppress(DamagedError):  # noted with the events
            return text_filter_of(Block(first, value))
        return None

    def add(self, key: bytes, reason: str) -> None:
        self.scope.faults.add(Fault(f"texts {key.hex()}", reason, key_or_none(key[1:])))


def check_text_filters(scope: VerifyScope) -> None:
    """Compare each filter with its block, or with the filters of the blocks of its group."""
    if TEXTS not in scope.environment.databases:
        return
    after: bytes | None = b""
    while after is not None:
        scope.go_on()
        with scope.environment.read() as transaction:
            after = _check_next(_Reading(scope, transaction), after)


def _check_next(reading: _Reading, after: bytes) -> bytes | None:
    """Check the next filter after a key; return its key, None at the end."""
    cursor = reading.transaction.cursor(reading.scope.environment.databases[TEXTS])
    if not cursor.set_range(after + b"\0"):
        return None
    key, value = cursor.item()
    try:
        found = decode_filter(key, value)
    except DamagedError as error:  # it is made anew
        reading.scope.faults.add_value(error, key[1:])
        return key
    if reading.value("summaries", key) is None:
        reading.add(key, "there is a text filter, but no zone map")
    elif key.startswith(BLOCK_LEVEL):
        right = reading.filter_of_block(key[len(BLOCK_LEVEL) :])
        if right is not None and not found.covers(right):
            reading.add(key, _BLOCK)
    else:
        with suppress(DamagedError):  # the zone map of the group, noted
            if not found.covers(_joined(reading, key[len(GROUP_LEVEL) :])):
                reading.add(key, _GROUP)
    return key


def _joined(reading: _Reading, first: bytes) -> TextFilter:
    """Return what the filter of a group must have."""
    value = reading.value("summaries", GROUP_LEVEL + first)
    index = BlockIndex(reading.transaction.cursor(reading.scope.environment.databases["summaries"]))
    joined = TextFilter()
    if value is None:
        return joined
    last = decode_zone_map(GROUP_LEVEL + first, value).last
    block: bytes | None = first
    while block is not None and block <= last:
        stored = reading.value(TEXTS, BLOCK_LEVEL + block)
        found: TextFilter | None = None
        if stored is not None:
            with suppress(DamagedError):  # noted
                found = decode_filter(BLOCK_LEVEL + block, stored)
        found = found or reading.filter_of_block(block)
        if found is not None:
            joined.join(found)
        block = index.first_from(block + b"\0")
    return joined
