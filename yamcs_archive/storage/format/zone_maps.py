"""What a query may know of blocks without reading them <-> bytes; pure.

1. Level 0 has one summary for each block, level 1 one for each closed group of neighbouring blocks. The
   key is the level as a byte, then the first event's key.
2. The body is a msgpack array [last key, events, sources, severities, lowest commit, greatest commit].
   Sources are bytes, to be searched as they are: their names in order, a NUL before each and behind the
   last, or beyond 16 of them a byte of 1 and the CRC-32 of each name, 4 bytes big-endian, in order.
3. A summary may say that something is there which is not; never that something is not there which is.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple
from zlib import crc32

import msgpack
import numpy as np
import numpy.typing as npt

from yamcs_archive.event import Severity
from yamcs_archive.storage.format.checksum import Checksummed

_CHECKSUMMED = Checksummed("summaries")
_NAMES_MAX = 16
_HASH = struct.Struct(">I")
_HASH_BYTES = _HASH.size
_HASHED = b"\1"
_SEARCHED_BYTES_MAX = 1 << 15
"""Bytes of a summary times names, up to which it is searched for each name, which takes some 20 us."""
_SEARCHED_MAX = 256
"""Number of names up to which that is done; a summary has at least a hundred bytes."""
BLOCK_LEVEL, GROUP_LEVEL = b"\0", b"\1"


class BlockFilter(NamedTuple):
    """What a query asks of a block, made once and put to every summary."""

    sources: frozenset[bytes] | None
    """The wanted names; None: any source."""
    severities: int
    """A bit for each severity code that is wanted."""
    commits: tuple[int, int] | None = None
    """The least and the greatest number of a commit that is wanted; None: any."""
    hashes: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
    """Hashes of the names, in order."""
    searched_names: tuple[bytes, ...] = ()
    """Names as a summary has them, to be searched for one by one; empty if they are many."""
    searched_hashes: tuple[bytes, ...] = ()

    def searches(self, there: bytes) -> bool:
        """Return whether it is best to search these bytes for each source."""
        return 0 < len(self.searched_names) * len(there) <= _SEARCHED_BYTES_MAX


def block_filter(sources: frozenset[str] | None, min_severity: Severity | None) -> BlockFilter:
    """Return what summaries are asked for.

    >>> block_filter(None, Severity.SEVERE).severities == 1 << Severity.SEVERE | 1 << Severity.ERROR
    True
    """
    mask = 0
    for severity in Severity:
        if min_severity is None or severity >= min_severity:
            mask |= 1 << severity
    if sources is None:
        return BlockFilter(None, mask)
    names = frozenset(map(str.encode, sources))
    hashes = sorted(map(crc32, names))
    few = names if len(names) <= _SEARCHED_MAX else ()
    searched = tuple(b"\0%b\0" % name for name in few), tuple(_HASH.pack(crc32(name)) for name in few)
    return BlockFilter(names, mask, None, np.array(hashes, np.uint32), *searched)


def commit_filter(lowest: int, greatest: int) -> BlockFilter:
    """Return what summaries are asked for by who wants what those commits stored.

    >>> summary = ZoneMap(b"a", b"b", 1, pack_sources(["AOCS"]), 1, 4, 6)
    >>> [summary.may_match(commit_filter(*bounds)) for bounds in ((1, 3), (1, 4), (5, 5), (7, 9))]
    [False, True, True, False]
    """
    return block_filter(None, None)._replace(commits=(lowest, greatest))


def _hash(name: str) -> bytes:
    return _HASH.pack(crc32(name.encode()))


def pack_sources(names: Iterable[str]) -> bytes:
    """Return what a summary says of the sources of one or more events.

    >>> pack_sources(["EPS", "AOCS"])
    b'\\x00AOCS\\x00EPS\\x00'
    """
    found = sorted(set(names))
    if len(found) > _NAMES_MAX:
        return _HASHED + b"".join(sorted(set(map(_hash, found))))
    return b"\0%b\0" % "\0".join(found).encode()


class ZoneMap(NamedTuple):
    """The summary of a block or a group."""

    first: bytes
    last: bytes
    events: int
    sources: bytes
    """As :func:`pack_sources` gives them."""
    severities: int
    lowest_commit: int
    greatest_commit: int

    def may_match(self, ask: BlockFilter) -> bool:
        """Say whether an event that is wanted may be there.

        >>> summary = ZoneMap(b"a", b"b", 1, pack_sources(["AOCS"]), 1, 1, 1)
        >>> [summary.may_match(block_filter(names, None)) for names in (frozenset(["EPS"]), None)]
        [False, True]
        """
        if not self.severities & ask.severities:
            return False
        if ask.commits is not None:
            lowest, greatest = ask.commits
            if greatest < self.lowest_commit or self.greatest_commit < lowest:
                return False
        return ask.sources is None or _may_be_from(self.sources, ask)


def _may_be_from(sources: bytes, ask: BlockFilter) -> bool:
    """Return whether one of the wanted sources may be among those of a summary."""
    if sources[:1] != _HASHED:
        if ask.searches(sources):
            return any(name in sources for name in ask.searched_names)
        return not (ask.sources or frozenset()).isdisjoint(sources[1:-1].split(b"\0"))
    if ask.searches(sources):
        return any(_has_hash(sources, found) for found in ask.searched_hashes)
    count = (len(sources) - len(_HASHED)) // _HASH_BYTES
    there = np.frombuffer(sources, ">u4", count, offset=len(_HASHED)).astype(np.uint32)
    # Both are in order: the shorter list is looked up in the longer one.
    less, more = (there, ask.hashes) if len(there) < len(ask.hashes) else (ask.hashes, there)
    places = np.minimum(more.searchsorted(less), len(more) - 1)
    return bool((more[places] == less).any())


def _has_hash(sources: bytes, found: bytes) -> bool:
    at = sources.find(found, len(_HASHED))
    while at >= 0 and (at - len(_HASHED)) % _HASH_BYTES:
        at = sources.find(found, at + 1)
    return at >= 0


def _joined_sources(parts: Iterable[bytes]) -> bytes:
    """Return the sources of several summaries together."""
    names: set[str] = set()
    hashes: set[bytes] = set()
    for part in set(parts):
        if part[:1] == _HASHED:
            hashes.update(part[at : at + _HASH_BYTES] for at in range(len(_HASHED), len(part), _HASH_BYTES))
        else:
            names.update(part[1:-1].decode().split("\0"))
    if not hashes:
        return pack_sources(names)
    return _HASHED + b"".join(sorted(hashes.union(map(_hash, names))))


def merged(summaries: Iterable[ZoneMap]) -> ZoneMap:
    """Return the summary of neighbouring blocks or groups together; there must be one at least.

    >>> one = ZoneMap(b"a", b"b", 1, pack_sources("A"), 1, 4, 5)
    >>> merged([one, ZoneMap(b"c", b"d", 2, pack_sources("B"), 2, 1, 2)])[:4]
    (b'a', b'd', 3, b'\\x00A\\x00B\\x00')
    """
    parts = sorted(summaries)
    severities = 0
    for part in parts:
        severities |= part.severities
    return ZoneMap(
        parts[0].first,
        max(part.last for part in parts),
        sum(part.events for part in parts),
        _joined_sources(part.sources for part in parts),
        severities,
        min(part.lowest_commit for part in parts),
        max(part.greatest_commit for part in parts),
    )


def encode_zone_map(level: bytes, summary: ZoneMap) -> tuple[bytes, bytes]:
    """Return the pair to put.

    >>> summary = ZoneMap(b"a", b"b", 3, pack_sources(["AOCS", "EPS"]), 5, 1, 2)
    >>> decode_zone_map(*encode_zone_map(BLOCK_LEVEL, summary)) == summary
    True
    """
    key = level + summary.first
    return key, _CHECKSUMMED.wrap(key, msgpack.packb(summary[1:]))


def decode_if_matching(key: bytes, value: bytes, ask: BlockFilter | None) -> ZoneMap | None:
    """Return a summary, or None if it says that nothing wanted is there; None wants anything.

    Raises :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted.

    >>> summary = encode_zone_map(BLOCK_LEVEL, ZoneMap(b"a", b"b", 1, pack_sources(["AOCS"]), 1, 1, 1))
    >>> wanted = [block_filter(frozenset([name]), None) for name in ("AOCS", "EPS")]
    >>> [decode_if_matching(*summary, each) is None for each in wanted]
    [False, True]
    """
    body = _CHECKSUMMED.unwrap(key, value)
    # Most are passed over by their bytes: a summary without a wanted source is not decoded. If either has
    # many names, decoding a summary costs less than searching it for each name.
    if ask is not None and ask.searches(body) and not _names_any(body, ask):
        return None
    found = _decoded(key, body)
    return found if ask is None or found.may_match(ask) else None


def _names_any(body: bytes, ask: BlockFilter) -> bool:
    # A loop, because a generator for any() costs more than all that it looks for.
    for name in ask.searched_names:
        if name in body:
            return True
    for found in ask.searched_hashes:  # noqa: SIM110
        if found in body:
            return True
    return False


def decode_zone_map(key: bytes, value: bytes) -> ZoneMap:
    """Return a summary; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    return _decoded(key, _CHECKSUMMED.unwrap(key, value))


def _decoded(key: bytes, body: bytes) -> ZoneMap:
    try:
        return ZoneMap(key[1:], *msgpack.unpackb(body))
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise _CHECKSUMMED.damaged(key, f"its record cannot be read: {error}") from None
