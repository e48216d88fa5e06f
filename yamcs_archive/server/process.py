"""Serve an archive over HTTP from one process, until SIGTERM or SIGINT, or until its terminal hangs up.

1. The process owns the address and the archive before it listens, and listens before it says so.
2. It prints the start-up line only after it has answered a request.
3. It stops in this order: accept no more requests, answer the accepted ones, commit, close the archive, end.
4. The server ends with the process, for any reason: there is no other process.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import ssl
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

from yamcs_archive.archive import Archive
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.asgi import AsgiApp, create_asgi_app
from yamcs_archive.http.client_limits import ClientLimits
from yamcs_archive.http.hosts import names_of
from yamcs_archive.http.wsgi import WsgiApp, create_app
from yamcs_archive.mirror.mirrors import Mirrors, check_wanted
from yamcs_archive.options import Options
from yamcs_archive.server.allocator import set_allocator
from yamcs_archive.server.connections import raise_descriptor_limit
from yamcs_archive.server.listening_socket import bind, is_loopback, listen, passed, url_of
from yamcs_archive.server.logs import Logs, logs
from yamcs_archive.server.reloading import Reloading, hangup_stops
from yamcs_archive.server.service_manager import ServiceManager
from yamcs_archive.server.settings import Settings
from yamcs_archive.server.tls import TlsContext, TlsFiles, asks_for_certificate
from yamcs_archive.server.uvicorn_server import HttpServer, ServerFailedError

_log = logging.getLogger(__name__)

_START_S_MAX = 30.0
_CLOSE_S = 1.0
"""Longest time that a stop waits for clients to accept the close of their WebSockets, in seconds."""
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def serve(
    settings: Settings, say: Callable[[str], None], reread: Callable[[], Settings] | None = None
) -> None:
    """Serve until a signal, then answer the accepted requests and close the archive. In the main thread only.

    ``say`` gets the start-up line; ``reread`` returns the settings as they are now, or raises ArchiveError
    (None: they stay). Raises :class:`~yamcs_archive.server.listening_socket.AddressError`,
    :class:`~yamcs_archive.server.uvicorn_server.ServerFailedError`, and the errors of opening the archive
    (LockedError names the process that already serves the directory), and OSError if the log file cannot be
    opened. SIGUSR1 opens the log file again. SIGHUP reloads, or stops if it is a terminal that hangs up.
    """
    # Blocked in every thread that starts from here on; one thread does nothing but wait for these signals. A
    # handler would run only when the main thread wakes, and a signal just before that thread falls asleep
    # does not wake it: under load one stop in a hundred was never noticed.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        with logs(settings) as log:
            _serve(settings, say, log, reread or (lambda: settings))
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _serve(settings: Settings, say: Callable[[str], None], log: Logs, reread: Callable[[], Settings]) -> None:
    set_allocator()
    tls = _tls(settings)
    manager = ServiceManager(os.environ)
    inherited = passed(os.environ)
    with inherited or bind(settings.host, settings.port) as listening:
        _check_reach(listening, settings)
        host = listening.getsockname()[0] if inherited else settings.host
        url = url_of(listening, host, tls=tls is not None)
        if settings.mirror_of is not None:
            check_wanted(settings.data, settings.mirror_of, settings.instances, settings.mirror_login)
        options = Options(
            map_bytes=settings.map_bytes,
            keep_days=settings.keep_days,
            max_bytes=settings.max_bytes,
            max_events=settings.max_events,
            retention_of=settings.retention_of,
        )
        with Archive.open(settings.data, holder=url, options=options) as archive:
            mirrors = _mirrors(archive, settings)
            names = _open_instances(
                archive, mirrors.begin(settings.instances) if mirrors else settings.instances
            )
            _warn_of_absent(settings, names)
            listen(listening)
            app: AsgiApp | WsgiApp
            origins, hosts = settings.cors_origins, tuple(settings.allowed_hosts)
            if hosts or settings.users is None:
                hosts = (*hosts, *names_of(settings.host))
            access = AccessOptions(
                users=settings.users,
                insecure=not is_loopback(listening) and settings.users is None,
                trust_proxy=settings.trust_proxy,
                user_header=settings.user_header,
                public_url=settings.public_url,
            )
            if settings.wsgi:
                app = create_app(
                    archive,
                    cors_origins=origins,
                    allowed_hosts=hosts,
                    operations=settings.allow_operations,
                    access=access,
                )
            else:
                app = create_asgi_app(
                    archive,
                    settings.threads,
                    cors_origins=origins,
                    allowed_hosts=hosts,
                    operations=settings.allow_operations,
                    access=access,
                )

            if mirrors is not None:
                app.core.services.observation.mirrors = mirrors.lags

            def stopping() -> None:
                manager.stopping(settings.stop_wait_s)
                app.end_polls()  # they would wait for minutes
                _limit(settings.stop_wait_s, archive, log)
                if mirrors is not None:
                    mirrors.stop()
                if isinstance(app, AsgiApp):
                    app.end_live(_CLOSE_S)

            server = HttpServer(
                listening,
                app,
                stopping,
                threads=settings.threads,
                refused=app.core.services.refusals.note,
                tls=tls,
                connections_max=_connections_max(settings),
                client_limits=_client_limits(settings),
                access_log=settings.access_log,
                alive=manager.alive,
                alive_every_s=manager.alive_every_s,
            )
            users = app.core.services.authentication
            parts: dict[str, Callable[[], object]] = {} if users is None else {"users": users.reload}
            if tls is not None:
                parts["certificates"] = tls.reload
            reloading = Reloading(settings, reread, log.set_level, manager, parts)
            threading.Thread(target=_heed_signals, args=(server, log, reloading), daemon=True).start()
            line = f"Serving {url} instances: {', '.join(names)} directory: {archive.path.resolve()}"
            _log.log(log.start_level, "%s", line)

            def opened(line: str) -> None:
                say(line)
                manager.ready(url, names)

            opening = _Opening(url, server, opened, line, nullcontext() if tls is None else tls.quiet())
            opening.start()
            freeze()
            if tls is not None:
                tls.watch()
            if mirrors is not None:
                mirrors.start()
            server.run()
    if opening.failure is not None:
        raise ServerFailedError(f"no answer at {url}: {opening.failure}")


def _check_reach(listening: socket.socket, settings: Settings) -> None:
    """Raise InvalidInputError if others could use the server and nobody has said that they may."""
    if is_loopback(listening) or settings.users is not None or settings.insecure:
        return
    rule = (
        "can be reached from other machines, and then everybody could read and write: say who may with"
        " --users FILE (yamcs-archive users add), or --insecure if everybody may; or listen on 127.0.0.1"
    )
    raise InvalidInputError("--host", settings.host, rule)


def _mirrors(archive: Archive, settings: Settings) -> Mirrors | None:
    if settings.mirror_of is None:
        return None
    return Mirrors(archive, settings.mirror_of, settings.mirror_login)


def _tls(settings: Settings) -> TlsContext | None:
    """Return what the server needs for TLS, None without; TlsError if the files cannot be used."""
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None or key is None:
        return None
    return TlsContext(TlsFiles(certificate, key, settings.tls_client_ca))


def _connections_max(settings: Settings) -> int:
    """Return how many connections there may be: as many as are wanted, or as there may be open files."""
    most = raise_descriptor_limit(settings.connections_max)
    if most < settings.connections_max:
        _log.info(
            "at most %d connections instead of %d, because the system lets this process open no more files"
            " (ulimit -Hn, LimitNOFILE= in a systemd unit)",
            most,
            settings.connections_max,
        )
    return most


def _client_limits(settings: Settings) -> ClientLimits | None:
    if settings.client_requests_max is None and settings.client_requests_per_s is None:
        return None
    return ClientLimits(settings.client_requests_max, settings.client_requests_per_s)


def freeze() -> None:
    """Exclude all objects that exist now, the program itself above all, from later garbage collections.

    A full collection took 26 to 33 ms, in which nothing is answered, and came once in some 2,500 requests:
    with 64 connections those were the slowest hundredth of all requests.
    """
    gc.collect()
    gc.freeze()


def _heed_signals(server: HttpServer, log: Logs, reloading: Reloading) -> None:
    stops = hangup_stops()
    while (received := signal.sigwait(_SIGNALS)) in (signal.SIGUSR1, signal.SIGHUP):
        if received == signal.SIGUSR1:
            log.reopen()
        elif stops:
            break
        else:
            reloading.reload()
    _log.log(log.start_level, "stopping, because of %s", signal.Signals(received).name)
    server.stop()


def leave() -> None:
    """End the process at once, after a graceful stop: everything is answered, committed and closed.

    The server's threads may still be ending, and a thread that asks for the interpreter's lock while the
    interpreter shuts down aborts the process. There is nothing left to shut down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _open_instances(archive: Archive, wanted: Sequence[str]) -> list[str]:
    """Make the absent instances of ``wanted``, open all, and return their names; damage shows here."""
    for name in wanted:
        archive.instance(name, create=True)
    names = archive.instances()
    if not names:
        raise InvalidInputError("instances", [], f"{archive.path} has no instances yet; name one to make")
    for name in names:
        archive.instance(name)
    return names


