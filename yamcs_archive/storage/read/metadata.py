"""Reading the facts of an instance, the head of its commits, and its sources, without reading events."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from operator import itemgetter

import lmdb
import msgpack

from yamcs_archive.errors import DamagedError
from yamcs_archive.storage.disk.environment import Environment, Snapshot
from yamcs_archive.storage.disk.lmdb_open import archive_error
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import (
    COMMIT_KEY_BYTES,
    CommitRecord,
    commit_key,
    commit_number,
    decode_commit,
    encode_commit,
)
from yamcs_archive.storage.format.meta import Meta, decode_meta, encode_meta
from yamcs_archive.storage.format.source_states import SourceState, decode_source
from yamcs_archive.storage.format.zone_maps import decode_zone_map
from yamcs_archive.storage.read.pairs import first_pairs

_log = logging.getLogger(__name__)


def fill_new(environment: Environment, meta: Meta) -> None:
    """Write the facts of a new instance, durably."""
    try:
        with environment.lmdb.begin(write=True, db=environment.databases["meta"]) as transaction:
            for key, value in encode_meta(meta):
                transaction.put(key, value)
    except lmdb.Error as error:
        raise archive_error(error, environment.path) from error


def read_meta(environment: Environment) -> Meta:
    """Return the instance's facts; FormatVersionError or DamagedError when it cannot be used.

    Damage of young events does not matter: it is told to who reads them.
    """
    with environment.snapshot(_ignore) as (transaction, young):
        pairs = dict(transaction.cursor(environment.databases["meta"]))
        if (mirrored := young.fact(b"mirrored")) is not None:
            pairs[b"mirrored"] = mirrored
    return decode_facts(pairs, str(environment.path))


def _ignore(_error: DamagedError) -> None:
    pass


def stored_meta(environment: Environment) -> Meta:
    """Return the facts that LMDB has, without those that are young; the log is not read. Raises as
    :func:`read_meta` does.
    """
    with environment.read() as transaction:
        pairs = dict(transaction.cursor(environment.databases["meta"]))
    return decode_facts(pairs, str(environment.path))


def decode_facts(pairs: Mapping[bytes, bytes], where: str) -> Meta:
    """Return an instance's facts from the pairs that are stored; raises as :func:`read_meta` does."""
    try:
        return decode_meta(pairs, where)
    except (msgpack.UnpackException, ValueError) as error:
        raise DamagedError(f"{where}, meta", str(error)) from None


def head_commit(environment: Environment, snapshot: Snapshot) -> CommitRecord | None:
    """Return the record of the newest commit, or None when there is none yet."""
    transaction, young = snapshot
    if (newest := young.newest_commit()) is not None:
        return newest
    cursor = transaction.cursor(environment.databases["commits"])
    return decode_commit(*cursor.item()) if cursor.last() else None


def seek_commit(cursor: lmdb.Cursor[bytes], number: int) -> bool:
    """Move to the commit record that begins at ``number``, or else to the last one before; False if none
    does."""
    key = commit_key(number)
    if not cursor.set_range(key):
        return cursor.last()
    return cursor.key() == key or cursor.prev()


def head_number(environment: Environment, snapshot: Snapshot) -> int:
    """Return the number of the newest commit, or 0; taken from the events if its record is damaged.

    For that all zone maps are read. Every commit stored an event, so the greatest number that events
    have is that of the newest commit.
    """
    try:
        newest = head_commit(environment, snapshot)
        return newest.last if newest else 0
    except DamagedError as error:
        _log.error("%s; the number of the newest commit is taken from the events", error)
    found = newest_key(environment, snapshot)
    for key, value in snapshot.transaction.cursor(environment.databases["summaries"]):
        with suppress(DamagedError):
            found = max(found, decode_zone_map(key, value).greatest_commit)
    return found


def commit_pairs(
    environment: Environment, snapshot: Snapshot, lower: bytes, upper: bytes, pairs_max: int
) -> tuple[list[Pair], bool]:
    """Return the first commit records with ``lower <= key < upper``, as stored, and whether there may be
    more.
    """
    transaction, young = snapshot
    cursor = transaction.cursor(environment.databases["commits"])
    found, more = first_pairs(cursor, lower, upper, pairs_max)
    if more:
        return found, True
    number = lower[:COMMIT_KEY_BYTES].ljust(COMMIT_KEY_BYTES, b"\0")
    first = int.from_bytes(number, "big") + (len(lower) > COMMIT_KEY_BYTES)
    for record in young.commits(first):
        pair = encode_commit(record)
        if pair[0] >= upper:
            break
        if len(found) == pairs_max:
            return found, True
        found.append(pair)
    return found, False


def newest_key(environment: Environment, snapshot: Snapshot) -> int:
    """Return the number of the first commit of the newest record, or 0; its value is not read."""
    transaction, young = snapshot
    if (newest := young.newest_commit()) is not None:
        return newest.first
    cursor = transaction.cursor(environment.databases["commits"])
    return commit_number(cursor.key()) if cursor.last() else 0


def source_names(environment: Environment) -> list[str]:
    """Return the name of every source that ever had an event, in order.

    Raises DamagedError if the state of one is damaged: its name may be wrong then.
    """
    return list(read_sources(environment))


def read_sources(environment: Environment) -> dict[str, SourceState]:
    """Return the state of every source that ever had an event, by name in key order."""
    with environment.snapshot() as (transaction, young):
        pairs = list(transaction.cursor(environment.databases["sources"]))
        changed = young.sources()
    states = dict(
        decode_source(key, value) for key, value in pairs if key.decode(errors="replace") not in changed
    )
    if changed:
        states = dict(sorted([*states.items(), *changed.items()], key=itemgetter(0)))
    return {name: state for name, state in states.items() if state.greatest_number is not None}
