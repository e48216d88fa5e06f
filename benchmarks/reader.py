"""A client that only reads bytes: it sends one request again and again, and prints the time of each answer.

    python -m benchmarks.reader PORT < request.json

It is a process of its own, so that it shares no interpreter with the server. It only looks for the end of an
answer, so that its own work counts little.
"""

from __future__ import annotations

import re
import socket
import sys
from time import perf_counter

import msgspec

from benchmarks.processes import ending_tidily
from benchmarks.timing import quiet

_RECEIVE_BYTES = 1 << 20
_QUIET_S = 120
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class Asked(msgspec.Struct, frozen=True):
    """A request, and the number of times that it is sent."""

    method: str
    target: str
    accept: str
    times: int


def read(port: int, asked: Asked) -> list[float]:
    """Send the request over one connection, and return the seconds that each answer took.

    Raises RuntimeError for an answer that is not a 200, and TimeoutError if no answer comes.
    """
    request = (
        f"{asked.method} {asked.target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: {asked.accept}\r\n"
        "Content-Length: 0\r\n\r\n"
    ).encode()
    seconds = []
    with socket.create_connection(("127.0.0.1", port), timeout=_QUIET_S) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(asked.times):
            start = perf_counter()
            connection.sendall(request)
            _answer(connection)
            seconds.append(perf_counter() - start)
    return seconds


def _answer(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _part(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    if head[9:12] != b"200":
        raise RuntimeError(received[:500].decode("utf-8", "replace"))
    length = _LENGTH.search(head)
    if length is not None:
        left = int(length[1]) - len(body)
        while left > 0:
            left -= len(_part(connection))
        return
    # No answer has these bytes within a chunk, because its lines end with a line feed alone.
    end = (b"\r\n" + body)[-len(_LAST_CHUNK) :]
    while end != _LAST_CHUNK:
        end = (end + _part(connection))[-len(_LAST_CHUNK) :]


def _part(connection: socket.socket) -> bytes:
    part = connection.recv(_RECEIVE_BYTES)
    if not part:
        raise RuntimeError("the server closed the connection within an answer")
    return part


def main(port: str) -> None:
    """Read the request from standard input, and write the seconds to standard output."""
    asked = msgspec.json.decode(sys.stdin.buffer.read(), type=Asked)
    quiet()
    sys.stdout.buffer.write(msgspec.json.encode(read(int(port), asked)))


if __name__ == "__main__":
    with ending_tidily():
        main(*sys.argv[1:])
