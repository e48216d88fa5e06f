"""Rows, the young and the late events of version 1, become blocks: once, when a writer opens an instance.

1. Rows are moved in transactions of a bounded number of them, each of which puts blocks and deletes the rows
   that are in them. A crash leaves each event as a row or in a block, never both and never neither.
2. The last transaction sets the version of the format. Until then the archive is one of version 1.
3. Rows within the range of a damaged block stay, and so do damaged rows: they are told, and read by nobody.
   ``salvage`` finds them.
"""

from __future__ import annotations

from collections.abc import Callable

from yamcs_archive.errors import DamagedError
from yamcs_archive.options import Options
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import BEYOND_ALL
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, encode_checkpoint, encode_format
from yamcs_archive.storage.format.rows import decode_rows
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.read.pairs import first_pairs
from yamcs_archive.storage.write.block_steps import encoded, put_steps
from yamcs_archive.storage.write.placement import place
from yamcs_archive.storage.write.transaction import WriteTransaction

_ROWS_AT_ONCE = 8_192
RunInTransaction = Callable[[Callable[[WriteTransaction], bool | None]], bool]


def move_rows(
    environment: Environment,
    options: Options,
    run_in_transaction: RunInTransaction,
    damaged: Callable[[DamagedError], None],
) -> None:
    """Put all rows into blocks, and make the format the present one; ``damaged`` is called for what stays."""
    lower = b"\0"
    while True:
        with environment.read() as transaction:
            rows = transaction.cursor(environment.databases["rows"])
            pairs, _ = first_pairs(rows, lower, BEYOND_ALL, _ROWS_AT_ONCE)
        if not pairs:
            break
        lower = pairs[-1][0] + b"\0"
        _move(pairs, environment, options, run_in_transaction, damaged)
    run_in_transaction(_finish)


def _finish(stored: WriteTransaction) -> None:
    stored.put_pairs("meta", [*encode_format(), encode_checkpoint(NO_CHECKPOINT)])


def _move(
    pairs: list[Pair],
    environment: Environment,
    options: Options,
    run_in_transaction: RunInTransaction,
    damaged: Callable[[DamagedError], None],
) -> None:
    """Put some rows into blocks; if one is damaged, each by itself."""
    try:
        events = decode_rows(pairs)
    except DamagedError as error:
        if len(pairs) == 1:
            damaged(error)
            return
        half = len(pairs) // 2
        for part in (pairs[:half], pairs[half:]):
            _move(part, environment, options, run_in_transaction, damaged)
        return
    with environment.read() as transaction:

        def stored(first: bytes) -> bytes:
            return stored_block(transaction, environment.databases["blocks"], first)

        index = BlockIndex(
            transaction.cursor(environment.databases["summaries"]), lambda first: Block(first, stored(first))
        )
        placed = place(events, index, stored, options)
        steps = encoded(placed.plans)
    for reason in placed.damaged:
        damaged(reason)
    staying = {number for part in placed.left for number in part}

    def put(stored: WriteTransaction) -> bool:
        if not put_steps(steps, stored):
            return False
        failpoint("rows-in-blocks")
        stored.delete_keys("rows", [key for at, (key, _) in enumerate(pairs) if at not in staying])
        return True

    if not run_in_transaction(put):
        raise AssertionError("blocks have changed while an instance was opened")
