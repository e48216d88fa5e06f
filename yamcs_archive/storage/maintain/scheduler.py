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
5. A compaction runs on request, on a thread that gets no interrupt. One lock keeps sealing and compaction
   from running at the same time.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from functools import partial

from yamcs_archive.errors import ArchiveError, ClosedError, DamagedError
from yamcs_archive.limits import ROWS_BYTES_MAX
from yamcs_archive.options import Options
from yamcs_archive.results import CompactionResult
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.interrupts import Hold, uninterrupted
from yamcs_archive.storage.maintain import commit_packing, repair, sealing
from yamcs_archive.storage.maintain.compaction import compact
from yamcs_archive.storage.maintain.damage_log import Damage
from yamcs_archive.storage.write.idempotency import RequestExpiry
from yamcs_archive.storage.write.writer import Writer

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_REST_SHARE = 20
"""Pause after a round of maintenance, as a multiple of the time that the round took."""


class Maintenance:
    """Maintains one instance until :meth:`close`."""

    def __init__(self, environment: Environment, writer: Writer, options: Options, name: str) -> None:
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
        self._repaired = False  # True after all blocks and zone maps that need it were rewritten
        # Rows that sealing left when there were last too many of them, and the bytes of their pages.
        self._left = (0, 0)
        self._damage = Damage()
        self._last_error: str | None = None
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
            self._seal(self._writer.head, include_partial=True)
            self._check_running()
            compact(self._environment, self._writer.run_exclusively, self._check_running)
            after_bytes = self._environment.allocated_bytes()
        return CompactionResult(before_bytes, after_bytes, time.monotonic() - begun_s)

    def _check_running(self) -> None:
        if self._stopping.is_set():
            raise ClosedError

    def look(self, now: int) -> None:
        """Run one round of maintenance: expire request ids, and seal the rows that are due.

        ``now`` is the time of a monotonic clock, in microseconds.
        """
        self._expire_requests(now)
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
            whole = self._seal(upto, include_partial=idle or too_many)
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
