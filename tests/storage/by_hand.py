"""Changes a closed instance directly: ``meta`` as restoring and pruning do, or what damage takes away."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from yamcs_archive import Archive, Options
from yamcs_archive.storage.disk.environments import acquire, release
from yamcs_archive.storage.format import meta
from yamcs_archive.storage.format.meta import encode_meta
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
