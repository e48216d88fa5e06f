"""Threads that run operations on one archive until the process dies, or for a number of operations."""

from __future__ import annotations

import threading
import traceback
from pathlib import Path
from random import Random

from benchmarks.crash.operations import Place, drawn
from benchmarks.crash.worker import Book, Worker
from yamcs_archive import Instance
from yamcs_archive.client.instance import RemoteInstance
from yamcs_archive.errors import ServerUnavailableError

_PAUSE_S_MAX = 0.004


class Hands:
    """Threads that work on one archive: some append, and one may maintain it beside them."""

    def __init__(
        self,
        sim: Instance | RemoteInstance,
        book: Book,
        seed: str,
        copies: Path,
        place: Place = "alone",
    ) -> None:
        self._sim, self._book, self._seed = sim, book, seed
        self._copies, self._place = copies, place
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def begin(self, appending: int, *, maintaining: bool) -> None:
        """Start the threads."""
        for nth in range(appending + maintaining):
            worker = Worker(self._sim, self._book, Random(f"{self._seed}/{nth}"), self._copies)
            self._threads.append(
                threading.Thread(target=self._run, args=(worker, nth >= appending), daemon=True)
            )
        for thread in self._threads:
            thread.start()

    def join(self, wait_s: float) -> bool:
        """Wait until all threads have ended, because their server is gone; False if one has not."""
        self._stop.set()
        for thread in self._threads:
            thread.join(wait_s)
        return not any(thread.is_alive() for thread in self._threads)

    def wait(self) -> None:
        """Wait for threads that work for ever: until the process is killed."""
        for thread in self._threads:
            thread.join()

    def _run(self, worker: Worker, maintains: bool) -> None:
        try:
            while not self._stop.is_set():
                one(worker, maintains=maintains, place=self._place)
                if maintains:
                    self._stop.wait(worker.rng.random() * _PAUSE_S_MAX)
        except ServerUnavailableError as error:
            if error.status is not None:  # else it was killed, and the request has no answer
                worker.wrong(f"{error!r}")
        except Exception:
            worker.wrong(traceback.format_exc())


def one(worker: Worker, *, maintains: bool, place: Place = "alone") -> None:
    """Run one operation."""
    drawn(worker.rng, maintains=maintains, place=place).run(worker)
