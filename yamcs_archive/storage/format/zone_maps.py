"""Zone maps <-> bytes: facts of a block that a query checks instead of reading it; "summaries" on disk. Pure.

1. Level 0 has one zone map for each block, level 1 one for each closed group of neighbouring blocks. The key
   is the level as a byte, then the first event's key.
2. The body is a msgpack array [last key, events, sources, severities, lowest commit, greatest commit,
   severity counts]. Earlier versions wrote it without the counts; such zone maps are made anew after opening.
   Sources are bytes that are searched as they are: the names in order, with a NUL before each and after the
   last, or beyond 16 names a byte of 1 and the CRC-32 of each name, 4 bytes big-endian, in order.
3. A zone map may claim sources, severities and commits that its block does not have, but never misses one
   that it has. The numbers of events are exact, if there are counts: those of a group are changed with each
   of its blocks.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import NamedTuple
from zlib import crc32

import msgpack
import msgspec
import numpy as np
import numpy.typing as npt

from yamcs_archive.event import Severity
from yamcs_archive.storage.format.checksum import Checksummed, Pair

_CHECKSUMMED = Checksummed("summaries")
_NAMES_MAX = 16
_HASH = struct.Struct(">I")
_HASH_BYTES = _HASH.size
_HASHED = b"\1"
_SEARCHED_MAX, _SEARCHED_BYTES_MAX = 4, 4096
"""The bytes of a zone map of up to 4 KiB are searched for up to 4 names; otherwise it is decoded sooner."""
BLOCK_LEVEL, GROUP_LEVEL = b"\0", b"\1"


class BlockFilter(NamedTuple):
    """What a query wants of a block, made once and compared with every zone map."""

    sources: frozenset[bytes] | None
    """The wanted names; None: any source."""
    severities: int
    """A bit for each severity code that is wanted."""
    commits: tuple[int, int] | None = None
    """The least and the greatest number of a commit that is wanted; None: any."""
    hashes: npt.NDArray[np.uint32] = np.zeros(0, np.uint32)
    """Hashes of the names, in order."""
    searched: tuple[bytes, ...] = ()
    """All names, then all hashes, as zone maps have them, to be searched for one by one; empty if they are
    many.
    """
    trigrams: tuple[int, ...] = ()
    """Of the texts that a wanted event has: those that text filters exclude, if they do."""


def block_filter(
    sources: frozenset[str] | None, min_severity: Severity | None, trigrams: tuple[int, ...] = ()
) -> BlockFilter:
    """Return a filter for blocks that may hold events of these sources and severities; None: any.

    ``trigrams`` are those of texts that each of these events has.

    >>> block_filter(None, Severity.SEVERE).severities == 1 << Severity.SEVERE | 1 << Severity.ERROR
    True
    """
    mask = 0
    for severity in Severity:
        if min_severity is None or severity >= min_severity:
            mask |= 1 << severity
    if sources is None:
        return BlockFilter(None, mask, trigrams=trigrams)
    names = frozenset(map(str.encode, sources))
    hashes = sorted(map(crc32, names))
    few = names if len(names) <= _SEARCHED_MAX else ()
    searched = (*(b"\0%b\0" % name for name in few), *(_HASH.pack(crc32(name)) for name in few))
    return BlockFilter(names, mask, None, np.array(hashes, np.uint32), searched, trigrams)


def commit_filter(lowest: int, greatest: int) -> BlockFilter:
    """Return a filter for blocks that may hold events of these commits.

    >>> zone_map = ZoneMap(b"a", b"b", 1, pack_sources(["AOCS"]), 1, 4, 6)
    >>> [zone_map.may_match(commit_filter(*bounds)) for bounds in ((1, 3), (1, 4), (5, 5), (7, 9))]
    [False, True, True, False]
    """
    return block_filter(None, None)._replace(commits=(lowest, greatest))


def pack_sources(names: Iterable[str]) -> bytes:
    """Return the names of the sources of one or more events, as a zone map has them.

    >>> pack_sources(["EPS", "AOCS"])
    b'\\x00AOCS\\x00EPS\\x00'
    """
    return _packed(set(map(str.encode, names)), set())


def _packed(names: set[bytes], hashes: set[bytes]) -> bytes:
    """Return names and hashes of others as a zone map has them. Names in UTF-8 sort as their texts do."""
    if hashes or len(names) > _NAMES_MAX:
        return _HASHED + b"".join(sorted(hashes.union(_HASH.pack(crc32(name)) for name in names)))
    return b"\0%b\0" % b"\0".join(sorted(names))


class ZoneMap(NamedTuple):
    """The zone map of a block or of a group."""

    first: bytes
    """The first event's key, as it is stored."""
    last: bytes
    events: int
    sources: bytes
    """As :func:`pack_sources` gives them."""
    severities: int
    """A bit for each severity code."""
    lowest_commit: int
    greatest_commit: int
    severity_counts: tuple[int, ...] = ()
    """The number of events of each severity code; empty in a zone map of an earlier version."""

    @classmethod
    def merge(cls, parts: Iterable[ZoneMap]) -> ZoneMap:
        """Return the zone map of neighbouring blocks or groups together; there must be at least one.

        >>> one = ZoneMap(b"a", b"b", 1, pack_sources("A"), 1, 4, 5)
        >>> ZoneMap.merge([one, ZoneMap(b"c", b"d", 2, pack_sources("B"), 2, 1, 2)])[:4]
        (b'a', b'd', 3, b'\\x00A\\x00B\\x00')
        """
        parts = sorted(parts)
        severities = 0
        for part in parts:
            severities |= part.severities
        return cls(
            parts[0].first,
            max(part.last for part in parts),
            sum(part.events for part in parts),
            _merged_sources(part.sources for part in parts),
            severities,
            min(part.lowest_commit for part in parts),
            max(part.greatest_commit for part in parts),
            _summed([part.severity_counts for part in parts]),
        )

    def after_change(self, old: ZoneMap | None, new: ZoneMap | None) -> ZoneMap:
        """Return a group's zone map after a block of it was put (``new``), deleted (``old``) or replaced.

        It has no severity counts, and may have too many events, if one of them has no severity counts.

        >>> old = ZoneMap(b"a", b"b", 3, pack_sources("A"), 1, 1, 1, (2, 1))
        >>> new = old._replace(events=4, severity_counts=(2, 2))
        >>> group = ZoneMap(b"a", b"z", 9, pack_sources("AB"), 3, 1, 5, (5, 4))
        >>> group.after_change(old, new).severity_counts, group.after_change(old, None).severity_counts
        ((5, 5), (3, 3))
        """
        group = self
        if old is not None and group.severity_counts and old.severity_counts:
            left = zip(group.severity_counts, old.severity_counts, strict=True)
            group = group._replace(
                events=group.events - old.events, severity_counts=tuple(held - gone for held, gone in left)
            )
        elif old is not None:
            group = group._replace(severity_counts=())
        return group if new is None else ZoneMap.merge([group, new])

    def may_match(self, wanted: BlockFilter) -> bool:
        """Say whether the block may hold a wanted event.

        >>> zone_map = ZoneMap(b"a", b"b", 1, pack_sources(["AOCS"]), 1, 1, 1)
        >>> [zone_map.may_match(block_filter(names, None)) for names in (frozenset(["EPS"]), None)]
        [False, True]
        """
        if not self.severities & wanted.severities:
            return False
        if wanted.commits is not None:
            lowest, greatest = wanted.commits
            if greatest < self.lowest_commit or self.greatest_commit < lowest:
                return False
        return wanted.sources is None or _may_be_from(self.sources, wanted)


