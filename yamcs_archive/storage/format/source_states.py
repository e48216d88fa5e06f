"""The states of sources <-> bytes: for automatic numbers, the list of sources, and counts; pure.

The body is a msgpack array: [events held, greatest number ever or nil, greatest generation time ever or
nil, duplicates seen, conflicts seen, expired seen]. The key is the source's name in UTF-8.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from yamcs_archive.storage.format.checksum import Checksummed, Pair

_CHECKSUMMED = Checksummed("sources")
_Count = Annotated[int, msgspec.Meta(ge=0)]


class SourceState(msgspec.Struct, array_like=True, gc=False):
    """The state of one source. ``greatest_*`` count every event ever stored, pruned ones too."""

    events: _Count = 0
    greatest_number: int | None = None
    greatest_time: int | None = None
    duplicates: _Count = 0
    conflicts: _Count = 0
    expired: _Count = 0


_decoder = msgspec.msgpack.Decoder(SourceState)


def encode_source(name: str, state: SourceState) -> Pair:
    """Return the pair to put for a source.

    >>> decode_source(*encode_source("AOCS", SourceState(2, 15, 0))) == ("AOCS", SourceState(2, 15, 0))
    True
    """
    key = name.encode()
    # The msgpack of a struct that is array_like is the array of its fields.
    return key, _CHECKSUMMED.wrap(key, msgspec.msgpack.encode(state))


def decode_source(key: bytes, value: bytes) -> tuple[str, SourceState]:
    """Return name and state; :class:`~yamcs_archive.errors.DamagedError` if they cannot be trusted."""
    body = _CHECKSUMMED.unwrap(key, value)
    try:
        return key.decode(), _decoder.decode(body)
    except (ValueError, msgspec.MsgspecError) as error:
        raise _CHECKSUMMED.damaged(key, f"its record cannot be read: {error}") from None
