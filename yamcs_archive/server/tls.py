"""TLS of the server's own: certificate and key from files, taken anew when they change.

1. What the files hold is tried before it is used: a handshake in memory, as a client would make it. So what
   serves is whole, and a file that is half written never replaces it.
2. A connection keeps the certificate with which it began; the next one gets the newest.
3. A handshake that fails is told to the client (an alert; or, if it speaks plain HTTP, an answer in words)
   and to the log of refusals.
"""

from __future__ import annotations

import logging
import os
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yamcs_archive.errors import ArchiveError

_log = logging.getLogger(__name__)

LOOK_S = 2.0
"""Seconds between two looks at the files. Changed files are read once two looks have found them the same: who
renews a certificate writes two files, one after the other."""
EXPIRES_SOON_S = 14 * 86_400
"""Seconds before the end of a certificate from which a warning is logged: renewals come a month before."""
WARN_S = 86_400
"""Seconds between two warnings of a certificate that ends soon or has ended."""
PEM_BYTES_MAX = 1 << 20
"""Largest file that is read, in bytes: a chain has some 10 KB, and a wrong file may be of any size."""
_EXPIRED, _NOT_YET_VALID = 10, 9
"""OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED and X509_V_ERR_CERT_NOT_YET_VALID."""

PLAIN_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n"
    b"content-length: 49\r\n\r\nThis port speaks TLS: use https:// or wss:// URLs"
)


class TlsError(ArchiveError):
    """The files cannot be used for TLS; the text says why, and what to do."""


@dataclass(frozen=True)
class TlsFiles:
    """The files of a server's TLS, in PEM.

    >>> TlsFiles(Path("cert.pem"), Path("key.pem")).client_ca is None
    True
    """

    certificate: Path
    """The server's own certificate first, then those of its chain."""
    key: Path
    """The certificate's private key, without a password; other users may not read the file."""
    client_ca: Path | None = None
    """Certificates of authorities: a client must have a certificate of one of them. None: it needs none."""

    def paths(self) -> tuple[Path, ...]:
        """Return the files that are there to be read."""
        return (self.certificate, self.key, *((self.client_ca,) if self.client_ca is not None else ()))


class TlsContext(ssl.SSLContext):
    """What a server takes for its TLS: each connection gets the newest certificate.

    Raises :class:`TlsError` if the files cannot be used. ``refused`` is called with the kind and the reason
    of each handshake that fails; it may be set later.
    """

    refused: Callable[[str, str], None]
    _files: TlsFiles
    _current: ssl.SSLContext
    _ends_s: float
    _told_s: float
    _seen: tuple[object, ...]
    _guard: Any
    _ended: threading.Event
    _is_quiet = False

    def __new__(cls, _files: TlsFiles) -> TlsContext:
        """Make it; SSLContext takes its arguments here."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._guard = threading.Lock()
        self._ended = threading.Event()
        self._seen = _seen(files)
        self._current, self._ends_s = load(files)
        self._told_s = 0.0
        self.refused = _ignore
        self._warn()

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *given: Any, **named: Any) -> Any:
        """Begin a connection, with the newest certificate; the event loop calls it."""
        wrapped: Any = self._current.wrap_bio(incoming, outgoing, *given, **named)  # a _Connection
        wrapped.outgoing = outgoing
        if not self._is_quiet:
            wrapped.refused = self.refused
        return wrapped

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Call ``refused`` for no handshake that begins within the block: it is the server's own."""
        self._is_quiet = True
        try:
            yield
        finally:
            self._is_quiet = False

    def reload(self) -> bool:
        """Take the files as they are now; if they cannot be used, log why, keep the old ones, return False.

        A certificate that has expired is not taken, because the old one is no worse. Safe to call on any
        thread.
        """
        with self._guard:
            self._seen = _seen(self._files)
            try:
                current, ends_s = load(self._files)
                if ends_s <= time.time():
                    raise TlsError(f"{self._files.certificate}: the certificate has expired, {_day(ends_s)}")
            except TlsError as error:
                _log.error("the certificate is kept as it was: %s", error)
                return False
            self._current, self._ends_s = current, ends_s
            self._told_s = 0.0
        _log.info("the certificate in %s is in use, until %s", self._files.certificate, _day(ends_s))
        self._warn()
        return True

    def watch(self) -> None:
        """Look at the files from now on, on a thread of its own, and take them when they have changed."""
        threading.Thread(target=self._watch, name="yamcs-archive-tls", daemon=True).start()

    def close(self) -> None:
        """Look at the files no longer; idempotent."""
        self._ended.set()

    def _watch(self) -> None:
        before = self._seen
        while not self._ended.wait(LOOK_S):
            now = _seen(self._files)
            if now != self._seen and now == before:  # they have changed, and rest
                self.reload()
            before = now
            self._warn()

    def _warn(self) -> None:
        """Warn once a day of a certificate that ends soon, or has ended."""
        left_s = self._ends_s - time.time()
        now_s = time.monotonic()
        if left_s > EXPIRES_SOON_S or (self._told_s and now_s - self._told_s < WARN_S):
            return
        self._told_s = now_s
        ends = "expires soon, " if left_s > 0 else "has expired, and clients that check it refuse it: "
        _log.warning("the certificate in %s %s%s", self._files.certificate, ends, _day(self._ends_s))