def _summed(counts: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the sums of severity counts; empty if one has none."""
    return tuple(map(sum, zip(*counts, strict=True))) if all(counts) else ()


def _may_be_from(sources: bytes, wanted: BlockFilter) -> bool:
    """Return whether one of the wanted sources may be among those of a zone map."""
    if sources[:1] != _HASHED:
        return not (wanted.sources or frozenset()).isdisjoint(sources[1:-1].split(b"\0"))
    if wanted.searched:
        return any(_has_hash(sources, part) for part in wanted.searched[len(wanted.searched) // 2 :])
    count = (len(sources) - len(_HASHED)) // _HASH_BYTES
    stored = np.frombuffer(sources, ">u4", count, offset=len(_HASHED)).astype(np.uint32)
    # Both are in order: the shorter list is looked up in the longer one.
    less, more = sorted((stored, wanted.hashes), key=len)
    nearest = np.minimum(more.searchsorted(less), len(more) - 1)
    return bool((more[nearest] == less).any())


def _has_hash(sources: bytes, packed: bytes) -> bool:
    """Return whether a hash is among those of a zone map; for one, a tenth of the time of vectors.

    >>> _has_hash(b"\\1abcdefgh", b"efgh"), _has_hash(b"\\1abcdefgh", b"defg")
    (True, False)
    """
    at = sources.find(packed)
    while at >= 0 and at % _HASH_BYTES != len(_HASHED):
        at = sources.find(packed, at + 1)
    return at >= 0


def _merged_sources(parts: Iterable[bytes]) -> bytes:
    """Return the sources of several zone maps together."""
    names: set[bytes] = set()
    hashes: set[bytes] = set()
    for part in set(parts):
        if part[:1] == _HASHED:
            hashes.update(part[at : at + _HASH_BYTES] for at in range(len(_HASHED), len(part), _HASH_BYTES))
        else:
            names.update(part[1:-1].split(b"\0"))
    return _packed(names, hashes)


def encode_zone_map(level: bytes, zone_map: ZoneMap) -> Pair:
    """Return the pair to put.

    >>> zone_map = ZoneMap(b"a", b"b", 3, pack_sources(["AOCS", "EPS"]), 5, 1, 2)
    >>> decode_zone_map(*encode_zone_map(BLOCK_LEVEL, zone_map)) == zone_map
    True
    """
    key = level + zone_map.first
    body = zone_map[1:] if zone_map.severity_counts else zone_map[1:-1]
    return key, _CHECKSUMMED.wrap(key, msgpack.packb(body))


class _Body(NamedTuple):
    """The body of a record: a zone map without its key."""

    last: bytes
    events: int
    sources: bytes
    severities: int
    lowest_commit: int
    greatest_commit: int
    severity_counts: tuple[int, ...] = ()


_decoder = msgspec.msgpack.Decoder(_Body)


def decode_if_matching(key: bytes, value: bytes, wanted: BlockFilter | None) -> ZoneMap | None:
    """Return a zone map, or None if its block has nothing that is wanted; ``wanted`` None: anything.

    Raises :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted.

    >>> pair = encode_zone_map(BLOCK_LEVEL, ZoneMap(b"a", b"b", 1, pack_sources(["AOCS"]), 1, 1, 1))
    >>> filters = [block_filter(frozenset([name]), None) for name in ("AOCS", "EPS")]
    >>> [decode_if_matching(*pair, wanted) is None for wanted in filters]
    [False, True]
    """
    body = _CHECKSUMMED.unwrap(key, value)
    # Most are passed over by their bytes: a zone map without a wanted source is not decoded.
    if wanted is not None and wanted.searched and len(body) <= _SEARCHED_BYTES_MAX:
        for part in wanted.searched:  # in place: a call, or a generator, costs as much as the searches
            if part in body:
                break
        else:
            return None
    found = _decoded(key, body)
    return found if wanted is None or found.may_match(wanted) else None


def decode_zone_map(key: bytes, value: bytes) -> ZoneMap:
    """Return a zone map; :class:`~yamcs_archive.errors.DamagedError` if it cannot be trusted."""
    return _decoded(key, _CHECKSUMMED.unwrap(key, value))


def _decoded(key: bytes, body: bytes) -> ZoneMap:
    try:
        found = ZoneMap(key[1:], *_decoder.decode(body))
        if len(found.severity_counts) not in (0, len(Severity)):
            raise ValueError(f"it counts {len(found.severity_counts)} severities")
        return found
    except (ValueError, msgspec.MsgspecError) as error:
        raise _CHECKSUMMED.damaged(key, f"its record cannot be read: {error}") from None
