"""Pruning: the horizon moves first, and then what is before it is deleted, in short transactions.

1. The horizon moves in a commit of its own, with the greatest number of a commit of the events before it, and
   with the states of their sources, which count no pruned event. From then on nobody reads these events, and
   an event that comes later and is as old is expired. So it does not matter how far the deletion has got.
2. What is before the horizon is counted outside of the writer, and then, while no commit is made, what was
   stored meanwhile.
3. The deletion goes on after a crash: the horizon says what is left to do. Blocks wholly before it are
   deleted unread. One that straddles it is replaced by a block of its later events, which is read back first,
   as in all maintenance. Then come the records of commits of which nothing is left.
4. A cursor before the horizon's commit is refused, so no reader needs the records before it; the horizon's
   own and the newest one stay.
5. Request ids stay for their day: a retry must be told that its event is expired, not be stored anew.
6. A damaged block that straddles the horizon cannot be cut, and stays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from yamcs_archive.errors import DamagedError
from yamcs_archive.limits import PRUNED_BLOCKS_MAX, PRUNED_RECORDS_MAX
from yamcs_archive.options import Options
from yamcs_archive.results import PruningResult
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.commits import commit_key, decode_commit
from yamcs_archive.storage.format.keys import BEFORE_ALL, time_bound
from yamcs_archive.storage.format.meta import Meta
from yamcs_archive.storage.maintain.retention import Reading, Rule, Survey, horizon_of
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.read.metadata import read_meta
from yamcs_archive.storage.read.pairs import first_pairs
from yamcs_archive.storage.write.block_steps import Found, Plan, Step, encoded_if_sound, put_steps
from yamcs_archive.storage.write.horizon_move import HorizonMove
from yamcs_archive.storage.write.placement import split_into_blocks
from yamcs_archive.storage.write.transaction import WriteTransaction
from yamcs_archive.storage.write.writer import Writer


class Pruning:
    """What one rule takes: the horizon, and the events before it that were not pruned already."""

    def __init__(self, reading: Reading, meta: Meta, rule: Rule, now: int) -> None:
        """``now`` is the archive's clock. Raises InvalidInputError as :func:`horizon_of` does."""
        self._reading = reading
        self._old_commit = meta.horizon_commit
        self._lower = BEFORE_ALL if meta.horizon is None else time_bound(meta.horizon)
        self.horizon = horizon_of(rule, reading, meta.horizon, now)
        self.moves = self.horizon is not None and self.horizon != meta.horizon
        self.survey = Survey()
        self._upper = self._lower if self.horizon is None else time_bound(self.horizon)
        self.survey.take_future(reading, self._lower, now)

    def result(self, seconds: float) -> PruningResult:
        """Return what went, or would go."""
        survey = self.survey
        return PruningResult(
            self.horizon,
            survey.total,
            round(survey.size_bytes),
            survey.odd_times(),
            survey.odd_sources,
            survey.damaged,
            seconds,
        )

    def look(self, head: int) -> int:
        """Count what is before the horizon, as of a commit; return its number."""
        if self.moves:
            self.survey.take_all(self._reading, self._lower, self._upper, head)
        return head

    def move(self, writer: Writer) -> None:
        """Move the horizon."""
        if self.horizon is None or not self.moves:
            return
        looked_at = self.look(writer.head)
        head = writer.head  # the last look, while commits wait, is then a short one
        self.survey.take_newer(self._reading, self._lower, self._upper, range(looked_at + 1, head + 1))

        def measure(newest: int) -> HorizonMove:
            survey = self.survey
            survey.take_newer(self._reading, self._lower, self._upper, range(head + 1, newest + 1))
            # Of damaged events the commits are not known.
            commit = newest if survey.damaged else survey.greatest_commit
            return HorizonMove(max(self._old_commit, commit), survey.events)

        writer.move_horizon(self.horizon, measure)


