"""A real Yamcs server with users, behind a relay whose connections a test can cut."""

from __future__ import annotations

import http.client
import json
import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from benchmarks.contenders import yamcs
from yamcs_archive.credentials import Login

USER = Login("ada", "secret")
TOKEN_LIFE_MS = 2_000
_FILES = {
    "security.yaml": f"""\
enabled: true
authModules:
  - class: org.yamcs.security.YamlAuthModule
    args: {{required: true}}
accessTokenLifespan: {TOKEN_LIFE_MS}
""",
    "users.yaml": """\
ada: {password: secret, superuser: true}
nobody: {password: secret}
""",
}


class Relay:
    """Passes connections on to a port."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self.open = True
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                if not self.open:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._to))
                self._pairs.append((near, far))
                threading.Thread(target=_pass_on, args=(near, far), daemon=True).start()

    def cut(self) -> None:
        """End all connections, and accept no more until ``open`` is set."""
        self.open = False
        for pair in self._pairs:
            for one in pair:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
        self._pairs.clear()

    def close(self) -> None:
        self.cut()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listening.close()


def _pass_on(near: socket.socket, far: socket.socket) -> None:
    other = {near: far, far: near}
    with near, far, suppress(OSError, ValueError):
        while True:
            for one in select.select([near, far], [], [])[0]:
                part = one.recv(1 << 16)
                if not part:
                    return
                other[one].sendall(part)


class RealYamcs:
    """The server."""

    instance = yamcs.INSTANCE

    def __init__(self, port: int, relay: Relay) -> None:
        self.port, self.relay = port, relay

    def post(self, *messages: str, source: str = "S", time: str | None = None) -> None:
        """Store events, past the relay."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": USER.header}
        for message in messages:
            event = {"message": message, "source": source, "sequenceNumber": int(message)}
            body = json.dumps(event if time is None else {**event, "time": time})
            connection.request("POST", f"/api/archive/{self.instance}/events", body, headers)
            answer = connection.getresponse()
            content = answer.read()
            assert answer.status == 200, content
        connection.close()


@contextmanager
def real_yamcs(directory: Path) -> Iterator[RealYamcs]:
    """Run a server until the block ends. Raises RuntimeError if there is no Java."""
    etc = directory / "etc"
    etc.mkdir(parents=True)
    for name, text in _FILES.items():
        (etc / name).write_text(text)
    with yamcs.serving(directory) as port:
        relay = Relay(getattr(port, "port", port))
        try:
            yield RealYamcs(getattr(port, "port", port), relay)
        finally:
            relay.close()
