"""A quick check: the first and the last values of each sub-database are read, at any size.

It finds an end that is missing or damaged, as a copy that broke off or a lost write leaves it. Damage within
is found by :mod:`verification`. The commit log is small, and is read whole.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import islice

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import decode_commit
from yamcs_archive.storage.format.requests import decode_record
from yamcs_archive.storage.format.source_states import decode_source
from yamcs_archive.storage.format.zone_maps import BLOCK_LEVEL, ZoneMap, decode_zone_map
from yamcs_archive.storage.maintain.faults import Faults, noted_before
from yamcs_archive.storage.maintain.young_check import check_young
from yamcs_archive.storage.read.block_index import stored_block

_ENDS = 100
"""Largest number of values that are read at each end of a sub-database."""


def _decode_block(key: bytes, value: bytes) -> object:
    block = Block(key, value)
    block.check_body()
    return block.events


_DECODERS: dict[str, Callable[[bytes, bytes], object]] = {
    "sources": decode_source,
    "blocks": _decode_block,
    "summaries": decode_zone_map,
    "commits": decode_commit,
    "requests": decode_record,
}


def check_quickly(environment: Environment, faults: Faults) -> dict[str, int]:
    """Read both ends of each sub-database, and return how many values were read of each."""
    read = {name: _check(environment, name, decode, faults) for name, decode in _DECODERS.items()}
    check_young(environment, faults)
    with environment.snapshot(noted_before) as (_, young):
        return {"young": young.events, **read}


def _check(
    environment: Environment, name: str, decode: Callable[[bytes, bytes], object], faults: Faults
) -> int:
    pairs = _ends(environment, name)
    for key, value in pairs:
        zone_map: ZoneMap | None = None
        try:
            found = decode(key, value)
            if isinstance(found, ZoneMap) and key[:1] == BLOCK_LEVEL:
                zone_map = found
                _find_block(environment, key[1:])
        except DamagedError as error:
            if name == "blocks":
                faults.lose(error, key, _zone_map_of(environment, key))
            elif zone_map is not None:
                faults.lose(error, zone_map.first, zone_map)
            else:
                faults.add_value(error)
    return len(pairs)


def _zone_map_of(environment: Environment, first: bytes) -> ZoneMap | None:
    """Return the zone map of a block, which has its last key and its number of events, if it can be read."""
    key = BLOCK_LEVEL + first
    with environment.read() as transaction, suppress(DamagedError):
        value = transaction.get(key, db=environment.databases["summaries"])
        return None if value is None else decode_zone_map(key, value)
    return None


def _find_block(environment: Environment, first: bytes) -> None:
    with environment.read() as transaction:
        stored_block(transaction, environment.databases["blocks"], first)


def _ends(environment: Environment, name: str) -> list[Pair]:
    """Return the first and the last pairs of a sub-database, each once."""
    with environment.read() as transaction:
        cursor = transaction.cursor(environment.databases[name])
        first = list(islice(cursor.iternext(), _ENDS)) if cursor.first() else []
        last = list(islice(cursor.iterprev(), _ENDS)) if cursor.last() else []
    return list(dict([*first, *last]).items())
