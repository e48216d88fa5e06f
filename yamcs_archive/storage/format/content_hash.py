"""The content hash of events: equal for equal events, whatever blocks they are in, in whatever order; pure.

1. Every event has a hash of four lanes of 64 bits over all its fields but the number of its commit, so that
   a mirror has the hash of its source. The content hash is their sum, lane by lane, modulo 2**64: so the hash
   of a chain of backups is the sum of theirs.
2. The digest of a text is the first 32 bytes of its BLAKE2b (64 bytes, no key), as four little-endian lanes.
   A type or user that is None, extensions that are empty and ``extra`` that is empty have lanes of 0;
   ``extra`` is hashed as msgpack, its names in order.
3. An event's lane is the sum of its fields, each multiplied by the lane of the digest of the field's name
   with its lowest bit set, mixed by the finalizer of SplitMix64. Integers are fields as two's complement.
4. It finds accidents, not forgery: sums of hashes can be made to fit by somebody who chooses the events.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import DictColumn, StoredVectors

Lanes = npt.NDArray[np.uint64]
"""Lanes of 64 bits: four of a hash, or four for each of several events."""

_LANES = 4
_DIGEST_BYTES = 64
_encode_extra = msgspec.msgpack.Encoder(order="deterministic").encode


def _digests(texts: Sequence[bytes]) -> Lanes:
    """Return the digest of each text, as an array of lanes by texts."""
    joined = b"".join([found.digest() for found in map(blake2b, texts)])
    words = np.frombuffer(joined, "<u8").reshape(len(texts), _DIGEST_BYTES // 8)
    return words[:, :_LANES].T.astype(np.uint64, order="C")


_MULTIPLIERS = {
    name: _digests([name.encode()]) | np.uint64(1)
    for name in (
        *("generation_time", "seq_number", "reception_time", "severity", "source", "type", "created_by"),
        *("message", "extensions", "extra"),
    )
}


class ContentHash:
    """A sum of hashes of events, to which more can be added, and from which they can be taken.

    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event import Event
    >>> events = [Event("a", generation_time=n, seq_number=n, reception_time=n) for n in range(3)]
    >>> def vectors(events):
    ...     return StoredVectors.of(Columns.of(events), commit=1)
    >>> whole, parts = ContentHash(), ContentHash()
    >>> whole.add(vectors(events))
    >>> for event in reversed(events):
    ...     parts.add(vectors([event]))
    >>> whole.hex() == parts.hex(), whole.events, ContentHash().hex() == "0" * 64
    (True, 3, True)
    >>> parts.remove(vectors(events))
    >>> parts.events, parts.hex() == "0" * 64
    (0, True)
    """

    def __init__(self) -> None:
        self.events = 0
        self._lanes: Lanes = np.zeros(_LANES, np.uint64)

    def add(self, events: StoredVectors) -> None:
        """Add the hashes of events, in any order."""
        self.events += events.size
        self._lanes = self._lanes + hashes(events).sum(axis=1, dtype=np.uint64)

    def remove(self, events: StoredVectors) -> None:
        """Take the hashes of events that were added out of the sum."""
        self.events -= events.size
        self._lanes = self._lanes - hashes(events).sum(axis=1, dtype=np.uint64)

    def add_hex(self, events: int, text: str) -> None:
        """Add the hash of a number of other events, as :meth:`hex` gives it. Raises ValueError."""
        raw = bytes.fromhex(text)
        if len(raw) != _LANES * 8:
            raise ValueError(f"{text!r} is no content hash")
        self.events += events
        self._lanes = self._lanes + np.frombuffer(raw, ">u8").astype(np.uint64)

    def hex(self) -> str:
        """Return the hash: 64 hexadecimal digits."""
        return self._lanes.astype(">u8").tobytes().hex()


def hashes(events: StoredVectors) -> Lanes:
    """Return the hash of each event, as an array of lanes by events."""
    found = _digests(list(map(str.encode, events.messages))) * _MULTIPLIERS["message"]
    for name, column in (
        ("generation_time", events.times),
        ("seq_number", events.numbers),
        ("reception_time", events.received),
        ("severity", events.severities.astype(np.int64)),
    ):
        found += column.view(np.uint64) * _MULTIPLIERS[name]
    for name, texts in (("source", events.sources), ("type", events.types), ("created_by", events.users)):
        if texts.values != [None]:
            found += (_text_digests(texts) * _MULTIPLIERS[name])[:, texts.codes]
    if events.extensions is not None:
        found += _sparse(events.extensions, events.extensions) * _MULTIPLIERS["extensions"]
    if events.extra is not None:
        found += _sparse(events.extra, map(_encode_extra, events.extra)) * _MULTIPLIERS["extra"]
    return _mixed(found)


def _text_digests(texts: DictColumn) -> Lanes:
    found = _digests([(text or "").encode() for text in texts.values])
    found[:, [text is None for text in texts.values]] = 0
    return found


def _sparse(values: Sequence[Any], encoded: Iterable[bytes]) -> Lanes:
    """Return the digests of encoded values, 0 for those that are empty."""
    found: Lanes = np.zeros((_LANES, len(values)), np.uint64)
    kept = [(at, text) for at, (value, text) in enumerate(zip(values, encoded, strict=True)) if value]
    if kept:
        found[:, [at for at, _ in kept]] = _digests([text for _, text in kept])
    return found


def _mixed(lanes: Lanes) -> Lanes:
    """Return lanes mixed in place, so that sums of them tell which fields belong to one event."""
    for shift, multiplier in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        lanes ^= lanes >> np.uint64(shift)
        lanes *= np.uint64(multiplier)
    lanes ^= lanes >> np.uint64(31)
    return lanes
