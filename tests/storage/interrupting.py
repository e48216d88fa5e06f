"""A child process that real SIGINTs interrupt in the middle of a public function, again and again; a program.

Its arguments are the function's name, the number of interrupts, and "dropped" or "kept": whether it keeps the
KeyboardInterrupts with their tracebacks, as a notebook keeps the last one. After that it appends, compacts
and closes in other threads, each within a time limit, and prints the number of interrupts.
"""

from __future__ import annotations

import faulthandler
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from yamcs_archive import Archive, Event, EventKey, Instance, Options
from yamcs_archive.errors import ClosedError, LockedError, UnknownInstanceError
from yamcs_archive.event import as_stored
from yamcs_archive.results import Commit, MirrorState

BOUND_S = 20
"""Longest time of each later step, in seconds: a machine under load is slow."""

_OPTIONS = Options(block_events_max=64, run_events_min=16, rest_age_us=1)
_EVENTS = [Event(f"m{n}", source=f"S{n % 3}", generation_time=n, seq_number=n) for n in range(300)]


class Interrupts:
    """Sends SIGINTs from another process; one takes effect only while a function runs."""

    def __init__(self) -> None:
        self.count = 0
        self._armed = False
        signal.signal(signal.SIGINT, self._handle)
        self._sender = os.fork()
        if not self._sender:
            self._send()

    def _send(self) -> None:
        me, pause = os.getppid(), random.Random(1)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with suppress(ProcessLookupError):
            while os.getppid() == me:
                time.sleep(pause.uniform(0.0002, 0.002))
                os.kill(me, signal.SIGINT)
        os._exit(0)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            raise KeyboardInterrupt

    def into(self, act: Callable[[], object]) -> KeyboardInterrupt:
        """Repeat an action until an interrupt comes, and return the KeyboardInterrupt."""
        try:
            while True:
                self._armed = True  # repeat: C code that calls Python may swallow an interrupt
                act()
        except KeyboardInterrupt as interrupt:
            self.count += 1
            return interrupt
        finally:
            self._armed = False

    def stop(self) -> None:
        os.kill(self._sender, signal.SIGKILL)
        os.waitpid(self._sender, 0)


def within_bound(what: str, act: Callable[[], object]) -> None:
    """Run an action in another thread; if it raises or does not end, print all stacks and exit."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            act()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(BOUND_S)
    if thread.is_alive() or errors:
        faulthandler.dump_traceback()
        print(f"{what}: {errors or 'still waiting'}", file=sys.stderr, flush=True)
        os._exit(1)


def functions(path: Path, archive: Archive, sim: Instance) -> dict[str, Callable[[], object]]:
    """Return the functions to interrupt, by name."""
    copy = archive.instance("copy", create=True)
    pages = iter(range(1 << 30))
    opened: list[Archive] = []

    def submit() -> None:
        sim.submit(Event("x", source="Live")).result()

    def take_over() -> None:
        n = next(pages)
        event = Event("x", generation_time=n, seq_number=n, reception_time=0)
        copy.take_over([Commit(n, (as_stored(event),), "")], MirrorState("http://x", "sim", f"{n}"))

    def arrival() -> None:
        with suppress(TimeoutError):
            sim.arrival(sim.cursor(), timeout_s=0.001).result(0.01)

    def arrived() -> None:
        future = sim.arrival(sim.cursor())
        sim.append(Event("x", source="Live"))
        future.result()

    def make_and_set_aside() -> None:
        with suppress(ClosedError, UnknownInstanceError):  # an interrupted call may still run
            archive.instance("short", create=True).append(Event("x"))
            archive.set_aside("short")

    def open_and_close() -> None:
        while opened:
            opened[-1].close()  # an interrupt may have kept __exit__ from beginning
            opened.pop()
        with Archive.open(path / "other") as other:
            opened.append(other)
            other.instance("sim", create=True).get(EventKey(0, "S0", 0))

    def read_only() -> None:
        with Archive.open(path / "a", readonly=True) as reader:
            reader.instance("sim").get(EventKey(0, "S0", 0))

    return {
        "append": lambda: sim.append(Event("x", source="Live")),
        "append_many": lambda: sim.append_many(Event("x", source="Many") for _ in range(100)),
        "submit": submit,
        "take_over": take_over,
        "events": lambda: list(sim.events(limit=20)),
        "filtered": lambda: list(sim.events(sources=["S1"], text="m1", descending=True, limit=20)),
        "get": lambda: sim.get(EventKey(5, "S2", 5)),
        "sources": sim.sources,
        "stats": sim.stats,
        "changes": lambda: next(iter(sim.changes())),
        "commits": lambda: next(iter(sim.commits())),
        "histogram": lambda: list(sim.histogram()),
        "cursor": sim.cursor,
        "arrival": arrival,
        "arrived": arrived,
        "settle": sim.settle,
        "compact": sim.compact,
        "instances": make_and_set_aside,
        "open": open_and_close,
        "read_only": read_only,
    }


def main(name: str, times: int, kept: bool) -> None:
    interrupts: deque[KeyboardInterrupt] = deque(maxlen=1_000 if kept else 0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        archive = Archive.open(path / "a", options=_OPTIONS)
        sim = archive.instance("sim", create=True)
        sim.append_many(_EVENTS)
        act = functions(path, archive, sim)[name]
        sent = Interrupts()
        while sent.count < times:
            try:
                interrupts.append(sent.into(act))
            except LockedError:
                # One came before __enter__ had begun: only its traceback keeps that archive, and its lock.
                assert interrupts
                interrupts.clear()
        sent.stop()
        stored = {event.key for event in sim.events()}
        assert {event.key for event in _EVENTS} <= stored
        for done in ("first", "second"):
            within_bound(f"{done} append", lambda: sim.append(Event("after", source="After")))
        within_bound("compact", sim.compact)
        within_bound("append to the copy", lambda: archive.instance("third", create=True).append(Event("x")))
        within_bound("settle", sim.settle)
        within_bound("close", archive.close)

        def reopened() -> None:
            with Archive.open(path / "a") as again:
                assert len(list(again.instance("sim").events())) >= len(stored) + 2

        within_bound("reopen", reopened)
    print(sent.count)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "kept")