class Deletion:
    """Deletes what is before the horizon, step by step; commits come between two steps."""

    def __init__(
        self,
        environment: Environment,
        writer: Writer,
        options: Options,
        damaged: Callable[[DamagedError], None],
        go_on: Callable[[], None],
    ) -> None:
        """``damaged`` is called with the error of each record that stays; ``go_on`` raises to end early."""
        self._environment, self._writer, self._options = environment, writer, options
        self._damaged, self._go_on = damaged, go_on

    def run(self) -> None:
        """Delete everything that is before the horizon."""
        meta = read_meta(self._environment)
        if meta.horizon is None:
            return
        bound = time_bound(meta.horizon)
        if self._has_events(bound):
            self._delete_blocks(bound)
            failpoint("prune-blocks-deleted")
            self._cut(bound)
            failpoint("prune-block-cut")
            self._delete_records(bound, meta.horizon_commit)
            failpoint("prune-records-deleted")

    def _has_events(self, bound: bytes) -> bool:
        with self._environment.read() as transaction:
            first = BlockIndex(transaction.cursor(self._environment.databases["summaries"])).first_from(b"")
        return first is not None and first < bound

    def _delete_blocks(self, bound: bytes) -> None:
        after: bytes | None = BEFORE_ALL

        def delete(stored: WriteTransaction) -> None:
            nonlocal after
            after = delete_blocks(bound, begin, stored)

        while after is not None:
            self._go_on()
            begin = after
            self._writer.run_in_transaction(delete)

    def _cut(self, bound: bytes) -> None:
        """Replace the block that straddles the horizon by one of its later events."""
        while steps := cut_steps(self._environment, bound, self._options, self._damaged):
            self._go_on()
            if self._writer.run_in_transaction(partial(put_cut, steps)):
                return

    def _delete_records(self, bound: bytes, horizon_commit: int) -> None:
        after, more = commit_key(0), True
        while more:
            self._go_on()
            with self._environment.read() as transaction:
                cursor = transaction.cursor(self._environment.databases["commits"])
                pairs, more = first_pairs(cursor, after, commit_key(horizon_commit), PRUNED_RECORDS_MAX)
            if not pairs:
                return
            after = pairs[-1][0] + b"\0"
            gone = []
            for key, value in pairs:
                try:
                    record = decode_commit(key, value)
                except DamagedError as error:
                    self._damaged(error)
                    continue
                if record.last < horizon_commit and all(run.last < bound for run in record.runs):
                    gone.append(key)
            if gone:
                self._writer.run_in_transaction(partial(_delete_commits, gone))


def _delete_commits(keys: list[bytes], stored: WriteTransaction) -> None:
    stored.delete_commits(keys)


def delete_blocks(bound: bytes, begin: bytes, stored: WriteTransaction) -> bytes | None:
    """Delete the next blocks that are wholly below a bound, in the writer's transaction.

    Returns the key from which there may be more, None if there are none.
    """
    first = lowest = stored.index.first_from(begin)
    for _ in range(PRUNED_BLOCKS_MAX):
        if first is None or first >= bound:
            break
        following = stored.index.first_from(first + b"\0")
        if (following is not None and following <= bound) or _ends_below(bound, first, stored):
            stored.delete_block(first)
        first = following
    if lowest is not None:
        stored.narrow_groups(lowest, bound if first is None else min(first, bound))
    return None if first is None or first >= bound else first


def _ends_below(bound: bytes, first: bytes, stored: WriteTransaction) -> bool:
    """Return whether a block ends below a bound; False if it is so damaged that its end is not known."""
    try:
        zone_map = stored.index.before(first + b"\0")
    except DamagedError:
        return False
    return zone_map is not None and zone_map.last < bound


def cut_steps(
    environment: Environment, bound: bytes, options: Options, damaged: Callable[[DamagedError], None]
) -> list[Step]:
    """Return the step that replaces the block around a bound by its events from there on; none if none is."""
    try:
        with environment.read() as transaction:
            blocks = environment.databases["blocks"]
            index = BlockIndex(
                transaction.cursor(environment.databases["summaries"]),
                lambda first: Block(first, stored_block(transaction, blocks, first)),
            )
            zone_map = index.before(bound)
            if zone_map is None or zone_map.last < bound:
                return []
            value = stored_block(transaction, blocks, zone_map.first)
        block = Block(zone_map.first, value)
        block.check_body()
        left = block.events.cut(block.index_of_bound(bound), block.count)
    except DamagedError as error:
        damaged(error)
        return []
    plan = Plan(Found(block, value, zone_map), list(split_into_blocks(left, options)))
    return encoded_if_sound([plan], damaged)


def put_cut(steps: list[Step], stored: WriteTransaction) -> bool:
    """Store such a step, in the writer's transaction; False if it is stale: then it must be aborted."""
    if not put_steps(steps, stored):
        return False
    for step in steps:
        if step.replaced is not None:
            stored.narrow_groups(step.replaced.key, step.replaced.key + b"\0")
    return True
