"""The HTTP load generator: many keep-alive connections, one request under way on each, in one thread.

It is a process of its own, so that it does not compete for the server's interpreter lock; on a machine with
two cores it still takes a share of them. Bodies are made before the clock starts, sockets are watched with
epoll, and only status and length of an answer are read. An answer that is not a 200 ends the run, because a
rate of errors means nothing.

Run as ``python -m benchmarks.load PORT PATH < job.json``; prints a :class:`Report` as JSON.
"""

from __future__ import annotations

import re
import selectors
import socket
import ssl
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from time import perf_counter_ns

import msgspec

from benchmarks.bodies import MEDIA_TYPES, SINGLE, batch_body
from benchmarks.contenders.yamcs import row_stream
from benchmarks.jobs import Job
from benchmarks.processes import ending_tidily
from benchmarks.timing import quiet
from yamcs_archive import Event

_RECEIVE_BYTES = 64 << 10
_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_QUIET_S = 120
"""Longest wait for an answer, in seconds; a server that is silent for longer hangs."""


class BadAnswerError(Exception):
    """The server did not answer 200."""


class Report(msgspec.Struct, frozen=True):
    """The outcome of a load: the time from the first counted request to the last answer, and each latency."""

    elapsed_ns: int
    latencies_ns: list[int]


class _Connection:
    """A keep-alive connection with at most one request under way."""

    def __init__(self, port: int, *, tls: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:  # the certificate was made for the run
            self.socket = ssl._create_unverified_context().wrap_socket(self.socket)
        self._received = b""
        self._sent_ns = 0

    def send(self, request: bytes) -> None:
        """Send a request; this blocks while the socket's buffer is full."""
        self._received = b""
        self._sent_ns = perf_counter_ns()
        self.socket.sendall(request)

    def receive(self) -> int | None:
        """Read the bytes that have arrived; return the latency in ns if the answer is complete, else None."""
        part = self.socket.recv(_RECEIVE_BYTES)
        self._received += part
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end:
            length = _CONTENT_LENGTH.search(head)
            if length is None or head[9:12] != b"200":
                raise BadAnswerError(self._received[:500].decode("utf-8", "replace"))
            if len(body) >= int(length[1]):
                return perf_counter_ns() - self._sent_ns
        if not part:
            raise BadAnswerError(f"the server closed the connection after {self._received[:500]!r}")
        return None


def drive(port: int, requests: Sequence[bytes], connections: int, *, tls: bool = False) -> Report:
    """Send every request once; a connection sends its next request as soon as its last one is answered.

    Raises :class:`BadAnswerError` at the first answer that is not a 200, and TimeoutError if no answer comes.
    """
    supply: Iterator[bytes] = iter(requests)
    latencies_ns: list[int] = []
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        opened = [_Connection(port, tls=tls) for _ in range(min(connections, len(requests)))]
        for connection in opened:
            stack.callback(connection.socket.close)
        for connection in opened:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        start_ns = perf_counter_ns()
        for connection in opened:
            connection.send(next(supply))
        under_way = len(opened)
        while under_way:
            ready = selector.select(_QUIET_S)
            if not ready:
                raise TimeoutError(f"no answer for {_QUIET_S} s")
            for key, _ in ready:
                latency_ns = key.data.receive()
                if latency_ns is None:
                    continue
                latencies_ns.append(latency_ns)
                request = next(supply, None)
                if request is None:
                    under_way -= 1
                else:
                    key.data.send(request)
        elapsed_ns = perf_counter_ns() - start_ns
    return Report(elapsed_ns, latencies_ns)


def request(path: str, body: bytes, media_type: str, authorization: str = "") -> bytes:
    """Return the bytes of one POST; ``authorization`` is the header with which it logs in.

    >>> request("/x", b"{}", "application/json").startswith(b"POST /x HTTP/1.1\\r\\n")
    True
    """
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {media_type}\r\n"
        f"Content-Length: {len(body)}\r\n"
    )
    head += f"Authorization: {authorization}\r\n\r\n" if authorization else "\r\n"
    return head.encode() + body


def requests_of(job: Job, events: list[Event], path: str) -> list[bytes]:
    """Return requests with the events: with one event each, or ``batch_events`` each.

    >>> job = Job(measure="http", case="", contender="archive", events=3, batch_events=2, encoding="ndjson")
    >>> len(requests_of(job, job.workload().events(), "/x"))
    2
    """
    media_type = MEDIA_TYPES[job.encoding]
    encode_batch = row_stream if job.encoding == "rows" else partial(batch_body, encoding=job.encoding)
    if job.batch_events == 1:
        encode = SINGLE[job.encoding]
        return [request(path, encode(event), media_type, job.authorization) for event in events]
    return [
        request(path, encode_batch(events[first : first + job.batch_events]), media_type, job.authorization)
        for first in range(0, len(events), job.batch_events)
    ]


def _events(job: Job) -> list[Event]:
    if not job.skip:
        return job.workload().events()
    return list(chain.from_iterable(job.workload().slabs(job.skip)))


def main(port: str, path: str) -> None:
    """Drive the job on standard input: first its warm-up, then the counted requests."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    requests = requests_of(job, _events(job), path)
    warm_up, counted = requests[: job.warm_up], requests[job.warm_up :]
    if warm_up:
        drive(int(port), warm_up, job.connections, tls=job.tls)
    quiet()
    sys.stdout.buffer.write(msgspec.json.encode(drive(int(port), counted, job.connections, tls=job.tls)))


if __name__ == "__main__":
    with ending_tidily():
        main(*sys.argv[1:])
