"""TLS of the server's own: what is served, what its files must be, and what becomes of other clients."""

from __future__ import annotations

import asyncio
import errno
import http.client
import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.http.feeds import uvicorn_at
from tests.server.certificates import Authority, encrypted, write
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.server import tls, tls_acceptor
from yamcs_archive.server.tls import TlsContext, TlsError, TlsFiles

Refusals = list[tuple[str, str]]
WAIT_S = 30


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def files(authority: Authority) -> TlsFiles:
    return authority.issue()


@contextmanager
def served(
    archive: Archive, context: TlsContext | None, *, wsgi: bool = False
) -> Iterator[tuple[int, Refusals]]:
    """Serve, with TLS or without, and yield the port and what is refused."""
    refusals: Refusals = []
    app = create_app(archive) if wsgi else None
    with uvicorn_at(archive, 0, app, refused=lambda *one: refusals.append(one), tls=context) as port:
        yield port, refusals


def trusting(authority: Authority, own: TlsFiles | None = None) -> ssl.SSLContext:
    """Return what a client needs, with a certificate of its own or without."""
    context = ssl.create_default_context(cafile=str(authority.file))
    if own is not None:
        context.load_cert_chain(own.certificate, own.key)
    return context


def ask(port: int, context: ssl.SSLContext, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=WAIT_S)
    try:
        connection.request("GET" if body is None else "POST", "/api/archive/sim/events", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def shown(port: int) -> bytes | None:
    """Return the certificate that a server shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as raw,
        context.wrap_socket(raw) as secure,
    ):
        return secure.getpeercert(binary_form=True)


def until(is_so: Callable[[], object]) -> None:
    ends_s = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < ends_s
        time.sleep(0.01)


@pytest.mark.parametrize("wsgi", [False, True], ids=["ASGI", "WSGI"])
def test_requests_and_bodies_go_over_tls(
    archive: Archive, sim: Instance, authority: Authority, files: TlsFiles, wsgi: bool
) -> None:
    with served(archive, TlsContext(files), wsgi=wsgi) as (port, refusals):
        context = trusting(authority)
        message = b"x" * 300_000
        assert ask(port, context, b'{"message": "' + message + b'"}')[0] == 200
        status, body = ask(port, context)
        assert (status, message in body, refusals) == (200, True, [])


def test_a_websocket_goes_over_tls(
    archive: Archive, sim: Instance, authority: Authority, files: TlsFiles
) -> None:
    with served(archive, TlsContext(files)) as (port, _):
        options = {"ca_certs": str(authority.file)}
        url = f"wss://127.0.0.1:{port}/api/websocket"
        connection = websocket.create_connection(url, timeout=WAIT_S, sslopt=options)
        connection.send('{"type": "events", "id": 1, "options": {"instance": "sim"}}')
        assert '"replyTo": 1' in str(connection.recv())
        sim.append(Event("seen"))
        assert "seen" in str(connection.recv())
        connection.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1 is deprecated", "ignore:ssl.TLSVersion.TLSv1_1 is")
def test_tls_before_1_2_is_refused(archive: Archive, authority: Authority, files: TlsFiles) -> None:
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with served(archive, TlsContext(files)) as (port, refusals):
        with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
            ask(port, context)
        assert refusals == [("TLS handshake", "a client speaks no TLS of version 1.2 or later")]
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2
        assert ask(port, context)[0] == 404  # there is no such instance


def test_a_client_that_does_not_trust_the_authority_is_told_apart_from_others(
    archive: Archive, files: TlsFiles
) -> None:
    with served(archive, TlsContext(files)) as (port, refusals):
        with pytest.raises(ssl.SSLCertVerificationError):
            ask(port, ssl.create_default_context())
        until(lambda: refusals)
        assert refusals == [
            ("TLS handshake", "a client does not trust the authority of this server's certificate")
        ]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_with_a_client_ca_a_client_must_have_a_certificate_of_it(
    archive: Archive, authority: Authority, files: TlsFiles, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    clients, strangers = Authority(tmp_path, "clients"), Authority(tmp_path, "strangers")
    context = TlsContext(replace(files, client_ca=clients.file))
    with served(archive, context) as (port, refusals):
        for own, told in (
            (None, "a client has no certificate, which this server requires"),
            (
                strangers.issue("stranger"),
                "the certificate of a client is refused: unable to get local issuer",
            ),
            (clients.issue("old", ends=timedelta(days=-1)), "certificate has expired"),
            (clients.issue("client"), ""),
        ):
            trusted = trusting(authority, own)
            trusted.minimum_version = trusted.maximum_version = version
            if told:
                with pytest.raises(ssl.SSLError, match=r"(?i)alert"):  # it is told, not only cut off
                    ask(port, trusted)
                kind, why = refusals.pop()
                assert (kind, told in why) == ("TLS handshake", True), why
            else:
                assert ask(port, trusted)[0] == 404  # there is no such instance
                assert refusals == []


# The other protocol on a port


def test_plain_http_on_the_port_of_tls_is_answered_in_words(archive: Archive, files: TlsFiles) -> None:
    with served(archive, TlsContext(files)) as (port, refusals):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (400, b"This port speaks TLS: use https:// or wss:// URLs")
        connection.close()
        [(kind, why)] = refusals
        assert kind == "400 plain HTTP"
        assert "https://" in why


def test_tls_on_the_port_of_plain_http_is_said(archive: Archive) -> None:
    with served(archive, None) as (port, refusals):
        with pytest.raises(ssl.SSLError, match="WRONG_VERSION_NUMBER"):
            ask(port, ssl.create_default_context())
        [(kind, why)] = refusals
        assert kind == "400 TLS"
        assert "http://" in why


@pytest.mark.parametrize("sent", [b"\x16", b"\x16\x03\x01", b"\x00" * 500, b"SSH-2.0-x\r\n", b"\x80\x2e\x01"])
def test_what_is_neither_ends_without_a_traceback(
    archive: Archive, files: TlsFiles, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    with served(archive, TlsContext(files)) as (port, _):
        with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as raw:
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            while raw.recv(1000):
                pass
        assert shown(port)
    assert caplog.records == []


# Files


def check(files: TlsFiles) -> str:
    """Return the error for files that cannot be used."""
    with pytest.raises(TlsError) as caught:
        TlsContext(files)
    return str(caught.value)


def test_a_certificate_and_the_key_of_another_one_are_refused(authority: Authority, files: TlsFiles) -> None:
    said = check(TlsFiles(files.certificate, authority.issue("other").key))
    assert f"other.key: is not the key of the first certificate in {files.certificate}" in said


def test_a_chain_in_the_wrong_order_is_refused(authority: Authority, files: TlsFiles, tmp_path: Path) -> None:
    wrong = TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem")
    write(wrong, authority.file.read_bytes() + files.certificate.read_bytes(), files.key.read_bytes())
    assert "the server's own certificate before those of its chain" in check(wrong)


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
def test_a_file_that_is_none_of_its_kind_is_refused(files: TlsFiles, tmp_path: Path, which: str) -> None:
    one = tmp_path / "one"
    wrong = replace(files, **{which: one})
    assert check(wrong) == f"{one}: No such file or directory"
    one.mkdir()
    assert check(wrong) == f"{one}: Is a directory"
    one.rmdir()
    for content in (b"", b"text", b"\x00" * 100_000):
        one.write_bytes(content)
        one.chmod(0o600)
        assert str(one) in check(wrong)
        assert "in PEM" in check(wrong)
    kind = "PRIVATE KEY" if which == "key" else "CERTIFICATE"
    one.write_bytes(f"-----BEGIN {kind}-----\nAAAA\n".encode())  # cut off
    assert str(one) in check(wrong)


def test_a_file_that_may_not_be_read_is_refused(files: TlsFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, mode: str) -> Any:
        if path == files.key:  # root, who runs some of these tests, may read every file
            raise PermissionError(errno.EACCES, "Permission denied")
        return open(path, mode)

    monkeypatch.setattr(tls, "open", refuse, raising=False)
    assert check(files) == f"{files.key}: Permission denied"


@pytest.mark.parametrize(
    ("mode", "is_refused"), [(0o600, False), (0o640, False), (0o604, True), (0o644, True)]
)
def test_a_key_that_every_user_can_read_is_refused(
    files: TlsFiles, tmp_path: Path, mode: int, is_refused: bool
) -> None:
    key = tmp_path / "key"
    key.write_bytes(files.key.read_bytes())
    key.chmod(mode)
    if is_refused:
        assert "every user can read this key; take that right away (chmod o-r)" in check(
            replace(files, key=key)
        )
    else:
        TlsContext(replace(files, key=key))


def test_a_key_with_a_password_is_refused(files: TlsFiles, tmp_path: Path) -> None:
    locked = TlsFiles(tmp_path / "c.pem", tmp_path / "k.pem")
    write(locked, files.certificate.read_bytes(), encrypted(files.key.read_bytes()))
    assert "the key has a password" in check(locked)


def test_a_certificate_that_is_not_valid_yet_is_refused(authority: Authority) -> None:
    assert "the certificate is not valid yet: look at the clocks" in check(authority.future())


@pytest.mark.parametrize(
    ("ends", "told"),
    [
        (timedelta(days=-1), "has expired, and clients that check it refuse it"),
        (timedelta(days=13), "expires soon"),
        (timedelta(days=15), None),
    ],
)
def test_a_certificate_that_ends_is_warned_of_and_served(
    authority: Authority,
    ends: timedelta,
    told: str | None,
    caplog: pytest.LogCaptureFixture,
    archive: Archive,
) -> None:
    context = TlsContext(authority.issue("ending", ends=ends))
    assert [told in record.getMessage() for record in caplog.records if told] == [True] * bool(told)
    with served(archive, context) as (port, _):
        assert shown(port)


# Changes


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.02)


def replaced(files: TlsFiles, by: TlsFiles) -> None:
    write(files, by.certificate.read_bytes(), by.key.read_bytes())


def test_changed_files_are_served_and_connections_go_on(
    archive: Archive, sim: Instance, authority: Authority, quick: None
) -> None:
    files = authority.issue("changing")
    context = TlsContext(files)
    context.watch()
    with ExitStack() as held:
        held.callback(context.close)
        port, _ = held.enter_context(served(archive, context))
        before = shown(port)
        kept = http.client.HTTPSConnection("127.0.0.1", port, context=trusting(authority), timeout=WAIT_S)
        kept.connect()
        replaced(files, authority.issue("next"))
        until(lambda: shown(port) != before)
        kept.request("GET", "/healthz")
        assert kept.getresponse().read()
        kept.close()


def test_what_cannot_be_used_is_not_taken(
    archive: Archive, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue("lasting")
    context = TlsContext(files)
    with served(archive, context) as (port, _):
        before = shown(port)
        certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
        other, expired = authority.issue("other"), authority.issue("expired", ends=timedelta(hours=-1))
        for new, why in (
            ((certificate[: len(certificate) // 2], key), "cannot be read as certificates in PEM"),
            ((certificate, key[: len(key) // 2]), "cannot be used"),
            ((b"", key), "contains no certificate in PEM"),
            ((other.certificate.read_bytes(), key), "is not the key of the first certificate"),
            ((expired.certificate.read_bytes(), expired.key.read_bytes()), "has expired"),
        ):
            caplog.clear()
            write(files, *new)
            assert context.reload() is False
            [record] = caplog.records
            assert record.levelno == logging.ERROR
            assert record.getMessage().startswith("the certificate is kept as it was: ")
            assert why in record.getMessage()
            assert shown(port) == before
        files.key.unlink()
        assert context.reload() is False
        write(files, other.certificate.read_bytes(), other.key.read_bytes())
        assert context.reload() is True
        assert shown(port) != before


def test_files_that_change_one_after_the_other_are_read_when_they_rest(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = authority.issue("slow")
    looks: list[Any] = []
    context = TlsContext(files)
    other = authority.issue("new")

    class Ended:
        """Writes a file at each of the first two looks, and ends the watch after the fourth."""

        def wait(self, _: float) -> bool:
            looks.append(len(caplog.records))
            if len(looks) == 1:
                write(files, other.certificate.read_bytes(), files.key.read_bytes())
            elif len(looks) == 2:
                write(files, other.certificate.read_bytes(), other.key.read_bytes())
            return len(looks) == 5

    monkeypatch.setattr(context, "_ended", Ended())
    caplog.set_level(logging.INFO, "yamcs_archive")
    context._watch()
    assert [record.getMessage().split(",")[0] for record in caplog.records] == [
        f"the certificate in {files.certificate} is in use"
    ]


def test_another_client_ca_counts_for_the_next_connection(
    archive: Archive, sim: Instance, authority: Authority, files: TlsFiles, tmp_path: Path
) -> None:
    first, second = Authority(tmp_path, "first"), Authority(tmp_path, "second")
    listed = tmp_path / "listed.pem"
    listed.write_bytes(first.file.read_bytes())
    context = TlsContext(replace(files, client_ca=listed))
    trusted = trusting(authority, first.issue("client"))
    with served(archive, context) as (port, refusals):
        assert ask(port, trusted)[0] == 200
        listed.write_bytes(second.file.read_bytes())
        assert context.reload() is True
        with pytest.raises(ssl.SSLError):
            ask(port, trusted)  # with what it kept of its first session, too
        assert len(refusals) == 1


# Limits


def test_a_handshake_that_takes_too_long_ends(
    archive: Archive, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_acceptor, "HANDSHAKE_S_MAX", 0.2)
    with served(archive, TlsContext(files)) as (port, _):
        for sent in (b"", b"\x16\x03\x01\x02\x00"):
            with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as raw:
                raw.sendall(sent)
                assert raw.recv(1) == b""


def test_one_handshake_too_many_ends_the_oldest(
    archive: Archive, authority: Authority, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls_acceptor, "HANDSHAKES_MAX", 3)
    trusted = trusting(authority)
    with served(archive, TlsContext(files)) as (port, _), ExitStack() as held:
        address = ("127.0.0.1", port)
        silent = [held.enter_context(socket.create_connection(address, timeout=WAIT_S)) for _ in range(3)]
        for _ in range(5):  # ends the first, and no other
            assert ask(port, trusted)[0] == 404
        assert silent[0].recv(1) == b""
        for raw in silent[1:]:
            raw.settimeout(0.05)
            with pytest.raises(TimeoutError):
                raw.recv(1)


def test_a_connection_that_cannot_be_accepted_is_said_and_accepting_goes_on(
    archive: Archive, files: TlsFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept, failures = tls_acceptor.sock_accept, [errno.ECONNABORTED, errno.EMFILE]

    async def failing(loop: asyncio.AbstractEventLoop, listening: socket.socket) -> Any:
        if failures:
            raise OSError(failures.pop(), "injected")
        return await accept(loop, listening)

    monkeypatch.setattr(tls_acceptor, "sock_accept", failing)
    with served(archive, TlsContext(files)) as (port, refusals):
        assert shown(port)
        assert [kind for kind, _ in refusals] == ["503 ServiceUnavailableException"]


def test_a_stop_ends_a_websocket_that_is_closing(
    archive: Archive, authority: Authority, files: TlsFiles
) -> None:
    with served(archive, TlsContext(files)) as (port, _):
        options = {"ca_certs": str(authority.file)}
        url = f"wss://127.0.0.1:{port}/api/websocket"
        connection = websocket.create_connection(url, timeout=WAIT_S, sslopt=options)
        connection.send_close()
        time.sleep(0.1)  # it waits for the client's part of the close of TLS
    connection.shutdown()  # type: ignore[no-untyped-call]


def test_a_stop_does_not_wait_for_handshakes_and_idle_connections(
    archive: Archive, authority: Authority, files: TlsFiles
) -> None:
    with ExitStack() as held:
        port, _ = held.enter_context(served(archive, TlsContext(files)))
        held.callback(socket.create_connection(("127.0.0.1", port)).close)
        idle = http.client.HTTPSConnection("127.0.0.1", port, context=trusting(authority), timeout=WAIT_S)
        idle.request("GET", "/healthz")
        idle.getresponse().read()
        held.callback(idle.close)
        begun_s = time.monotonic()
    assert time.monotonic() - begun_s < WAIT_S / 2