def _warn_of_absent(settings: Settings, names: Sequence[str]) -> None:
    """Warn of rules for instances that are not there: a name may be misspelt, and then all of it is kept.

    It is no error, because an instance may have been deleted or renamed while its server ran.
    """
    for absent in sorted(settings.retention_of.keys() - set(names)):
        _log.warning("[instances.%s]: there is no such instance (there are: %s)", absent, ", ".join(names))


class _Opening(threading.Thread):
    """Asks the server for its health once, as a client would, and prints the line when it answers.

    If clients must have a certificate, which this one has not, it is an answer that the server asks for it.
    """

    def __init__(
        self,
        url: str,
        server: HttpServer,
        say: Callable[[str], None],
        line: str,
        asking: AbstractContextManager[None],
    ) -> None:
        """``asking`` is entered while it asks."""
        super().__init__(name="yamcs-archive-opening", daemon=True)
        self._url, self._server, self._say, self._line = url, server, say, line
        self._asking = asking
        self.failure: Exception | None = None

    def run(self) -> None:
        # A server that listens on all addresses answers on loopback too.
        url = self._url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # its certificate need not be for loopback
        anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
        direct = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=anybody)
        )
        try:
            with self._asking, direct.open(f"{url}/healthz", timeout=_START_S_MAX):
                pass
            self._say(self._line)
        except Exception as error:
            if asks_for_certificate(error):
                self._say(self._line)
                return
            # Any other error at all: a process that cannot be reached must not go on holding the lock.
            if not self._server.stopped:  # else it was told to stop before it could answer
                self.failure = error
                self._server.stop()


def _limit(stop_wait_s: int, archive: Archive, log: Logs) -> None:
    """Make the process end in time, with a closed archive, even if clients hold requests open."""

    def end() -> None:
        archive.close()
        _log.warning("stopped with requests unanswered: they had not ended after %d s", stop_wait_s)
        log.flush()
        os._exit(0)

    timer = threading.Timer(stop_wait_s, end)
    timer.daemon = True
    timer.start()
