"""A server that gives what a test says, byte for byte, and notes what it was sent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


def answer(body: bytes, status: str = "200 OK", media: str = "application/msgpack", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


@contextmanager
def scripted(*connections: Sequence[bytes]) -> Iterator[str]:
    """Serve connections one after another: each answers its requests in turn, and ends after the last."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):  # the test is over
                for answers in connections:
                    connection, _ = listening.accept()
                    with connection:
                        for content in answers:
                            head = b""
                            while b"\r\n\r\n" not in head:
                                head += connection.recv(4096)
                            connection.sendall(content)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
