"""What is read from an instance before anything else: its facts, the head of its commits, its sources."""

from __future__ import annotations

import lmdb
import msgpack

from yamcs_archive.storage.commits import CommitRecord, decode_commit
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.meta import Meta, decode_meta, encode_meta
from yamcs_archive.storage.opening import translated
from yamcs_archive.storage.sources import SourceState, decode_source

__all__ = ["fill_new", "head_commit", "read_meta", "read_sources"]


def fill_new(environment: Environment, meta: Meta) -> None:
    """Write the facts of a new instance, durably."""
    try:
        with environment.lmdb.begin(write=True, db=environment.databases["meta"]) as transaction:
            for key, value in encode_meta(meta):
                transaction.put(key, value)
    except lmdb.Error as error:
        raise translated(error, environment.path) from error


def read_meta(environment: Environment) -> Meta:
    """Return the instance's facts; FormatVersionError or DamagedError when it cannot be used."""
    with environment.read() as transaction:
        pairs = dict(transaction.cursor(environment.databases["meta"]))
    try:
        return decode_meta(pairs, str(environment.path))
    except (msgpack.UnpackException, ValueError) as error:
        raise environment.damaged("meta", str(error)) from None


def head_commit(environment: Environment, transaction: lmdb.Transaction[bytes]) -> CommitRecord | None:
    """Return the record of the newest commit, or None when there is none yet."""
    cursor = transaction.cursor(environment.databases["commits"])
    return decode_commit(*cursor.item()) if cursor.last() else None


def read_sources(environment: Environment) -> dict[str, SourceState]:
    """Return the state of every source that ever had an event, by name in key order."""
    with environment.read() as transaction:
        pairs = list(transaction.cursor(environment.databases["sources"]))
    states = dict(decode_source(key, value) for key, value in pairs)
    return {name: state for name, state in states.items() if state.greatest_number is not None}
