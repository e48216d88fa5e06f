"""A server that sends scripted answers, byte for byte, and records the requests."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress


def answer(body: bytes, status: str = "200 OK", media: str = "application/msgpack", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {media}\r\ncontent-length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def _is_whole(request: bytes) -> bool:
    head, end, body = request.partition(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
    return bool(end) and len(body) >= (int(length[1]) if length else 0)


@contextmanager
def scripted(*connections: Sequence[bytes], seen: list[bytes] | None = None) -> Iterator[str]:
    """Serve connections one after another; each answers its requests in turn, and closes after the last.

    The requests, with heads and bodies, are added to ``seen``.
    """
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with suppress(OSError):  # the test is over
                for answers in connections:
                    connection, _ = listening.accept()
                    with connection:
                        for content in answers:
                            head = b""
                            while not _is_whole(head):
                                part = connection.recv(1 << 16)
                                if not part:
                                    return
                                head += part
                            if seen is not None:
                                seen.append(head)
                            connection.sendall(content)

        serving = threading.Thread(target=serve)
        serving.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            serving.join()