def load(files: TlsFiles) -> tuple[ssl.SSLContext, float]:
    """Return a context with the files' contents, and when the certificate expires, in seconds since 1970.

    Raises :class:`TlsError`.
    """
    _check_readable(files)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = _Connection
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(files.certificate, files.key, _no_password)
    except TlsError:
        raise TlsError(
            f"{files.key}: the key has a password, which a server cannot be asked for; write it without one"
            f" (openssl pkey -in {files.key} -out NEW), readable by the server alone"
        ) from None
    except (ssl.SSLError, OSError) as error:
        raise _pair_error(files, error) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except (ssl.SSLError, OSError) as error:
            raise TlsError(f"{files.client_ca}: contains no certificates in PEM ({_said(error)})") from None
        context.verify_mode = ssl.CERT_REQUIRED
        # A resumed session would skip the verification, also after its authority was taken away.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context, _tried(files)


def _check_readable(files: TlsFiles) -> None:
    for path in files.paths():
        try:
            with open(path, "rb") as file:
                is_key = path == files.key
                mode = os.fstat(file.fileno()).st_mode
                if not stat.S_ISREG(mode):
                    raise TlsError(f"{path}: must be a file")
                if is_key and mode & stat.S_IROTH:
                    raise TlsError(f"{path}: every user can read this key; take that right away (chmod o-r)")
                text = file.read(PEM_BYTES_MAX)
        except OSError as error:
            raise TlsError(f"{path}: {error.strerror}") from None
        if is_key and b"PRIVATE KEY-----" not in text:
            raise TlsError(f"{path}: contains no private key in PEM")
        if not is_key and b"-----BEGIN CERTIFICATE-----" not in text:
            raise TlsError(f"{path}: contains no certificate in PEM")


def _no_password() -> str:
    raise TlsError("a password is needed")


