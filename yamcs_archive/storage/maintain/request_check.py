"""The check of request ids: each record leads to events that are stored, unless they were pruned.

A record is stored in the transaction of its events, and both are looked up in one transaction here. A record
outlives its id, which expires after a day: until it is swept its events are stored as well.
"""

from __future__ import annotations

from contextlib import suppress

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import EventKey
from yamcs_archive.event_vectors import dict_encode
from yamcs_archive.results import Fault
from yamcs_archive.storage.disk.environment import Snapshot
from yamcs_archive.storage.format.keys import Keys, decode_key, encode_key
from yamcs_archive.storage.format.requests import decode_record
from yamcs_archive.storage.maintain.faults import VerifyScope, noted_before
from yamcs_archive.storage.read.metadata import read_meta
from yamcs_archive.storage.read.pairs import first_pairs
from yamcs_archive.storage.write.transaction import StoredBlocks
from yamcs_archive.storage.write.writer_cache import WriterCache

_REQUESTS_AT_ONCE = 1_000
"""Largest number of request ids that are read in one transaction."""


def check_requests(scope: VerifyScope) -> None:
    """Read every kept request id, and look up its events."""
    after = b"\0"  # no key is below it
    more = True
    while more:
        scope.go_on()
        missing: dict[EventKey, bytes] = {}
        with scope.environment.snapshot(noted_before) as snapshot:
            cursor = snapshot.transaction.cursor(scope.environment.databases["requests"])
            pairs, more = first_pairs(cursor, after, b"\xff" * 511, _REQUESTS_AT_ONCE)
            if pairs:
                after = pairs[-1][0] + b"\0"
            if not more:
                pairs += snapshot.young.requests().items()
            asked: dict[EventKey, bytes] = {}
            for key, value in pairs:
                try:
                    asked.update((decode_key(event), key) for event in decode_record(key, value).events)
                except DamagedError as error:
                    scope.faults.add_value(error)
            with suppress(DamagedError):  # noted when the events were read
                missing = _missing(scope, snapshot, asked)
        _note(scope, missing)


def _missing(scope: VerifyScope, snapshot: Snapshot, asked: dict[EventKey, bytes]) -> dict[EventKey, bytes]:
    """Return the keys that are not stored, each with the key of its request's record."""
    ordered = sorted(asked)
    if not ordered:
        return {}
    keys = Keys(
        np.array([key.generation_time for key in ordered], np.int64),
        dict_encode([key.source for key in ordered]),
        np.array([key.seq_number for key in ordered], np.int64),
    )
    transaction, young = snapshot
    stored = set(StoredBlocks(scope.environment, transaction, WriterCache()).stored_among(keys))
    return {
        key: asked[key]
        for at, key in enumerate(ordered)
        if at not in stored and not young.has(encode_key(*key))
    }


def _note(scope: VerifyScope, missing: dict[EventKey, bytes]) -> None:
    if not missing or scope.faults.are_events_missing:
        return
    horizon = read_meta(scope.environment).horizon  # it may have moved since the verification began
    for key, request in missing.items():
        if horizon is None or key.generation_time >= horizon:
            reason = "the event that it led to is not stored"
            scope.faults.add(Fault(f"requests {request.hex()}", reason, key, key, 1))
