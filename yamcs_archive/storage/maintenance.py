"""Maintenance that needs nobody: seals rows, closes groups and packs commits, on a thread of its own.

It looks every second. Rows are sealed when their commit is older than the sealing age, when there are
more of them than may be, and when nothing was committed for a while, late ones too.

Compaction runs when it is asked for, on another thread, so that Ctrl-C in whoever waits for it never
comes in the middle of a step. One lock sees to it that sealing and compactions exclude one another.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from yamcs_archive.errors import ArchiveError, ClosedError
from yamcs_archive.options import Options
from yamcs_archive.storage import packing, sealing
from yamcs_archive.storage.compaction import Compaction, compact
from yamcs_archive.storage.environment import Environment
from yamcs_archive.storage.writer import Writer

_log = logging.getLogger(__name__)
_LOOK_S = 1.0
_IDLE_US = 5_000_000
"""Nothing committed for so long: the archive is idle, and late rows are merged too."""


class Maintenance:
    """Looks after one instance until :meth:`close`."""

    def __init__(self, environment: Environment, writer: Writer, options: Options, name: str) -> None:
        self._environment = environment
        self._writer = writer
        self._options = options
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        # What was committed before this opening is old enough at once.
        self._seen: deque[tuple[int, int]] = deque([(options.clock() - options.seal_age_us, writer.head)])
        self._packed = 1  # the first commit of the newest packed record
        self._compactor = ThreadPoolExecutor(1, f"archive-compactor-{name}")
        self._thread: threading.Thread | None = None
        if options.maintenance:
            self._thread = threading.Thread(target=self._run, name=f"archive-sealer-{name}", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop after the step in hand; idempotent. A compaction is given up, unless it is nearly done."""
        self._stopping.set()
        self._compactor.shutdown()
        if self._thread is not None:
            self._thread.join()

    def settle(self) -> None:
        """Seal everything that is committed when this is called, late rows too, and close groups."""
        self._seal(self._writer.head, all_late=True)

    def compact(self) -> Compaction:
        """Settle, then put a dense copy in the place of all that is stored; wait for it.

        Raises ClosedError when the instance is closed meanwhile. See
        :func:`~yamcs_archive.storage.compaction.compact` for what else.
        """
        try:
            waiting = self._compactor.submit(self._compact)
        except RuntimeError:  # it is shut down
            raise ClosedError from None
        return waiting.result()

    def _compact(self) -> Compaction:
        begun_s = time.monotonic()
        with self._lock:
            self._go_on()
            before_bytes = self._environment.allocated_bytes()
            self._seal_held(self._writer.head, all_late=True)
            self._go_on()
            compact(self._environment, self._writer.hold, self._go_on)
            after_bytes = self._environment.allocated_bytes()
        return Compaction(before_bytes, after_bytes, time.monotonic() - begun_s)

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise ClosedError

    def look(self, now: int) -> None:
        """Seal what is due at ``now``, microseconds since 1970."""
        head = self._writer.head
        if head != self._seen[-1][1]:
            self._seen.append((now, head))
        while len(self._seen) > 1 and self._seen[1][0] <= now - self._options.seal_age_us:
            self._seen.popleft()
        idle = self._seen[-1][0] <= now - _IDLE_US
        old_enough, upto = self._seen[0]
        if idle:
            upto = head
        elif old_enough > now - self._options.seal_age_us:
            upto = 0
        too_many = self._rows() > self._options.rows_max
        if too_many:
            upto = head
        if upto:
            self._seal(upto, all_late=idle or too_many)

    def _rows(self) -> int:
        with self._environment.read() as transaction:
            return transaction.stat(self._environment.databases["rows"])["entries"]

    def _seal(self, upto_commit: int, *, all_late: bool) -> None:
        with self._lock:
            self._seal_held(upto_commit, all_late=all_late)

    def _seal_held(self, upto_commit: int, *, all_late: bool) -> None:
        for steps in sealing.steps(self._environment, self._options, upto_commit, all_late=all_late):
            if not self._writer.perform(partial(sealing.put_all, steps)):
                for step in steps:  # each on its own: the one that no longer fits waits for the next round
                    self._writer.perform(partial(sealing.put, step))
            if self._stopping.is_set():
                return
        while self._writer.perform(sealing.close_groups) and not self._stopping.is_set():
            pass
        records_min = 2 if all_late else packing.PACK_RECORDS_MIN
        for first, last in packing.packs(self._environment, self._packed, upto_commit, records_min):
            self._writer.perform(partial(packing.put_pack, first, last))
            self._packed = first
            if self._stopping.is_set():
                return

    def _run(self) -> None:
        while not self._stopping.wait(_LOOK_S):
            try:
                self.look(self._options.clock())
            except ArchiveError as error:
                if not self._stopping.is_set():
                    _log.warning("sealing is put off: %s", error)
            except Exception:  # a fault of ours must not end it: rows would be sealed no more
                _log.exception("sealing failed, and is tried again")
