"""Background maintenance: seals rows, closes groups, packs commit records and expires request ids.

1. A thread wakes once a second and uses at most 5 % of the time. Once everything is sealed it does nothing
   until the next commit.
2. Rows are sealed when their commit is older than the sealing age, and when there are too many of them. When
   nothing was committed for the sealing age, late rows are sealed too.
3. Ages are measured by a monotonic clock. So each second's head is noted with its time on that clock: the
   time in a commit's record is by the archive's clock, which may be set, or by another archive's. Request
   ids outlive an opening, so their ages are by the archive's clock.
4. Damage is logged once. A failure that puts sealing off is logged once for as long as it stays the same.
5. A compaction runs when it is asked for, on a thread that gets no interrupt. One lock makes sealing and
   compactions exclude one another.
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
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.interrupts import Hold, uninterrupted
from yamcs_archive.storage.maintain import commit_packing, repair, sealing
from yamcs_archive.storage.maintain.compaction import Compaction, compact
from yamcs_archive.storage.maintain.damage_log import Damage
from yamcs_archive.storage.write.idempotency import Change, RequestExpiry
from yamcs_archive.storage.write.transaction import WriteTransaction
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
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._looked: int | None = None
        self._elapsed = 0  # microseconds since the first look; it never goes back
        # Heads with the time at which they were first seen. Commits from before this opening are old enough.
        self._seen: deque[tuple[int, int]] = deque([(-options.seal_age_us, writer.head)])
        self._packed = 1  # the first commit of the oldest record that may still become part of a larger one
        self._sealed_head = 0  # the head when every row was sealed that could be
        self._repaired = False  # True once no block or zone map is left to be written anew
        # Rows that could not be sealed, and bytes of their pages, when there were last too many.
        self._left = (0, 0)
        self._damage = Damage()
        self._trouble: str | None = None
        self._requests = RequestExpiry(environment, self._damage.meet)
        self._thread: threading.Thread | None = None
        if options.maintenance:
            self._thread = threading.Thread(target=self._run, name=f"archive-sealer-{name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop after the present step; idempotent. A compaction is abandoned, unless it is nearly done."""
        self._stopping.set()
        with self._lock:
            pass  # its holder ends soon, and a thread that waits for it finds that this is stopping
        if self._thread is not None:
            self._thread.join()

    def settle(self) -> None:
        """Seal everything that was committed before this call, late rows too, and close groups."""
        self._writer.refuse_within_callback()
        self._seal(self._writer.head, few=True)

    def compact(self) -> Compaction:
        """Seal everything, then replace the generation by a dense copy; wait for it.

        Raises ClosedError when the instance is closed meanwhile. See
        :func:`~yamcs_archive.storage.maintain.compaction.compact` for what else.
        """
        self._writer.refuse_within_callback()
        self._check_running()
        return uninterrupted(partial(self._compact, Hold()))

    def _compact(self, wait: Hold) -> Compaction:
        begun_s = time.monotonic()
        with self._lock:
            self._check_running()
            if not wait.held:  # the caller was interrupted before this began, and may have called again
                raise ClosedError
            before_bytes = self._environment.allocated_bytes()
            self._seal_locked(self._writer.head, few=True)
            self._check_running()
            compact(self._environment, self._writer.run_exclusively, self._check_running)
            after_bytes = self._environment.allocated_bytes()
        return Compaction(before_bytes, after_bytes, time.monotonic() - begun_s)

    def _check_running(self) -> None:
        if self._stopping.is_set():
            raise ClosedError

    def look(self, now: int) -> None:
        """Do what is due at ``now``, in microseconds of a clock with any origin: expire request ids, seal.

        If that clock goes back, no time has passed.
        """
        if self._looked is not None:
            self._elapsed += max(0, now - self._looked)
        self._looked, now = now, self._elapsed
        self._expire_requests(now)
        head = self._writer.head
        if head == self._sealed_head:
            return
        if head != self._seen[-1][1]:
            self._seen.append((now, head))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._options.seal_age_us:
            self._seen.popleft()
        idle = self._seen[-1][0] <= now - self._options.seal_age_us
        old_enough, upto = self._seen[0]
        if idle:
            upto = head
        elif old_enough > now - self._options.seal_age_us:
            upto = 0
        too_many = self._too_many_rows()
        if too_many:
            upto = head
        if upto:
            whole = self._seal(upto, few=idle or too_many)
            if whole and idle:
                self._sealed_head = head
            if too_many and whole:
                self._left = (
                    self._rows()
                )  # damaged, or within a damaged block: so many do not call for sealing

    def _expire_requests(self, steady: int) -> None:
        if changes := self._requests.step(self._options.clock(), steady):
            self._writer.run_in_transaction(partial(_replace_requests, changes))
        self._damage.log()

    def _too_many_rows(self) -> bool:
        entries, size_bytes = self._rows()
        left, left_bytes = self._left
        return entries - left > self._options.rows_max or size_bytes - left_bytes > ROWS_BYTES_MAX

    def _rows(self) -> tuple[int, int]:
        """Return how many rows there are, and the bytes of their pages."""
        with self._environment.read() as transaction:
            found = transaction.stat(self._environment.databases["rows"])
        return found["entries"], (found["leaf_pages"] + found["overflow_pages"]) * found["psize"]

    def _seal(self, upto_commit: int, *, few: bool) -> bool:
        with self._lock:
            return self._seal_locked(upto_commit, few=few)

    def _seal_locked(self, upto_commit: int, *, few: bool) -> bool:
        """Seal, close groups and pack; False if something was left for the next round."""
        try:
            return self._seal_all(upto_commit, few)
        finally:
            self._damage.log()

    def _seal_all(self, upto_commit: int, few: bool) -> bool:
        whole = True
        aim = sealing.SealScope(upto_commit, few, self._damage.meet)
        if few and not self._repaired:
            self._repaired = whole = self._repair(aim)
        for steps in sealing.steps(self._environment, self._options, aim):
            whole &= self._put(steps)
            if self._stopping.is_set():
                return False
        try:
            while self._writer.run_in_transaction(sealing.close_groups):
                if self._stopping.is_set():
                    return False
        except DamagedError as error:  # without groups a query is slower, and as right
            self._damage.meet(error)
        return self._pack(upto_commit, 2 if few else commit_packing.PACK_RECORDS_MIN) and whole

    def _repair(self, aim: sealing.SealScope) -> bool:
        """Write blocks of earlier versions and damaged zone maps anew; False if something was left."""
        whole = True
        if groups := repair.damaged_groups(self._environment, aim):
            self._writer.run_in_transaction(partial(_delete_groups, groups))
        for steps in repair.steps(self._environment, self._options, aim):
            whole &= self._put(steps)
            if self._stopping.is_set():
                return False
        return whole

    def _put(self, steps: list[sealing.Step]) -> bool:
        """Store the steps, together if possible; False if one no longer fits and waits for the next round."""
        try:
            if self._writer.run_in_transaction(partial(sealing.put_steps, steps)):
                return True
        except DamagedError as error:
            if len(steps) == 1:
                self._damage.meet(error)
                return True
        whole = len(steps) > 1
        if whole:
            for step in steps:  # one by one: the others fit
                whole &= self._put([step])
        return whole

    def _pack(self, upto_commit: int, records_min: int) -> bool:
        for pack in commit_packing.packs(self._environment, self._packed, upto_commit, self._damage.meet):
            if pack.records >= records_min:
                try:
                    self._writer.run_in_transaction(partial(commit_packing.put_pack, pack.first, pack.last))
                except DamagedError as error:
                    self._damage.meet(error)
            # A record that is full, or is followed by one that is too large, is not looked at again.
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
            except Exception as error:  # a fault of ours must not end this thread: no rows would be sealed
                self._put_off(error)
            else:
                self._trouble = None
            pause_s = max(_LOOK_S, _REST_SHARE * (time.monotonic() - begun_s))

    def _put_off(self, error: Exception) -> None:
        """Log an error, once for as long as it stays the same."""
        trouble = repr(error)
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if isinstance(error, ArchiveError):
            _log.warning("sealing is put off, and tried again: %s", error)
        else:
            _log.error("sealing failed, and is tried again", exc_info=error)


def _delete_groups(keys: list[bytes], stored: WriteTransaction) -> bool:
    for key in keys:
        stored.delete_group(key)
    return True


def _replace_requests(changes: list[Change], stored: WriteTransaction) -> bool:
    stored.replace_requests(changes)
    return True
