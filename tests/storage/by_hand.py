"""Changes a closed instance directly: ``meta`` as restoring and pruning do, or what damage takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lmdb
import pytest

from yamcs_archive import Archive, Options
from yamcs_archive.storage.disk.environments import acquire, release
from yamcs_archive.storage.disk.lmdb_open import DATABASES
from yamcs_archive.storage.format import meta
from yamcs_archive.storage.format.commits import encode_commit
from yamcs_archive.storage.format.keys import BEFORE_ALL, BEYOND_ALL
from yamcs_archive.storage.format.meta import ROWS_VERSION, encode_meta
from yamcs_archive.storage.format.rows import encode_rows
from yamcs_archive.storage.format.source_states import encode_source
from yamcs_archive.storage.read.metadata import read_meta
from yamcs_archive.storage.write import checkpoint


def put_into_lmdb(directory: Path) -> None:
    """Put what is young into blocks, and leave each commit its own record."""
    with (
        pytest.MonkeyPatch.context() as patch,
        Archive.open(directory, options=Options(maintenance=False)) as archive,
    ):
        patch.setattr(checkpoint, "PACK_COMMITS_MAX", 1)
        for name in archive.instances():
            store: Any = archive.instance(name)._store  # below every public door
            store._writer.checkpoint_all()


def as_version_1(directory: Path) -> None:
    """Make the closed instance ``sim`` one of format version 1: what is young becomes rows, without a log."""
    environment = acquire(directory / "sim", readonly=True, map_bytes=Options().map_bytes)
    try:
        with environment.snapshot() as (_, young):
            found, more = young.find(BEFORE_ALL, BEYOND_ALL, descending=False, events_max=1_000_000)
            assert not more
            rows = encode_rows(found.columns(), found.commit_numbers()) if found else []
            commits = [encode_commit(record) for record in young.commits()]
            sources = [encode_source(*state) for state in young.sources().items()]
            requests = list(young.requests().items())
        folder = environment.path
    finally:
        release(environment, readonly=True)
    with lmdb.open(str(folder), max_dbs=len(DATABASES)) as opened:
        databases = {name: opened.open_db(name.encode(), create=False) for name in DATABASES}
        with opened.begin(write=True) as transaction:
            pairs = {"rows": rows, "commits": commits, "sources": sources, "requests": requests}
            for name, more_pairs in pairs.items():
                transaction.cursor(databases[name]).putmulti(more_pairs)
            transaction.put(*meta._pair("format", ROWS_VERSION), db=databases["meta"])
            assert transaction.delete(b"checkpoint", db=databases["meta"])
    for path in folder.glob("log*"):
        path.unlink()


def change_meta(instance: Path, **facts: Any) -> None:
    """Replace some values of the instance's ``meta``."""
    environment = acquire(instance, readonly=False, map_bytes=Options().map_bytes)
    try:
        changed = read_meta(environment)._replace(**facts)
        with environment.lmdb.begin(write=True, db=environment.databases["meta"]) as transaction:
            for pair in encode_meta(changed):
                transaction.put(*pair)
    finally:
        release(environment, readonly=False)


def put_fact(instance: Path, name: str, value: object) -> None:
    """Put one fact into the instance's ``meta``, also one that this version does not know."""
    environment = acquire(instance, readonly=False, map_bytes=Options().map_bytes)
    try:
        with environment.lmdb.begin(write=True, db=environment.databases["meta"]) as transaction:
            transaction.put(*meta._pair(name, value))
    finally:
        release(environment, readonly=False)


def remove(instance: Path, database: str, key: bytes) -> None:
    """Delete a value of the instance, which is there."""
    put_into_lmdb(instance.parent)
    environment = acquire(instance, readonly=False, map_bytes=Options().map_bytes)
    try:
        with environment.lmdb.begin(write=True, db=environment.databases[database]) as transaction:
            assert transaction.delete(key)
    finally:
        release(environment, readonly=False)
