"""A subscription over a WebSocket goes the way of all requests: through a proxy, over TLS, with the path."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.client.test_transport import proxied
from tests.importers.fake_yamcs import FakeYamcs, faked
from tests.importers.real_yamcs import Relay
from yamcs_archive import Event
from yamcs_archive.client.transport import Transport
from yamcs_archive.client.websocket import LiveEvents
from yamcs_archive.errors import ServerRefusedError, ServerUnavailableError
from yamcs_archive.wire.yamcs_event import decode_shown

WAIT_S = 60
EVENT = Event("m", source="S", generation_time=1, seq_number=1, reception_time=1)


@pytest.fixture
def fake() -> Iterator[FakeYamcs]:
    with faked() as server:
        yield server


def first_event(fake: FakeYamcs, url: str) -> Event:
    with LiveEvents(Transport(url), "there") as live:
        fake.wait_for_subscriptions(1)
        assert live.next(0) == []
        fake.publish(EVENT)
        (message,) = live.next(WAIT_S)
        assert isinstance(message, bytes)
        return decode_shown(message)


@contextmanager
def tunnels(to: int, asked: list[bytes]) -> Iterator[str]:
    """Run a proxy that makes each tunnel to one port."""
    relay = Relay(to)

    def serve() -> None:
        with suppress(OSError):
            while True:
                near, _ = listening.accept()
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += near.recv(1)
                asked.append(head)
                near.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                far = socket.create_connection(("127.0.0.1", relay.port))
                for one, other in ((near, far), (far, near)):
                    threading.Thread(target=copied, args=(one, other), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://ada:secret@127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()
            relay.close()


def copied(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while part := one.recv(1 << 16):
            other.sendall(part)
    for end in (one, other):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
    one.close()


def test_through_a_tunnel_of_the_proxy(fake: FakeYamcs, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with tunnels(fake.port, asked) as proxy, proxied(monkeypatch, proxy):
        assert first_event(fake, "http://ops.example:8090/yamcs") == EVENT
    assert asked[0].startswith(b"CONNECT ops.example:8090 ")
    assert b"proxy-authorization: basic" in asked[0].lower()
    assert fake.upgraded == ["/yamcs/api/websocket"]


def test_a_proxy_that_is_not_there_is_named_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        proxied(monkeypatch, "http://ada:secret@127.0.0.1:1"),
        pytest.raises(ServerUnavailableError, match=r"through the proxy http://…@127\.0\.0\.1:1") as caught,
    ):
        LiveEvents(Transport("http://ops.example"), "there")
    assert "secret" not in str(caught.value)


def test_over_tls_and_only_with_a_certificate_that_is_trusted(
    fake: FakeYamcs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    fake.stop()
    fake.tls = context
    fake.start()
    url = f"https://localhost:{fake.port}"
    with pytest.raises(ServerUnavailableError, match="certificate is not trusted"):
        LiveEvents(Transport(url), "there")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    assert first_event(fake, url) == EVENT


@pytest.mark.parametrize("status", [301, 302, 307])
def test_a_redirect_is_not_followed(fake: FakeYamcs, status: int) -> None:
    fake.handshake = status
    with pytest.raises((ServerRefusedError, ServerUnavailableError), match=r"127\.0\.0\.1"):
        LiveEvents(Transport(fake.url), "there")
    assert fake.subscriptions == 0


def test_another_protocol_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            near, _ = listening.accept()
            with near:
                near.recv(1 << 16)
                near.sendall(b"SSH-2.0-OpenSSH_9\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ServerUnavailableError, match="no WebSocket there"):
            LiveEvents(Transport(url), "there")
        thread.join()


def test_an_end_wakes_the_thread_that_waits(fake: FakeYamcs) -> None:
    with LiveEvents(Transport(fake.url), "there") as live:
        ending = threading.Timer(0.05, live.end)
        ending.start()
        with pytest.raises(ServerUnavailableError, match="it was closed"):
            live.next(WAIT_S)
        ending.join()
        live.close()
        live.close()
