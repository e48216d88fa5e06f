"""A digest of events, so that no contender can win by not answering; pure.

It ignores reception time and user: a Yamcs server sets its own, and a retry has another reception time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice

import msgpack

from yamcs_archive import Event

_STEP_EVENTS = 1_000


def digest(events: Iterable[Event]) -> str:
    """Return the number of events and a hash of their content, in their order.

    >>> digest([Event("a", generation_time=0, seq_number=0)])
    '1:73695c2093'
    """
    total = blake2b(digest_size=5)
    number = 0
    pack = msgpack.Packer(autoreset=True).pack
    for chunk in _chunks(events):
        number += len(chunk)
        total.update(
            pack(
                [
                    (e.generation_time, e.source, e.seq_number, int(e.severity), e.type, e.message,
                     e.extensions, sorted(e.extra.items()))
                    for e in chunk
                ]
            )
        )  # fmt: skip
    return f"{number}:{total.hexdigest()}"


def _chunks(events: Iterable[Event]) -> Iterator[list[Event]]:
    supply = iter(events)
    while chunk := list(islice(supply, _STEP_EVENTS)):
        yield chunk
