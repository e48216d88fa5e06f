"""Background maintenance: seals rows, closes groups, packs commit records and expires request ids.

1. A thread wakes once a second and uses at most 5 % of the time. After everything is sealed it does nothing
   until the next commit.
2. Rows are sealed when their commit is older than the sealing age, or when there are too many rows. When
   nothing was committed for the sealing age, late rows are sealed too.
3. The age of a commit is measured by a monotonic clock, so each second the head is recorded with its time on
   that clock. The time in a commit's record is not used: the archive's clock may be set, and a mirror's
   records have the times of another archive. The age of a request id is measured by the archive's clock,
   because ids outlive an opening.
4. Damage is logged once. An error that delays sealing is logged again only after it has changed.
5. A compaction runs on request, on a thread that gets no interrupt, and so does pruning. One lock keeps
   sealing, pruning and compaction from running at the same time: each waits for its turn.
6. Each round also looks for readers that keep pages from being reused, so that their age is known to a
   second, and those of killed processes are removed.
7. What is before the horizon is deleted after each opening, too, because a crash may have come before that.
   Pruning on a schedule runs once an hour, and at first soon after the opening.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from yamcs_archive.errors import ArchiveError, ClosedError, DamagedError, InvalidInputError
from yamcs_archive.limits import PRUNE_EVERY_US, ROWS_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.results import CompactionResult, PruningResult
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.usage import ReaderWatch, look_at_readers
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.interrupts import Hold, uninterrupted
from yamcs_archive.storage.maintain import commit_packing, repair, sealing
from yamcs_archive.storage.maintain.compaction import compact
from yamcs_archive.storage.maintain.damage_log import Damage
from yamcs_archive.storage.maintain.pruning import Deletion, Pruning
from yamcs_archive.storage.maintain.retention import Reading, Rule
from yamcs_archive.storage.read.metadata import read_meta
from yamcs_archive.storage.write.idempotency import RequestExpiry
from yamcs_archive.storage.write.writer import Writer

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_REST_SHARE = 20
"""Pause after a round of maintenance, as a multiple of the time that the round took."""


class Maintenance:
    """Maintains one instance until :meth:`close`."""

    def __init__(
        self,
        environment: Environment,
        writer: Writer,
        options: Options,
        name: str,
        horizon_moved: Callable[[], None],
    ) -> None:
        """``horizon_moved`` is called after the prune horizon has moved, or may have."""
        self._name = name
        self._tell_horizon_moved = horizon_moved
        self._schedule = Rule(None, options.keep_days, options.max_bytes, options.max_events)
        self._prune_next_us: int | None = None
        self._emptied = False  # True once everything before the horizon was deleted
        self._environment = environment
        self._writer = writer
        self._options = options
        self._lock = threading.RLock()  # a compaction seals first
        self._stopping = threading.Event()
        # Heads and the times at which they were first seen; the first one is old enough to be sealed, as are
        # the commits of earlier openings.
        self._seen: deque[tuple[int, int]] = deque([(-options.seal_age_us, writer.head)])
        self._packed = 1  # the first commit of the oldest record that may still become part of a larger one
        self._sealed_head = 0  # the head at the last time when no row was left that can be sealed
        self._due_since: int | None = None  # since when rows are due, on that clock; None: none are
        self._repaired = False  # True after all blocks and zone maps that need it were rewritten
        # Rows that sealing left when there were last too many of them, and the bytes of their pages.
        self._left = (0, 0)
        self._damage = Damage()
        self._last_error: str | None = None
        self.readers = ReaderWatch()
        self._requests = RequestExpiry(environment, self._damage.meet)
        self._thread: threading.Thread | None = None
        if options.maintenance:
            self._thread = threading.Thread(target=self._run, name=f"archive-sealer-{name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop after the present step; idempotent. A compaction is abandoned, unless it is nearly done."""
        self._stopping.set()
        with self._lock:
            pass  # its holder ends soon, and the next one sees that maintenance is stopping
        if self._thread is not None:
            self._thread.join()

    def backlog_us(self, now: int) -> int:
        """Return for how long rows that are due have waited to be sealed, in microseconds; for any thread.

        ``now`` is the time of the clock that :meth:`look` gets.
        """
        since = self._due_since
        return 0 if since is None else max(0, now - since)

    def settle(self) -> None:
        """Seal all rows that were committed before this call, including late ones, and close groups."""
        self._writer.refuse_within_callback()
        self._seal(self._writer.head, include_partial=True)

    def compact(self) -> CompactionResult:
        """Seal everything, then replace the generation by a dense copy; return when that is done.

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
            self._seal(self._writer.head, include_partial=True)
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
        """Run one round of maintenance: expire request ids, and seal the rows that are due.

        ``now`` is the time of a monotonic clock, in microseconds.
        """
        self._expire_requests(now)
        self._delete_pruned()
        self._prune_on_schedule(now)
        head = self._writer.head
        if head == self._sealed_head:
            return
        if head != self._seen[-1][1]:
            self._seen.append((now, head))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._options.seal_age_us:
            self._seen.popleft()
        idle = len(self._seen) == 1
        too_many = self._too_many_rows()
        if upto := head if too_many else self._seen[0][1]:
            if self._due_since is None:
                self._due_since = now
            whole = self._seal(upto, include_partial=idle or too_many)
            if whole:
                self._due_since = None
            if whole and idle:
                self._sealed_head = head
            if too_many and whole:
                # These are damaged, or within a damaged block: they no longer count as too many.
                self._left = self._rows()

    def _expire_requests(self, steady: int) -> None:
        if changes := self._requests.step(self._options.clock(), steady):
            self._writer.run_in_transaction(lambda stored: stored.replace_requests(changes))
        self._damage.log()

    def _too_many_rows(self) -> bool:
        entries, size_bytes = self._rows()
        left, left_bytes = self._left
        return entries - left > self._options.rows_max or size_bytes - left_bytes > ROWS_BYTES_MAX

    def _rows(self) -> tuple[int, int]:
        """Return the number of rows, and the bytes of their pages."""
        with self._environment.read() as transaction:
            found = transaction.stat(self._environment.databases["rows"])
        return found["entries"], (found["leaf_pages"] + found["overflow_pages"]) * found["psize"]

    def _seal(self, upto_commit: int, *, include_partial: bool) -> bool:
        """Seal, close groups and pack; return False if something was left for the next round."""
        with self._lock:
            try:
                return self._seal_all(upto_commit, include_partial)
            finally:
                self._damage.log()

    def _seal_all(self, upto_commit: int, include_partial: bool) -> bool:
        whole = True
        scope = sealing.SealScope(upto_commit, include_partial, self._damage.meet)
        if include_partial and not self._repaired:
            self._repaired = whole = self._repair(scope)
        for steps in sealing.steps(self._environment, self._options, scope):
            whole &= self._put(steps)
            if self._stopping.is_set():
                return False
        try:
            while self._writer.run_in_transaction(sealing.close_groups):
                if self._stopping.is_set():
                    return False
        except DamagedError as error:  # without groups queries are correct, only slower
            self._damage.meet(error)
        return self._pack(upto_commit, 2 if include_partial else commit_packing.PACK_RECORDS_MIN) and whole

    def _repair(self, scope: sealing.SealScope) -> bool:
        """Rewrite what earlier versions wrote otherwise, and damaged zone maps; False if any is left."""
        whole = True
        for steps in repair.steps(self._environment, self._options, scope):
            whole &= self._put(steps)
            if self._stopping.is_set():
                return False
        for changes in repair.counted_zone_maps(self._environment, scope):
            self._writer.run_in_transaction(partial(repair.put_zone_maps, changes))
            if self._stopping.is_set():
                return False
        if (group := repair.first_poor_group(self._environment, scope)) is not None:
            self._writer.run_in_transaction(lambda stored: stored.delete_groups_from(group))
        return whole

    def _put(self, steps: list[sealing.Step]) -> bool:
        """Store steps, together if possible; return False if one is stale and waits for the next round."""
        try:
            if self._writer.run_in_transaction(partial(sealing.put_steps, steps)):
                return True
        except DamagedError as error:
            if len(steps) == 1:
                self._damage.meet(error)
                return True
        whole = len(steps) > 1
        if whole:
            for step in steps:  # one by one: the others are stored
                whole &= self._put([step])
        return whole

    def _pack(self, upto_commit: int, records_min: int) -> bool:
        for pack in commit_packing.packs(self._environment, self._packed, upto_commit, self._damage.meet):
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
        pause_s = _LOOK_S
        while not self._stopping.wait(pause_s):
            begun_s = time.monotonic()
            try:
                with suppress(ArchiveError):  # sealing goes on, or says what is wrong
                    look_at_readers(self._environment, self.readers, begun_s)
                self.look(time.monotonic_ns() // 1_000)
            except ArchiveError as error:
                if not self._stopping.is_set():
                    self._put_off(error)
            except Exception as error:  # a bug must not end this thread: no row would be sealed any more
                self._put_off(error)
            else:
                self._last_error = None
            pause_s = max(_LOOK_S, _REST_SHARE * (time.monotonic() - begun_s))

    def _put_off(self, error: Exception) -> None:
        """Log an error, unless the last round ended with the same one."""
        text = repr(error)
        if text == self._last_error:
            return
        self._last_error = text
        if isinstance(error, ArchiveError):
            _log.warning("sealing is put off, and tried again: %s", error)
        else:
            _log.error("sealing failed, and is tried again", exc_info=error)
