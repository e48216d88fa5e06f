"""What a query may know of blocks without reading them <-> bytes; pure.

1. Level 0 has one summary for each block, level 1 one for each closed group of neighbouring blocks. The
   key is the level as a byte, then the first event's key.
2. The body is a msgpack array [last key, events, sources, severities, lowest commit, greatest commit].
   Sources are a list of names, or beyond 256 of them the sorted CRC-32 of each name, 4 bytes big-endian one
   after another (5,000 evenly used sources would cost 17 bytes an event as names).
3. A summary may say that something is there which is not; never that something is not there which is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

import msgpack

from yamcs_archive.event import Severity
from yamcs_archive.storage.checksums import Sealer

_SEALER = Sealer("summaries")
_NAMES_MAX = 256
_HASH_BYTES = 4
BLOCK_LEVEL, GROUP_LEVEL = b"\0", b"\1"


class Wanted(NamedTuple):
    """What a query asks of a block, made once and put to every summary."""

    sources: frozenset[str] | None
    hashes: tuple[bytes, ...]
    severities: int
    """A bit for each severity code that is wanted."""


def wanted(sources: frozenset[str] | None, min_severity: Severity | None) -> Wanted:
    """Return what summaries are asked for.

    >>> wanted(None, Severity.SEVERE).severities == 1 << Severity.SEVERE | 1 << Severity.ERROR
    True
    """
    mask = 0
    for severity in Severity:
        if min_severity is None or severity >= min_severity:
            mask |= 1 << severity
    return Wanted(sources, tuple(map(_hash, sources or ())), mask)


def _hash(name: str) -> bytes:
    return crc32(name.encode()).to_bytes(_HASH_BYTES, "big")


class Summary(NamedTuple):
    """The summary of a block or a group; ``sources`` are names, or the hashes of more than 256."""

    first: bytes
    last: bytes
    events: int
    sources: frozenset[str] | bytes
    severities: int
    lowest_commit: int
    greatest_commit: int

    def may_have(self, ask: Wanted) -> bool:
        """Say whether an event that is wanted may be there.

        >>> summary = Summary(b"a", b"b", 1, frozenset(["AOCS"]), 1, 1, 1)
        >>> summary.may_have(wanted(frozenset(["EPS"]), None)), summary.may_have(wanted(None, None))
        (False, True)
        """
        if not self.severities & ask.severities:
            return False
        if ask.sources is None:
            return True
        if isinstance(self.sources, bytes):
            return any(_has_hash(self.sources, found) for found in ask.hashes)
        return not self.sources.isdisjoint(ask.sources)


def _has_hash(hashes: bytes, found: bytes) -> bool:
    at = hashes.find(found)
    while at >= 0 and at % _HASH_BYTES:
        at = hashes.find(found, at + 1)
    return at >= 0


def joined(summaries: Iterable[Summary]) -> Summary:
    """Return the summary of neighbouring blocks or groups together; there must be one at least.

    >>> one = Summary(b"a", b"b", 1, frozenset(["A"]), 1, 4, 5)
    >>> joined([one, Summary(b"c", b"d", 2, frozenset(["B"]), 2, 1, 2)])[:3]
    (b'a', b'd', 3)
    """
    parts = sorted(summaries)
    names = [part.sources for part in parts]
    if any(isinstance(found, bytes) for found in names) or len(frozenset().union(*names)) > _NAMES_MAX:
        hashes: set[bytes] = set()
        for found in names:
            if isinstance(found, bytes):
                hashes.update(found[at : at + _HASH_BYTES] for at in range(0, len(found), _HASH_BYTES))
            else:
                hashes.update(map(_hash, found))
        sources: frozenset[str] | bytes = b"".join(sorted(hashes))
    else:
        sources = frozenset(name for found in names if isinstance(found, frozenset) for name in found)
    severities = 0
    for part in parts:
        severities |= part.severities
    return Summary(
        parts[0].first,
        max(part.last for part in parts),
        sum(part.events for part in parts),
        sources,
        severities,
        min(part.lowest_commit for part in parts),
        max(part.greatest_commit for part in parts),
    )


def encode_summary(level: bytes, summary: Summary) -> tuple[bytes, bytes]:
    """Return the pair to put.

    >>> summary = Summary(b"a", b"b", 3, frozenset(["AOCS", "EPS"]), 5, 1, 2)
    >>> decode_summary(*encode_summary(BLOCK_LEVEL, summary)) == summary
    True
    """
    key = level + summary.first
    sources: bytes | list[str] = (
        summary.sources if isinstance(summary.sources, bytes) else sorted(summary.sources)
    )
    if isinstance(sources, list) and len(sources) > _NAMES_MAX:
        sources = b"".join(sorted({_hash(name) for name in sources}))
    return key, _SEALER.seal(key, msgpack.packb((summary.last, summary.events, sources, *summary[4:])))


def decode_summary(key: bytes, value: bytes) -> Summary:
    """Return a summary; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    body = _SEALER.open(key, value)
    try:
        last, events, sources, severities, lowest, greatest = msgpack.unpackb(body)
        kept = sources if isinstance(sources, bytes) else frozenset(sources)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise _SEALER.damaged(key, f"its record cannot be read: {error}") from None
    return Summary(key[1:], last, events, kept, severities, lowest, greatest)
