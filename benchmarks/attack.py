"""``python -m benchmarks.attack``: the rate of honest posts beside clients that do nothing but take places.

Each kind of them by itself, and then all together: heads that never end, idle connections, bodies that stop
half way, and readers of pages, streams and WebSockets that read nothing. Who is cut off comes again at once.
Runs with and without them take turns, each with events of its own, which the WebSockets are sent. Prints a
line for each kind, with the processor time that the server took for a post, which tells what a busy machine
does not change; and exits with 1 if the posts beside all of them have less than two thirds of their rate,
or the server has used too much memory.
"""

from __future__ import annotations

import argparse
import itertools
import re
import select
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import msgspec

from benchmarks.contenders.archive import INSTANCE
from benchmarks.jobs import Job
from benchmarks.measures.http import figures, load
from benchmarks.processes import ending_tidily, processor_s
from benchmarks.servers import Running, archive_command, running
from benchmarks.workload import SLAB_EVENTS
from yamcs_archive import Archive, Event
from yamcs_archive.server.connections import raise_descriptor_limit

_PATH = f"/api/archive/{INSTANCE}/events"
_HEAD = "HTTP/1.1\r\nHost: localhost\r\n"
_SUBSCRIBE = b'{"type":"events","options":{"instance":"%s"}}' % INSTANCE.encode()
_LARGE_EVENTS, _LARGE_CHARACTERS = 400, 100_000
_WORD_S = 1.0
"""Seconds between two words of a client that sends slowly."""
_SETTLE_S = 1.0
_RATE_MIN = 2 / 3
_MEMORY_MIB_MAX = 512
_HANG_UP = select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP
_MIB = 1 << 20


@dataclass(frozen=True)
class Kind:
    """What a client does that only takes a place."""

    name: str
    first: bytes = b""
    """What it sends at first."""
    words: bytes = b""
    """What it sends again and again, slowly."""
    then: bytes = b""
    """What it sends after the first answer."""
    reads: bool = True
    """Whether it reads what comes, to see that it is cut off; otherwise it reads nothing."""


KINDS = (
    Kind("heads", f"GET /healthz {_HEAD}".encode(), b"x: y\r\n"),
    Kind("idle"),
    Kind("bodies", f"POST {_PATH} {_HEAD}Content-Length: 60000\r\n\r\n".encode() + b" " * 30_000, b" "),
    Kind(
        "batches",
        f"POST {_PATH}:batch {_HEAD}Content-Length: 9000000\r\n\r\n".encode() + b" " * 100_000,
        b" ",
    ),
    Kind("pages", f"GET {_PATH}?limit=1000 {_HEAD}\r\n".encode(), reads=False),
    Kind("streams", f"GET /api/archive/{INSTANCE}:exportEvents {_HEAD}\r\n".encode(), reads=False),
    Kind(
        "websockets",
        f"GET /api/websocket {_HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n".encode()
        + b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        then=b"\x81" + bytes([0x80 | len(_SUBSCRIBE)]) + bytes(4) + _SUBSCRIBE,
        reads=False,
    ),
)


@dataclass
class _Client:
    kind: Kind
    socket: socket.socket
    answered: bool = False


@dataclass
class Attack:
    """Clients of some kinds at once, on a thread, until :meth:`end`."""

    port: int
    numbers: dict[Kind, int]
    cut_off: dict[str, int] = field(default_factory=dict)
    """How often clients of each kind were cut off, and came again."""

    def __post_init__(self) -> None:
        self._epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def end(self) -> None:
        """Close all connections."""
        self._ended.set()
        self._thread.join()
        for client in self._clients.values():
            client.socket.close()
        self._epoll.close()

    def _run(self) -> None:
        for kind, number in self.numbers.items():
            for _ in range(number):
                self._open(kind)
        spoken_s = time.monotonic()
        while not self._ended.is_set():
            for descriptor, events in self._epoll.poll(0.05):
                self._look(self._clients[descriptor], events)
            if time.monotonic() - spoken_s > _WORD_S:
                spoken_s = time.monotonic()
                for client in list(self._clients.values()):
                    if client.kind.words:
                        self._say(client, client.kind.words)

    def _open(self, kind: Kind) -> None:
        raw = socket.socket()
        if not kind.reads:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.settimeout(5)
        client = _Client(kind, raw)
        try:
            raw.connect(("127.0.0.1", self.port))
            raw.sendall(kind.first)
        except OSError:
            raw.close()
            self._count(kind)
            return
        raw.setblocking(False)
        self._clients[raw.fileno()] = client
        self._epoll.register(raw.fileno(), (select.EPOLLIN if kind.reads or kind.then else 0) | _HANG_UP)

    def _look(self, client: _Client, events: int) -> None:
        if events & _HANG_UP:
            self._again(client)
        elif client.kind.then and not client.answered:
            client.answered = True
            client.socket.recv(500)
            self._epoll.modify(client.socket.fileno(), _HANG_UP)
            self._say(client, client.kind.then)
        elif client.kind.reads:
            with suppress(OSError):
                if client.socket.recv(1 << 16):
                    return
            self._again(client)

    def _say(self, client: _Client, words: bytes) -> None:
        try:
            client.socket.send(words)
        except BlockingIOError:
            pass
        except OSError:
            self._again(client)

    def _again(self, client: _Client) -> None:
        self._count(client.kind)
        del self._clients[client.socket.fileno()]
        client.socket.close()
        self._open(client.kind)

    def _count(self, kind: Kind) -> None:
        self.cut_off[kind.name] = self.cut_off.get(kind.name, 0) + 1


