"""Cutting anew: blocks with frames that are larger than any that is written today become several.

1. Versions before the first release wrote such blocks, of large late events. They can be read while a frame
   has no more than the bound for reading, and each look at one of their events decompresses all of it.
2. They are put in like all that is sealed: read back first, in one transaction, dropped where they changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from yamcs_archive.errors import DamagedError
from yamcs_archive.options import Options
from yamcs_archive.storage.blocks import OpenBlock, has_large_frames
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.placing import cuts
from yamcs_archive.storage.sealing import Aim, Found, Plan, Step, encoded
from yamcs_archive.storage.summaries import BLOCK_LEVEL, decode_summary

_LOOKED_AT_ONCE = 1_000
"""Blocks whose headers are looked at in one read transaction."""


def steps(environment: Environment, options: Options, aim: Aim) -> Iterator[list[Step]]:
    """Yield the steps that cut these blocks anew, each alone, for it may hold very much."""
    for key in _large(environment, aim):
        try:
            with environment.read() as transaction:
                value = transaction.get(key, db=environment.databases["blocks"])
                summary = transaction.get(BLOCK_LEVEL + key, db=environment.databases["summaries"])
            if value is None or summary is None:
                continue
            found = Found(OpenBlock(key, value), value, decode_summary(BLOCK_LEVEL + key, summary))
            plan = Plan([], found, list(cuts(found.block.events, options)))
        except DamagedError as error:
            aim.damaged(error)
            continue
        if made := encoded([plan], aim):
            yield made


def _large(environment: Environment, aim: Aim) -> Iterator[bytes]:
    """Yield the keys of those blocks."""
    behind: bytes | None = b""
    while behind is not None:
        # A transaction of buffers within one that holds the environment as it is: of a block no more is read
        # from the medium than its headers, and the frame that lists the stretches of late events.
        with environment.read(), environment.lmdb.begin(buffers=True) as transaction:
            found, behind = _of_some(transaction.cursor(environment.databases["blocks"]), behind, aim)
        yield from found


def _of_some(cursor: Any, behind: bytes, aim: Aim) -> tuple[list[bytes], bytes | None]:
    """Return the keys of those among the next blocks, and the key behind which there may be more."""
    found: list[bytes] = []
    placed = cursor.set_range(behind + b"\0")
    for _ in range(_LOOKED_AT_ONCE):
        if not placed:
            return found, None
        behind = bytes(cursor.key())
        try:
            if has_large_frames(behind, cursor.value()):
                found.append(behind)
        except DamagedError as error:
            aim.damaged(error)
        placed = cursor.next()
    return found, behind