def _pair_error(files: TlsFiles, error: OSError) -> TlsError:
    """Return the error for a certificate and a key that cannot be used together."""
    if getattr(error, "reason", None) in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"):
        return TlsError(
            f"{files.key}: is not the key of the first certificate in {files.certificate}; give the two that"
            " belong together, the server's own certificate before those of its chain"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(files.certificate)
    except (ssl.SSLError, OSError):
        return TlsError(f"{files.certificate}: cannot be read as certificates in PEM ({_said(error)})")
    return TlsError(f"{files.key}: cannot be used ({_said(error)})")


def _tried(files: TlsFiles) -> float:
    """Make a handshake in memory, and return when the certificate expires, in seconds since 1970.

    The client of it trusts the certificate itself, so that its authority is not asked for. Raises TlsError.
    """
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(files.certificate, files.key, _no_password)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client_context.check_hostname = False
    client_context.load_verify_locations(files.certificate)
    client_context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    try:
        certificate = _shaken(client_context, server_context)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code != _EXPIRED:
            why = (
                "is not valid yet: look at the clocks"
                if error.verify_code == _NOT_YET_VALID
                else "is refused"
            )
            text = f"{files.certificate}: the certificate {why} ({error.verify_message})"
            raise TlsError(text) from None
        # Its dates are known only to who verifies it, so it is verified without regard to the time.
        client_context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        certificate = _shaken(client_context, server_context)
    except ssl.SSLError as error:
        raise TlsError(f"{files.certificate}: cannot be used ({_said(error)})") from None
    return ssl.cert_time_to_seconds(certificate["notAfter"])


_NO_CHECK_TIME = 0x200000
"""OpenSSL's X509_V_FLAG_NO_CHECK_TIME."""


def _shaken(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> dict[str, Any]:
    """Make a handshake in memory and return the certificate that the client was shown."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    sides = [client, server]
    while sides:
        for side in tuple(sides):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
                sides.remove(side)
    found: Any = client.getpeercert()
    return dict(found)


def asks_for_certificate(error: Exception) -> bool:
    """Return whether a client's request failed because the server asks for a certificate.

    >>> asks_for_certificate(ConnectionResetError())
    False
    """
    # urllib's error may have that of the connection. The first of these is of TLS 1.3, the second of 1.2,
    # where it may mean other things as well.
    told = {getattr(each, "reason", None) for each in (error, getattr(error, "reason", None))}
    return bool(told & {"TLSV13_ALERT_CERTIFICATE_REQUIRED", "SSLV3_ALERT_HANDSHAKE_FAILURE"})


def _said(error: Exception) -> str:
    """Return the words of OpenSSL, without the place in its sources."""
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def _seen(files: TlsFiles) -> tuple[object, ...]:
    """Return what changes when one of the files does."""
    found: list[object] = []
    for path in files.paths():
        try:
            facts = os.stat(path)
            found.append((facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns))
        except OSError as error:
            found.append(error.errno)
    return tuple(found)


def _day(time_s: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time_s))


def _ignore(_kind: str, _why: str) -> None:
    pass


class _Connection(ssl.SSLObject):
    """One connection's TLS. Event loops drop what is left to be sent when a handshake fails.

    So the failure is raised at their next call: until then they send the alert, and the client, which has got
    it, closes the connection.
    """

    outgoing: ssl.MemoryBIO
    refused: Callable[[str, str], None] = staticmethod(_ignore)
    _failure: ssl.SSLError | None = None

    def do_handshake(self) -> None:
        """Go on with the handshake. Raises SSLWantReadError while there is something to send or to get."""
        if self._failure is not None:
            raise self._failure
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as error:
            self._failure = error
            if error.reason in ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST"):
                self.outgoing.read()
                self.outgoing.write(PLAIN_ANSWER)
                why = "a client speaks plain HTTP to this port, which speaks TLS: its URL must begin with https://"
                self.refused("400 plain HTTP", why)
            else:
                self.refused("TLS handshake", _reason(error))
            raise ssl.SSLWantReadError() from None


_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "a client has no certificate, which this server requires",
    "TLSV1_ALERT_UNKNOWN_CA": "a client does not trust the authority of this server's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "a client refuses this server's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "a client refuses this server's certificate, which has expired",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "a client refuses this server's certificate",
    "UNSUPPORTED_PROTOCOL": "a client speaks no TLS of version 1.2 or later",
    "WRONG_VERSION_NUMBER": "a client speaks no TLS",
    "UNEXPECTED_MESSAGE": "a client speaks no TLS",
    "NO_SHARED_CIPHER": "a client offers no cipher that this server has",
}


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of a client is refused: {error.verify_message}"
    return _REASONS.get(error.reason or "", f"with a client: {_said(error)}")