@contextmanager
def attacked(port: int, numbers: dict[Kind, int]) -> Iterator[Attack]:
    """Attack until the block ends."""
    attack = Attack(port, numbers)
    try:
        time.sleep(_SETTLE_S)
        yield attack
    finally:
        attack.end()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print a line for each kind, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack", description=__doc__)
    sizes = {"heads": 500, "idle": 2_000, "bodies": 500, "batches": 40, "pages": 50, "streams": 50}
    for name, number in {**sizes, "websockets": 200}.items():
        parser.add_argument(f"--{name}", type=int, default=number, help=f"clients; default: {number}")
    parser.add_argument("--posts", type=int, default=20_000, help="posts of a run; default: 20,000")
    parser.add_argument("--connections", type=int, default=32, help="of honest clients; default: 32")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each kind; default: 3")
    parser.add_argument(
        "--runs", type=int, default=1, help="runs, one after another, of each kind beside it; default: 1"
    )
    parser.add_argument("--together", action="store_true", help="all kinds together only")
    parser.add_argument("--wsgi", action="store_true", help="serve by WSGI")
    parser.add_argument("--scratch", type=Path, help="folder for the archive (the one of temporary files)")
    options = parser.parse_args(arguments)
    kinds = [kind for kind in KINDS if not (options.wsgi and kind.name == "websockets")]
    numbers = {kind: getattr(options, kind.name) for kind in kinds}
    job = Job(
        measure="http",
        case="attack",
        contender="archive",
        events=options.posts,
        batch_events=1,
        connections=options.connections,
        warm_up=min(100, options.posts // 10),
    )
    raise_descriptor_limit(sum(numbers.values()))
    with ending_tidily(), tempfile.TemporaryDirectory(prefix="attack-", dir=options.scratch) as scratch:
        how = {"wsgi": options.wsgi, "together": options.together}
        turns = Turns(_fresh(job), options.repeats, options.runs)
        faults = _run(Path(scratch), turns, numbers, **how)
    for fault in faults:
        print(fault)
    return 1 if faults else 0


def _run(folder: Path, turns: Turns, numbers: dict[Kind, int], *, wsgi: bool, together: bool) -> list[str]:
    with Archive.open(folder / "archive") as archive:
        text = "x" * _LARGE_CHARACTERS
        archive.instance(INSTANCE, create=True).append_many(Event(text) for _ in range(_LARGE_EVENTS))
    faults = []
    with running(archive_command(folder, INSTANCE, wsgi=wsgi)) as server:
        attacks = [] if together else [{kind: number} for kind, number in numbers.items()]
        for attack in (*attacks, numbers):
            name = "all together" if attack is numbers else "".join(kind.name for kind in attack)
            ratio, told = _compared(server, turns, attack)
            print(f"{name:13} {told}; memory {_peak_mib(server.pid):.0f} MiB at most", flush=True)
            if attack is numbers and ratio < _RATE_MIN:
                faults.append(f"posts keep {ratio:.2f} of their rate, less than two thirds")
        if (peak_mib := _peak_mib(server.pid)) > _MEMORY_MIB_MAX:
            faults.append(f"the server has used {peak_mib:.0f} MiB, more than {_MEMORY_MIB_MAX}")
    return faults


def _fresh(job: Job) -> Iterator[Job]:
    """Yield the job again and again, each time with the events after those of the time before."""
    of_a_run = -(-job.events // SLAB_EVENTS) * SLAB_EVENTS
    return (msgspec.structs.replace(job, skip=turn * of_a_run) for turn in itertools.count())


class Turns(NamedTuple):
    """How often posts are measured."""

    jobs: Iterator[Job]
    """Each with events of its own."""
    repeats: int
    """Turns without and with an attack."""
    runs: int
    """Runs in each of these: a long attack begins anew with those who were cut off."""

    def posted(self, server: Running) -> Posted:
        """Run, and return how it went over all runs."""
        seconds, slowest_us, posts, sent = 0.0, 0.0, 0, 0
        before_s = processor_s(server.pid)
        for job in itertools.islice(self.jobs, self.runs):
            found = figures(job, load(job, server.port, _PATH))
            seconds += (job.events - job.warm_up) / found["requests_per_s"]
            posts += job.events - job.warm_up
            sent += job.events
            slowest_us = max(slowest_us, found["latency_us_p99"])
        processor_us = (processor_s(server.pid) - before_s) / sent * 1e6
        return Posted(posts / seconds, slowest_us / 1_000, processor_us)


class Posted(NamedTuple):
    """How posts went."""

    rate: float
    """A second."""
    p99_ms: float
    """The greatest of a run."""
    processor_us: float
    """Processor time of the server for a post, with all else that it did meanwhile."""


def _compared(server: Running, turns: Turns, numbers: dict[Kind, int]) -> tuple[float, str]:
    """Return the share of the rate that is left beside an attack, and what is to be told of it."""
    alone: list[Posted] = []
    beside: list[Posted] = []
    cut_off = 0
    for _ in range(turns.repeats):
        alone.append(turns.posted(server))
        with attacked(server.port, numbers) as attack:
            beside.append(turns.posted(server))
        cut_off += sum(attack.cut_off.values())
    rates = [median(each.rate for each in runs) for runs in (alone, beside)]
    times_us = [median(each.processor_us for each in runs) for runs in (alone, beside)]
    ratio = rates[1] / rates[0]
    return ratio, (
        f"{sum(numbers.values()):5} clients: {rates[0]:6.0f} posts/s alone, {rates[1]:6.0f} beside them"
        f" ({ratio:.2f}), of the server {times_us[0]:.0f} and {times_us[1]:.0f} us each"
        f" ({times_us[0] / times_us[1]:.2f}), p99 {max(each.p99_ms for each in beside):.0f} ms,"
        f" {cut_off} times cut off"
    )


def _peak_mib(process: int) -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) * 1024 / _MIB if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
