"""Background maintenance: checkpoints, groups of blocks, packed commit records, expiry of request ids,
pruning.

1. A thread wakes once a second, or when a memory table is full, and uses at most 5 % of the time, except for
   checkpoints, which must keep up with the commits.
2. A full table is put into blocks at once. When nothing was committed for the resting age, what is young is
   put into blocks too, if it is more than a few events.
3. The age of a commit is measured by a monotonic clock: the head is recorded each second with its time on
   that clock. The time in a commit's record is not used: the archive's clock may be set, and a mirror's
   records have the times of another archive. The age of a request id is measured by the archive's clock,
   because ids outlive an opening.
4. Damage is logged once. An error that puts off a step is logged with the name of that step, and again only
   after it has changed, or another step has it.
5. A compaction runs on request, on a thread that gets no interrupt, and so does pruning. One lock keeps
   checkpoints, pruning and compaction from running at the same time: each waits for its turn.
6. Each round also looks for readers that keep pages from being reused, so that their age is known to a
   second, and those of killed processes are removed.
7. What is before the horizon is deleted after each opening, too, because a crash may have come before that.
   Pruning on a schedule runs once an hour, and at first soon after the opening.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from yamcs_archive.errors import ArchiveError, ClosedError, DamagedError, InvalidInputError
from yamcs_archive.limits import PRUNE_EVERY_US
from yamcs_archive.options import Options
from yamcs_archive.results import CompactionResult, PruningResult
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.usage import ReaderWatch, look_at_readers
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.interrupts import Hold, Signal, uninterrupted
from yamcs_archive.storage.maintain import commit_packing, repair, text_filters
from yamcs_archive.storage.maintain.compaction import compact
from yamcs_archive.storage.maintain.groups import close_groups
from yamcs_archive.storage.maintain.pruning import Deletion, Pruning
from yamcs_archive.storage.maintain.retention import Reading, Rule
from yamcs_archive.storage.read.block_index import BlockIndex, stored_block
from yamcs_archive.storage.read.metadata import read_meta
from yamcs_archive.storage.write.block_steps import Step, put_steps
from yamcs_archive.storage.write.checkpoint import KnownBlocks, TableImage, made_from
from yamcs_archive.storage.write.damage_log import Damage
from yamcs_archive.storage.write.idempotency import RequestExpiry
from yamcs_archive.storage.write.writer import Writer
from yamcs_archive.storage.young.budget import BUDGET
from yamcs_archive.storage.young.memory_table import MemoryTable, is_full

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_PLANS_MAX = 8
"""Plans for tables that may be stale when it is their turn; after so many the writer makes one while commits
wait.
"""
_REST_SHARE = 20
"""Pause after a round of maintenance, as a multiple of the time that the round took."""


class _StepOfThread(threading.local):
    """What a thread does now, for the log: a caller's thread settles while this one's error is logged."""

    name = "maintenance"


class Maintenance:
    """Maintains one instance until :meth:`close`."""

    def __init__(
        self,
        environment: Environment,
        writer: Writer,
        options: Options,
        name: str,
        *,
        horizon_moved: Callable[[], None],
        due: Signal,
    ) -> None:
        """``horizon_moved`` is called after the prune horizon has moved, or may have; ``due`` tells of a full
        table.
        """
        self._due = due
        self._name = name
        self._tell_horizon_moved = horizon_moved
        self._schedule = Rule(None, options.keep_days, options.max_bytes, options.max_events)
        self._prune_next_us: int | None = None
        self._emptied = False  # True once everything before the horizon was deleted
        self._environment = environment
        self._writer = writer
        self._options = options
        self._lock = threading.RLock()  # a compaction settles first
        self._stopping = threading.Event()
        self._seen = writer.head, -options.rest_age_us  # the newest head, and since when it is that
        self._packed = 1  # the first commit of the oldest record that may still become part of a larger one
        self._rested_head = 0  # the head when all that is done at rest was done
        self._waits_since: int | None = (
            None  # since when a table waits to be put, on that clock; None: none does
        )
        self._repaired = False  # True after all blocks and zone maps that need it were rewritten
        self._damage = Damage()
        self._last_error: str | None = None
        self._step = _StepOfThread()
        self.readers = ReaderWatch()
        self._requests = RequestExpiry(environment, self._damage.meet)
        self._thread: threading.Thread | None = None
        if options.maintenance:
            self._thread = threading.Thread(target=self._run, name=f"archive-keeper-{name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop after the present step; idempotent. A compaction is abandoned, unless it is nearly done."""
        self._stopping.set()
        self._due.tell()
        with self._lock:
            pass  # its holder ends soon, and the next one sees that maintenance is stopping
        if self._thread is not None:
            self._thread.join()

    def backlog_us(self, now: int) -> int:
        """Return for how long a full table has waited to be put into blocks, in microseconds; for any thread.

        ``now`` is the time of the clock that :meth:`look` gets.
        """
        since = self._waits_since
        return 0 if since is None else max(0, now - since)

    def settle(self) -> None:
        """Put all events that were committed before this call into blocks, and do what is done at rest."""
        self._writer.refuse_within_callback()
        with self._lock:
            self._checkpoint()
            self._rest()

    def compact(self) -> CompactionResult:
        """Put everything into blocks, then replace the generation by a dense copy; return when that is done.

        Raises ClosedError if the instance is closed meanwhile, and the errors of
        :func:`~yamcs_archive.storage.maintain.compaction.compact`.
        """
        self._writer.refuse_within_callback()
        self._check_running()
        return uninterrupted(partial(self._compact, Hold()))

    def _compact(self, wait: Hold) -> CompactionResult:
        begun_s = time.monotonic()
        with self._lock:
            self._check_running()
            if not wait.held:  # the caller was interrupted before this began, and may call again
                raise ClosedError
            before_bytes = self._environment.allocated_bytes()
            self._delete_pruned()
            self._checkpoint()
            self._rest()
            self._check_running()
            compact(self._environment, self._writer.run_exclusively, self._check_running)
            after_bytes = self._environment.allocated_bytes()
        return CompactionResult(before_bytes, after_bytes, time.monotonic() - begun_s)

    def prune(self, rule: Rule) -> PruningResult:
        """Move the horizon to where a rule asks for it, then delete what is before it.

        Raises InvalidInputError for a rule that cannot be followed, and ClosedError if the instance is closed
        meanwhile; then the next opening goes on with the deletion.
        """
        self._writer.refuse_within_callback()
        self._check_running()
        return uninterrupted(partial(self._prune, rule, Hold()))

    def _prune(self, rule: Rule, wait: Hold | None) -> PruningResult:
        begun_s = time.monotonic()
        self._step.name = "pruning"
        with self._lock:
            self._check_running()
            if wait is not None and not wait.held:  # interrupted before this began
                raise ClosedError
            failpoint("prune-begun")
            reading = Reading(self._environment, self._options.read_events_max, self._check_running)
            pruning = Pruning(reading, read_meta(self._environment), rule, self._options.clock())
            self._emptied &= not pruning.moves
            try:
                pruning.move(self._writer)
            finally:
                self._tell_horizon_moved()
            failpoint("prune-horizon-moved")
            self._delete_pruned()
            failpoint("prune-ended")
        return pruning.result(time.monotonic() - begun_s)

    def _delete_pruned(self) -> None:
        """Delete what is before the horizon, if that was not done."""
        self._step.name = "the deletion of pruned events"
        with self._lock:
            if not self._emptied:
                try:
                    Deletion(
                        self._environment, self._writer, self._options, self._damage.meet, self._check_running
                    ).run()
                    self._emptied = True
                finally:
                    self._damage.log()

    def _prune_on_schedule(self, now: int) -> None:
        if self._schedule == Rule() or (self._prune_next_us is not None and now < self._prune_next_us):
            return
        self._prune_next_us = now + PRUNE_EVERY_US
        try:
            done = self._prune(self._schedule, None)
        except InvalidInputError as error:
            _log.error("%s is not pruned: %s", self._name, error)
            return
        if done.events or done.odd_sources:
            _log.info("%s", done.described(self._name))

    def _check_running(self) -> None:
        if self._stopping.is_set():
            raise ClosedError

    def look(self, now: int) -> None:
        """Run one round of maintenance: expire request ids, prune, put tables into blocks that are due.

        ``now`` is the time of a monotonic clock, in microseconds.
        """
        self._expire_requests(now)
        self._delete_pruned()
        self._prune_on_schedule(now)
        self._step.name = "a checkpoint"
        head = self._writer.head
        if head != self._seen[0]:
            self._seen = head, now
        tables = self._writer.tables
        resting = self._seen[1] <= now - self._options.rest_age_us
        with self._lock:
            # After a failure, and at an opening, a full table is not frozen.
            full = is_full(tables.growing, self._options.table_events_max)
            if tables.frozen is None and (full or BUDGET.is_due(tables)):
                self._writer.freeze()
            if tables.frozen is not None:
                self._waits_since = now if self._waits_since is None else self._waits_since
                self._checkpoint_frozen()
            self._waits_since = None
            if resting and head != self._rested_head:
                if not tables.few:
                    self._checkpoint()
                if self._rest():
                    self._rested_head = head
            elif not resting:
                self._pack(commit_packing.PACK_RECORDS_MIN)
                self._close_groups()
                self._filter_texts(text_filters.CHANGING_BLOCKS)

    def _expire_requests(self, steady: int) -> None:
        self._step.name = "the expiry of request ids"
        if changes := self._requests.step(self._options.clock(), steady):
            self._writer.run_in_transaction(lambda stored: stored.replace_requests(changes))
        self._damage.log()

    def _checkpoint(self) -> None:
        """Put all events that are young at this moment into blocks, late ones too."""
        self._step.name = "a checkpoint"
        last = self._writer.tables.growing.last
        for _ in range(_PLANS_MAX):
            self._check_running()
            table = self._writer.freeze()
            if table is None or table.after >= last:
                break
            self._put(table, 0)
        if self._writer.tables.carried is not None or self._writer.tables.frozen is not None:
            self._writer.checkpoint_all()

    def _checkpoint_frozen(self) -> None:
        """Put the table that is full into blocks; its late events may be carried on."""
        self._step.name = "a checkpoint"
        for _ in range(_PLANS_MAX):
            if (table := self._writer.tables.frozen) is None:
                return
            self._check_running()
            self._put(table, self._options.late_events_max)
        self._writer.checkpoint_all(self._options.late_events_max)

    def _put(self, table: MemoryTable, left_max: int) -> bool:
        """Put a frozen table into LMDB; False if it must be planned anew, or was put by the writer
        meanwhile.
        """
        with self._writer.planning():
            image = self._made(table, left_max)
            return image is not None and self._writer.put_table(table, image)

    def _made(self, table: MemoryTable, left_max: int) -> TableImage | None:
        """Plan a checkpoint; None if the writer put the table into LMDB meanwhile.

        What is stored already cannot be planned.
        """
        carried = self._writer.tables.carried
        environment = self._environment
        with environment.read() as transaction:
            stored = partial(stored_block, transaction, environment.databases["blocks"])
            index = BlockIndex(
                transaction.cursor(environment.databases["summaries"]),
                lambda first: Block(first, stored(first)),
            )
            stored_now = environment.checkpoint(transaction)
            known = table.after, 0 if carried is None else carried.last
            if stored_now is None or stored_now[:2] != known:
                return None
            tables = [table] if carried is None else [carried, table]
            return made_from(
                tables,
                table.last,
                KnownBlocks(index, stored),
                self._options,
                left_max=left_max,
                pause=lambda: time.sleep(0),
            )

    def _rest(self) -> bool:
        """Do what is done at rest; return False if something was left for the next round."""
        with self._lock:
            try:
                if not self._repaired:
                    self._repaired = self._repair()
                whole = self._close_groups() and self._pack(2) and self._filter_texts(0)
                return whole and self._repaired
            finally:
                self._damage.log()

    def _close_groups(self) -> bool:
        self._step.name = "the grouping of blocks"
        try:
            while self._writer.run_in_transaction(close_groups):
                if self._stopping.is_set():
                    return False
        except DamagedError as error:  # without groups queries are correct, only slower
            self._damage.meet(error)
        return True

    def _filter_texts(self, left_out: int) -> bool:
        """Make text filters, while commits come only some, and not of the newest blocks; False if this is to
        go on in the next round.
        """
        self._step.name = "the making of text filters"
        environment, head = self._environment, self._writer.head
        if not text_filters.are_missing(environment, left_out):
            return True
        for found in text_filters.of_blocks(environment, left_out):
            self._writer.run_in_transaction(partial(text_filters.put, found))
            if left_out or self._writer.head != head or self._stopping.is_set():
                return False
        for first in text_filters.groups_without(environment):
            self._writer.run_in_transaction(partial(text_filters.join_group, first))
            if self._stopping.is_set():
                return False
        return True

    def _repair(self) -> bool:
        """Rewrite what earlier versions wrote otherwise, and damaged zone maps; False if any is left."""
        self._step.name = "the repair of blocks"
        whole, damaged = True, self._damage.meet
        for steps in repair.steps(self._environment, self._options, damaged):
            whole &= self._put_steps(steps)
            if self._stopping.is_set():
                return False
        for changes in repair.counted_zone_maps(self._environment, damaged):
            self._writer.run_in_transaction(partial(repair.put_zone_maps, changes))
            if self._stopping.is_set():
                return False
        if poor := text_filters.damaged_filters(self._environment, damaged):
            self._writer.run_in_transaction(partial(text_filters.drop, poor))
        if (group := repair.first_poor_group(self._environment, damaged)) is not None:
            self._writer.run_in_transaction(lambda stored: stored.delete_groups_from(group))
        return whole

    def _put_steps(self, steps: list[Step]) -> bool:
        """Store steps, together if possible; return False if one is stale and waits for the next round."""
        try:
            if self._writer.run_in_transaction(partial(put_steps, steps)):
                return True
        except DamagedError as error:
            if len(steps) == 1:
                self._damage.meet(error)
                return True
        whole = len(steps) > 1
        if whole:
            for step in steps:  # one by one: the others are stored
                whole &= self._put_steps([step])
        return whole

    def _pack(self, records_min: int) -> bool:
        self._step.name = "the packing of commit records"
        packs = commit_packing.packs(self._environment, self._packed, self._writer.head, self._damage.meet)
        for pack in packs:
            if pack.records >= records_min:
                try:
                    self._writer.run_in_transaction(partial(commit_packing.put_pack, pack.first, pack.last))
                except DamagedError as error:
                    self._damage.meet(error)
            # A record that is full, or is followed by one that is too large, is not read again.
            self._packed = pack.first if pack.open else pack.last + 1
            if self._stopping.is_set():
                return False
        return True

    def _run(self) -> None:
        next_s = time.monotonic() + _LOOK_S
        while True:
            self._due.wait(max(0.0, next_s - time.monotonic()))
            if self._stopping.is_set():
                return
            begun_s = time.monotonic()
            try:
                if begun_s < next_s:
                    with self._lock:
                        self._checkpoint_frozen()
                    continue
                with suppress(ArchiveError):  # maintenance goes on, or says what is wrong
                    look_at_readers(self._environment, self.readers, begun_s)
                self.look(time.monotonic_ns() // 1_000)
            except ArchiveError as error:
                if not self._stopping.is_set():
                    self._put_off(error)
            except (
                Exception
            ) as error:  # a bug must not end this thread: nothing would be put into blocks any more
                self._put_off(error)
            else:
                self._last_error = None
            ended_s = time.monotonic()
            next_s = ended_s + max(_LOOK_S, _REST_SHARE * (ended_s - begun_s))

    def _put_off(self, error: Exception) -> None:
        """Log an error, unless the last round ended with the same one in the same step."""
        text = f"{self._step.name}: {error!r}"
        if text == self._last_error:
            return
        self._last_error = text
        if isinstance(error, ArchiveError):
            _log.warning("%s is put off, and tried again: %s", self._step.name, error)
        else:
            _log.error("%s failed, and is tried again", self._step.name, exc_info=error)
