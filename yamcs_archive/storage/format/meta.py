"""The facts of an instance <-> bytes: format version, name, lineage, creation, prune horizon; pure.

Keys are the ASCII names below; each value's body is one msgpack value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, NamedTuple

import msgpack
import msgspec

from yamcs_archive.errors import DamagedError, FormatVersionError
from yamcs_archive.results import MirrorState
from yamcs_archive.storage.format.checksum import Checksummed, Pair
from yamcs_archive.storage.format.commits import LINEAGE_BYTES

FORMAT_VERSION = 2
"""Changes with every change of the stored bytes; see ``docs/format.md``."""
ROWS_VERSION = 1
"""The version in which young and late events were rows; a writer puts them into blocks and makes it the
present one."""
FIRST_READER = "0.1.0"
"""The first version of yamcs_archive that reads the present format: what earlier ones tell their users."""

_CHECKSUMMED = Checksummed("meta")
_RELEASE = re.compile(r"[0-9][0-9A-Za-z.]{0,30}")


class Checkpoint(NamedTuple):
    """What LMDB has of the commit log, by the numbers of its records."""

    last: int
    """LMDB has the content of the records up to this one."""
    carried: int
    """The record with the events of those before that are not in blocks yet; 0: all are."""
    commit: int = -1
    """The number of the newest commit that LMDB has, so that the next one is the first of the log; -1: it was
    not counted. Bulk passes the log by: only this tells two states of LMDB before and after it apart."""


NO_CHECKPOINT = Checkpoint(0, 0)
NEW_CHECKPOINT = Checkpoint(0, 0, 0)
"""That of a new instance."""


class Meta(NamedTuple):
    """The facts of an instance. Times are microseconds since 1970."""

    instance: str
    lineage: bytes
    """Random; new at creation, restore and salvage, so that cursors of another history are recognised."""
    created: int
    horizon: int | None = None
    """Events with earlier generation times were pruned; None: none were."""
    horizon_commit: int = 0
    """The greatest commit number among the events below the horizon."""
    checkpoint: Checkpoint = NO_CHECKPOINT
    """What LMDB has of the commit log."""
    mirrored: MirrorState | None = None
    """Set in a mirror, in the transaction of each commit that it takes over; None in other instances."""


def encode_meta(meta: Meta) -> list[Pair]:
    """Return the pairs to put.

    >>> meta = Meta("sim", b"8 random", 0)
    >>> decode_meta(dict(encode_meta(meta)), "sim") == meta
    True
    """
    values = {"format": FORMAT_VERSION, "reader": FIRST_READER, **meta._asdict()}
    if meta.mirrored is None:
        del values["mirrored"]
    return [_pair(name, value) for name, value in values.items()]


def encode_mirrored(mirrored: MirrorState) -> Pair:
    """Return the pair to put together with the events that a mirror takes over."""
    return _pair("mirrored", mirrored)


def encode_checkpoint(checkpoint: Checkpoint) -> Pair:
    """Return the pair to put when LMDB has other records of the log.

    >>> decode_checkpoint(encode_checkpoint(Checkpoint(7, 9, 4))[1])
    Checkpoint(last=7, carried=9, commit=4)
    """
    return _pair("checkpoint", checkpoint)


def encode_format() -> list[Pair]:
    """Return the pairs to put when nothing of an earlier version is left."""
    return [_pair("format", FORMAT_VERSION), _pair("reader", FIRST_READER)]


def decode_checkpoint(value: bytes) -> Checkpoint:
    """Return the checkpoint; DamagedError if it cannot be trusted."""
    _, found = decode_fact(b"checkpoint", value)
    try:
        return msgspec.convert(found, Checkpoint)
    except msgspec.ValidationError as error:
        raise _CHECKSUMMED.damaged(b"checkpoint", str(error)) from None


def encode_horizon(horizon: int, horizon_commit: int) -> list[Pair]:
    """Return the pairs to put when the prune horizon moves.

    >>> meta = Meta("sim", b"8 random", 0)
    >>> pairs = {**dict(encode_meta(meta)), **dict(encode_horizon(5, 2))}
    >>> decode_meta(pairs, "sim") == meta._replace(horizon=5, horizon_commit=2)
    True
    """
    return [_pair("horizon", horizon), _pair("horizon_commit", horizon_commit)]


def _pair(name: str, value: object) -> Pair:
    return name.encode(), _CHECKSUMMED.wrap(name.encode(), msgpack.packb(value, default=astuple))


def decode_fact(key: bytes, value: bytes) -> tuple[str, object]:
    """Return the name and the value of one fact; DamagedError if it cannot be trusted.

    >>> [decode_fact(*pair) for pair in encode_meta(Meta("sim", b"8 random", 0))][:2]
    [('format', 2), ('reader', '0.1.0')]
    """
    body = _CHECKSUMMED.unwrap(key, value)
    try:
        return key.decode("ascii"), msgpack.unpackb(body)
    except (ValueError, msgpack.UnpackException) as error:
        raise _CHECKSUMMED.damaged(key, f"it cannot be read: {error}") from None


def _check_types(meta: Meta) -> None:
    """Raise msgspec.ValidationError unless each fact is of its type."""
    mirrored = None if meta.mirrored is None else vars(meta.mirrored)
    msgspec.convert([*meta[:-1], mirrored], Meta)


def first_reader(values: Mapping[str, object]) -> str | None:
    """Return the first version of this program that reads an instance, if its facts say so.

    >>> first_reader({"format": 9, "reader": "2.1.0"}), first_reader({"format": 9, "reader": "2.1 or 3"})
    ('2.1.0', None)
    """
    reader = values.get("reader")
    return reader if isinstance(reader, str) and _RELEASE.fullmatch(reader) else None


def decode_meta(pairs: Mapping[bytes, bytes], where: str) -> Meta:
    """Return the facts; FormatVersionError for another format, DamagedError if they cannot be trusted."""
    values: dict[str, Any] = dict(decode_fact(*pair) for pair in pairs.items())
    found = values.pop("format", None)
    if found not in (ROWS_VERSION, FORMAT_VERSION):
        raise FormatVersionError(where, found, FORMAT_VERSION, first_reader(values))
    values.pop("reader", None)
    try:
        if "checkpoint" in values:
            values["checkpoint"] = Checkpoint(*values["checkpoint"])
        if "mirrored" in values:
            values["mirrored"] = MirrorState(*values["mirrored"])
        meta = Meta(**values)
        _check_types(meta)
    except (TypeError, msgspec.ValidationError) as error:
        raise DamagedError(f"{where}, meta", str(error)) from None
    if len(meta.lineage) != LINEAGE_BYTES:
        raise DamagedError(f"{where}, meta", f"the lineage has {len(meta.lineage)} bytes")
    return meta
