"""A server with a history and a WebSocket, as a Yamcs server has them, that can be made to misbehave."""

from __future__ import annotations

import base64
import hashlib
import json
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from yamcs_archive import Event
from yamcs_archive.wire import json as wire_json
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.live_frames import Frames, JsonFrames, ProtobufFrames
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf import encode_event
from yamcs_archive.wire.protobuf_scan import varint

WAIT_S = 60
BASIC = "Basic " + base64.b64encode(b"ada:secret").decode()
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CALL = 17


class FakeYamcs:
    """What the server has and does; a test changes it."""

    def __init__(self) -> None:
        self.stored: list[Event] = []
        self.asked: list[int | None] = []
        """The starts of the streams of history that were asked for."""
        self.subprotocol: str | None = "protobuf"
        self.refusal: tuple[int, str, str] | None = None
        """Status, type and text of the answer to a subscription."""
        self.handshake = 101
        self.history_status = 200
        self.accepts: set[str] | None = None
        """Accepted values of Authorization; None without a login."""
        self.challenge = ""
        self.grants: list[str] = []
        self.refreshable = True
        self.expires_in: object = 1000
        self.on_subscribe: list[Any] = []
        """Functions, each called once with the next new subscription instead of answering it."""
        self.on_history: list[Any] = []
        """Functions, each called once before the next stream of history."""
        self.changed = threading.Condition()
        self.publishing = threading.Lock()
        self.live: list[Live] = []
        self.subscriptions = 0
        self.upgraded: list[str] = []
        """The paths of the handshakes."""
        self.port = 0
        self.tls: ssl.SSLContext | None = None
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        fake = self

        class Handler(_Handler):
            server_of = fake

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        if self.tls is not None:
            self._server.socket = self.tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def stop(self) -> None:
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self.drop()

    def store(self, *events: Event) -> None:
        """Store events that nobody is told of, as when a connection is lost."""
        self.stored.extend(events)

    def publish(self, *events: Event) -> None:
        """Publish events and store them, those of a new key."""
        for event in events:
            with self.publishing:
                for live in list(self.live):
                    live.send_event(event)
                if event.key not in {one.key for one in self.stored}:
                    self.stored.append(event)

    def drop(self) -> None:
        """End all WebSockets without a close."""
        for live in list(self.live):
            live.cut()

    def wait_for_subscriptions(self, count: int) -> None:
        """Wait until that many subscriptions were made in all."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.subscriptions >= count, WAIT_S), self.subscriptions


@contextmanager
def faked() -> Iterator[FakeYamcs]:
    fake = FakeYamcs()
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


class Live:
    """One subscription over one WebSocket."""

    def __init__(self, connection: Any, subprotocol: str | None) -> None:
        self._connection = connection
        self.frames: Frames = ProtobufFrames() if subprotocol == "protobuf" else JsonFrames()
        self.seq = 0

    def send(self, frame: str | bytes) -> None:
        """Send a frame as it is."""
        body = frame.encode() if isinstance(frame, str) else frame
        opcode = 0x81 if isinstance(frame, str) else 0x82
        self.raw(bytes([opcode]), body)

    def raw(self, first: bytes, body: bytes) -> None:
        size = len(body)
        length = (
            bytes([size])
            if size < 126
            else b"\x7e" + struct.pack(">H", size)
            if size < 65536
            else b"\x7f" + struct.pack(">Q", size)
        )
        with suppress(OSError):
            self._connection.sendall(first + length + body)

    def send_event(self, event: Event, skip: int = 0) -> None:
        """Send an event, after ``skip`` that were dropped."""
        self.seq += 1 + skip
        self.send(self.frames.event(CALL, self.seq, self.frames.tail(event)))

    def close(self, code: int, reason: str) -> None:
        """Send a close frame."""
        self.raw(b"\x88", struct.pack(">H", code) + reason.encode())

    def cut(self) -> None:
        with suppress(OSError):
            self._connection.shutdown(2)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_of: FakeYamcs

    def log_message(self, format: str, *args: object) -> None:  # the base class's name
        pass

    def _admitted(self) -> bool:
        fake = self.server_of
        if fake.accepts is None or self.headers.get("authorization") in fake.accepts:
            return True
        self._answer(401, b"Missing authentication", "text/plain", challenge=fake.challenge)
        return False

    def _answer(self, status: int, body: bytes, media: str = "application/json", challenge: str = "") -> None:
        self.send_response(status)
        self.send_header("content-type", media)
        self.send_header("content-length", str(len(body)))
        if challenge:
            self.send_header("www-authenticate", challenge)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        fake = self.server_of
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/auth/token":
            self._issue(parse_qs(body.decode()))
        elif self._admitted():
            if fake.on_history:
                fake.on_history.pop(0)()
            if fake.history_status != 200:
                self._answer(fake.history_status, b"no", "text/plain")
                return
            asked = today.StreamEventsRequest.FromString(body)
            start = asked.start.ToMicroseconds() if asked.HasField("start") else None
            if not (asked.HasField("stop") and asked.stop.ToMicroseconds() == 0):
                fake.asked.append(start)
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            if not (asked.HasField("stop") and asked.stop.ToMicroseconds() == 0):
                for event in sorted(fake.stored, key=lambda one: one.key):
                    if start is None or event.key.generation_time >= start:
                        message = encode_event(event, Form.TODAY)
                        self._chunk(varint(len(message)) + message)
            self._chunk(b"")

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))

    def _issue(self, form: dict[str, list[str]]) -> None:
        fake = self.server_of
        (grant,) = form["grant_type"]
        fake.grants.append(grant)
        right = (
            form.get("username") == ["ada"] and form.get("password") == ["secret"]
            if grant == "password"
            else fake.refreshable and form.get("refresh_token") == ["again"]
        )
        if not right or fake.accepts is None:
            self._answer(401, b"401 Unauthorized", "text/plain")
            return
        token = f"token{len(fake.grants)}"
        fake.accepts.add(f"Bearer {token}")
        fields = {"access_token": token, "token_type": "bearer", "expires_in": fake.expires_in}
        self._answer(200, json.dumps({**fields, "refresh_token": "again"}).encode())

    def do_GET(self) -> None:
        if not self._admitted():
            return
        if self.path == "/api/instances":
            self._answer(200, b'{"instances": [{"name": "there"}]}')
        elif self.server_of.handshake != 101:
            self._answer(self.server_of.handshake, b"not here", "text/plain")
        else:
            self._upgrade()

    def _upgrade(self) -> None:
        fake = self.server_of
        fake.upgraded.append(self.path)
        key = self.headers["sec-websocket-key"].encode()
        self.send_response(101)
        self.send_header("upgrade", "websocket")
        self.send_header("connection", "Upgrade")
        self.send_header(
            "sec-websocket-accept", base64.b64encode(hashlib.sha1(key + _GUID).digest()).decode()
        )
        if fake.subprotocol is not None:
            self.send_header("sec-websocket-protocol", fake.subprotocol)
        self.end_headers()
        self.close_connection = True
        live = Live(self.connection, fake.subprotocol)
        frame = self._frame()
        if frame is None:
            return
        asked = live.frames.read(frame.decode() if fake.subprotocol != "protobuf" else frame)
        assert (asked.topic, asked.options.instance) == ("events", "there")
        if fake.on_subscribe:
            fake.on_subscribe.pop(0)(live)
        elif fake.refusal is not None:
            code, kind, text = fake.refusal
            live.send(live.frames.reply(asked.id, None, live.frames.codec.error(code, kind, text)))
        else:
            with fake.publishing:  # no event is published between the two
                live.send(live.frames.reply(asked.id, CALL))
                fake.live.append(live)
        with fake.changed:
            fake.subscriptions += 1
            fake.changed.notify_all()
        while self._frame() is not None:
            pass
        if live in fake.live:
            fake.live.remove(live)

    def _frame(self) -> bytes | None:
        """Return a short frame of the client; None at the end."""
        try:
            head = self.rfile.read(2)
            if len(head) < 2 or head[0] & 15 == 8:
                return None
            size = head[1] & 127
            if size == 126:
                (size,) = struct.unpack(">H", self.rfile.read(2))
            mask, body = self.rfile.read(4), self.rfile.read(size)
            return bytes(byte ^ mask[at % 4] for at, byte in enumerate(body))
        except OSError:
            return None


def shown(event: Event) -> dict[str, Any]:
    """Return an event as its answers show it."""
    found: dict[str, Any] = wire_json.shown(event, Form.TODAY)
    return found
