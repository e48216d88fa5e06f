"""Digests of what is no event in a backup: records in key order, and commits however packed; pure."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.commits import CommitRecord

_DIGEST_BYTES = 16
_LENGTH_BYTES = 4


class PairDigest:
    """The digest of pairs in key order, and their number.

    >>> one, other = PairDigest(), PairDigest()
    >>> one.add([(b"a", b"b"), (b"c", b"d")])
    >>> other.add([(b"a", b"b")])
    >>> other.add([(b"c", b"d")])
    >>> one.hex() == other.hex(), one.count
    (True, 2)
    """

    def __init__(self) -> None:
        self.count = 0
        self._digest = blake2b(digest_size=_DIGEST_BYTES)

    def add(self, pairs: Sequence[Pair]) -> None:
        """Add the next pairs."""
        self.count += len(pairs)
        for pair in pairs:
            for part in pair:
                self._digest.update(len(part).to_bytes(_LENGTH_BYTES, "big"))
                self._digest.update(part)

    def hex(self) -> str:
        """Return the digest, in hexadecimal."""
        return self._digest.hexdigest()


class CommitDigest:
    """The digest of commits in their order: number, time and number of events of each; not their runs.

    >>> one, other = CommitDigest(), CommitDigest()
    >>> one.add(CommitRecord(1, (5, 6), (1, 1), ()))
    >>> other.add(CommitRecord(1, (5,), (1,), ()))
    >>> other.add(CommitRecord(2, (6,), (1,), ()))
    >>> one.hex() == other.hex(), one.count, one.events
    (True, 2, 2)
    """

    def __init__(self) -> None:
        self.count = self.events = 0
        self._digest = blake2b(digest_size=_DIGEST_BYTES)

    def add(self, record: CommitRecord) -> None:
        """Add the commits of a record."""
        self.count += len(record.times)
        self.events += sum(record.events)
        columns = range(record.first, record.last + 1), record.times, record.events
        self._digest.update(np.array(columns, ">i8").T.tobytes())

    def hex(self) -> str:
        """Return the digest, in hexadecimal."""
        return self._digest.hexdigest()
