"""The clients of a soak: each a thread that does one thing over and over, and counts and times it."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from yamcs_archive import Client, Event, Severity
from yamcs_archive.client.instance import RemoteInstance
from yamcs_archive.errors import ArchiveError

INSTANCE = "sim"
KEPT_EVENTS = 200_000
"""Events that pruning keeps, so that the archive's size settles."""
_BATCH_EVENTS = 200
_SEVERITIES = tuple(Severity)


class Work:
    """Counts and times what one kind of client does. Safe to use from many threads."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._guard = threading.Lock()
        self._taken: list[tuple[float, float]] = []
        self.faults: list[str] = []

    def took(self, at_s: float, seconds: float) -> None:
        """Note something that ended at a moment and took so long."""
        with self._guard:
            self._taken.append((at_s, seconds))

    def by_minute(self, begun_s: float) -> list[list[float]]:
        """Return the seconds that each thing took, by the minute in which it ended."""
        with self._guard:
            taken = self._taken.copy()
        minutes: list[list[float]] = []
        for at_s, seconds in taken:
            minute = int((at_s - begun_s) // 60)
            minutes.extend([] for _ in range(minute + 1 - len(minutes)))
            minutes[minute].append(seconds)
        return minutes


class Load:
    """All clients of one server, until :meth:`end`."""

    def __init__(self, url: str, copies: Path, seed: int) -> None:
        self._url, self._copies, self._seed = url, copies, seed
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []
        self.acknowledged = 0
        self._guard = threading.Lock()
        self._retention = threading.Lock()  # a stream of a backup breaks off when the horizon moves
        self.works = {
            work.name: work
            for work in (
                self._run("post", _post, 4),
                self._run("batch", self._batch, 2, pause_s=0.2),
                self._run("page", _page, 2, pause_s=0.01),
                self._run("stream", _stream, 1, pause_s=1),
                self._run("changes", _changes, 2),
                self._run("subscribe", self._subscribe, 2),
                self._run("prune", self._prune, 1, pause_s=5),
                self._run("compact", _compact, 1, pause_s=45),
                self._run("backup", self._backup, 1, pause_s=20),
            )
        }

    def _run(
        self, name: str, do: Callable[[RemoteInstance, random.Random], int], count: int, pause_s: float = 0
    ) -> Work:
        """Start ``count`` clients that do something again and again; it returns the events it stored."""
        work = Work(name)

        def run(nth: int) -> None:
            chosen = random.Random(f"{self._seed}:{name}:{nth}")
            with Client(self._url) as client:
                instance = client.instance(INSTANCE)
                while not self._ending.wait(pause_s * chosen.uniform(0.5, 1.5)):
                    began_s = time.monotonic()
                    try:
                        stored = do(instance, chosen)
                    except (ArchiveError, OSError) as error:
                        if not self._ending.is_set():
                            work.faults.append(f"{name}: {type(error).__name__}: {error}")
                        continue
                    now_s = time.monotonic()
                    work.took(now_s, now_s - began_s)
                    with self._guard:
                        self.acknowledged += stored

        for nth in range(count):
            thread = threading.Thread(target=run, args=(nth,), name=f"soak-{name}-{nth}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return work

    def _batch(self, instance: RemoteInstance, chosen: random.Random) -> int:
        late_us = chosen.choice((0, 0, 0, 60_000_000))
        now_us = time.time_ns() // 1000 - late_us
        events = [_event(chosen, now_us + n) for n in range(_BATCH_EVENTS)]
        return instance.append_many(events).stored

    def _backup(self, instance: RemoteInstance, chosen: random.Random) -> int:
        with self._retention:
            instance.backup(self._copies, incremental=chosen.random() < 0.7, keep=2)
        return 0

    def _prune(self, instance: RemoteInstance, _: random.Random) -> int:
        with self._retention:
            instance.prune(max_events=KEPT_EVENTS)
        return 0

    def _subscribe(self, _instance: RemoteInstance, chosen: random.Random) -> int:
        """Subscribe, read some events, and leave."""
        import websocket  # noqa: PLC0415  # an extra's

        url = self._url.replace("http", "ws", 1) + "/api/websocket"
        connection: Any = websocket.create_connection(url, timeout=10)
        try:
            connection.send(json.dumps({"type": "events", "options": {"instance": INSTANCE}}))
            for _ in range(chosen.choice((1, 20, 500))):
                if self._ending.is_set():
                    break
                connection.recv()
        finally:
            with suppress(OSError):
                connection.close()
        return 0

    def end(self) -> None:
        """End all clients, and wait for them."""
        self._ending.set()
        for thread in self._threads:
            thread.join(60)

    @property
    def faults(self) -> list[str]:
        """What went wrong, each with the kind of client; a client that did not end is a fault, too."""
        stuck = [f"{thread.name} did not end" for thread in self._threads if thread.is_alive()]
        return [fault for work in self.works.values() for fault in work.faults] + stuck


def _event(chosen: random.Random, time_us: int | None = None) -> Event:
    return Event(
        f"Battery {chosen.randrange(9)} voltage is {chosen.randrange(400)} V",
        source=f"S{chosen.randrange(50)}",
        severity=chosen.choice(_SEVERITIES),
        type="Soak",
        generation_time=time_us,
    )


def _post(instance: RemoteInstance, chosen: random.Random) -> int:
    return int(not instance.append(_event(chosen)).duplicate)


def _page(instance: RemoteInstance, chosen: random.Random) -> int:
    sources = [f"S{chosen.randrange(50)}"] if chosen.random() < 0.5 else None
    list(instance.events(sources=sources, descending=True, limit=100))
    return 0


def _stream(instance: RemoteInstance, chosen: random.Random) -> int:
    for count, _ in enumerate(instance.events(min_severity=chosen.choice(_SEVERITIES))):
        if count == 20_000:
            break
    return 0


def _changes(instance: RemoteInstance, _: random.Random) -> int:
    instance.page(instance.cursor(), wait_s=0.5)
    return 0


def _compact(instance: RemoteInstance, _: random.Random) -> int:
    instance.compact()
    return 0
