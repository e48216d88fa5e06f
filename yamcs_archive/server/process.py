"""Serve an archive over HTTP from one process, until SIGTERM, SIGINT or SIGHUP.

1. The address and the archive are this process's before it listens, and it listens before it says so.
2. The start-up line is said when a request was answered, not before.
3. It stops in this order: accept no more, answer what was accepted, commit, close the archive, end.
4. Whatever kills the process kills the server with it: there is no other process.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
import urllib.request
from collections.abc import Callable, Sequence

from yamcs_archive.archive import Archive
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.asgi import AsgiApp, create_asgi_app
from yamcs_archive.http.hosts import names_of
from yamcs_archive.http.wsgi import WsgiApp, create_app
from yamcs_archive.mirror.mirrors import Mirrors, check_wanted
from yamcs_archive.options import Options
from yamcs_archive.server.allocator import set_allocator
from yamcs_archive.server.granian_thread import ServerFailedError, ThreadServer
from yamcs_archive.server.listening_socket import bind, listen, url_of
from yamcs_archive.server.settings import Settings

_START_S_MAX = 30.0
_CLOSE_S = 1.0
"""How long a stop waits for WebSockets to take their close; whoever does not read is not waited for."""
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until a signal, then answer what was accepted, and close the archive. In the main thread only.

    ``say`` gets the start-up line. Raises :class:`~yamcs_archive.server.listening_socket.AddressError`,
    :class:`~yamcs_archive.server.granian_thread.ServerFailedError`, and what opening the archive raises
    (LockedError names the process that serves the directory already).
    """
    # Held back in every thread that begins from here on, and taken by one that waits for nothing else. A
    # handler would run in the main thread only when that wakes, and a signal that comes in the moment
    # before it falls asleep does not wake it: under load one stop in a hundred was never noticed.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    try:
        _serve(settings, say)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _serve(settings: Settings, say: Callable[[str], None]) -> None:
    set_allocator()
    with bind(settings.host, settings.port) as listening:
        url = url_of(listening, settings.host)
        if settings.mirror_of is not None:
            check_wanted(settings.data, settings.mirror_of, settings.instances, settings.mirror_login)
        options = Options(map_bytes=settings.map_bytes)
        with Archive.open(settings.data, holder=url, options=options) as archive:
            mirrors = _mirrors(archive, settings)
            names = _open_instances(
                archive, mirrors.begin(settings.instances) if mirrors else settings.instances
            )
            listen(listening)
            app: AsgiApp | WsgiApp
            origins, hosts = settings.cors_origins, (*settings.allowed_hosts, *names_of(settings.host))
            if settings.wsgi:
                app = create_app(archive, cors_origins=origins, allowed_hosts=hosts)
            else:
                app = create_asgi_app(archive, settings.threads, cors_origins=origins, allowed_hosts=hosts)

            def stopping() -> None:
                app.end_polls()  # they would wait on for minutes
                _limit(settings.stop_wait_s, archive)
                if mirrors is not None:
                    mirrors.stop()
                if isinstance(app, AsgiApp):
                    app.end_live(_CLOSE_S)

            server = ThreadServer(listening, app, stopping, threads=settings.threads)
            threading.Thread(target=_stop_at_signal, args=(server,), daemon=True).start()
            line = f"Serving {url} instances: {', '.join(names)} directory: {archive.path.resolve()}"
            opening = _Opening(url, server, say, line)
            opening.start()
            freeze()
            if mirrors is not None:
                mirrors.start()
            server.run()
    if opening.failure is not None:
        raise ServerFailedError(f"no answer at {url}: {opening.failure}")


def _mirrors(archive: Archive, settings: Settings) -> Mirrors | None:
    if settings.mirror_of is None:
        return None
    return Mirrors(archive, settings.mirror_of, _complain, settings.mirror_login)


def _complain(line: str) -> None:
    print(f"yamcs-archive: {line}", file=sys.stderr, flush=True)


def freeze() -> None:
    """Leave what is there, the program itself above all, out of every later look for garbage.

    A full look took 26 to 33 ms, in which nothing is answered, and there was one in some 2,500 requests: with
    64 connections that is the slowest hundredth of them.
    """
    gc.collect()
    gc.freeze()


def _stop_at_signal(server: ThreadServer) -> None:
    signal.sigwait(_STOP_SIGNALS)
    server.stop()


def leave() -> None:
    """End the process at once, after a graceful stop: everything is answered, committed and closed.

    The server's threads may still be on their way out, and one that asks for the interpreter's lock
    while the interpreter is taken down aborts the process. There is nothing left to take down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _open_instances(archive: Archive, wanted: Sequence[str]) -> list[str]:
    """Make those that are wanted and absent, open all, and return the names; damage shows here, not later."""
    for name in wanted:
        archive.instance(name, create=True)
    names = archive.instances()
    if not names:
        raise InvalidInputError("instances", [], f"{archive.path} has no instances yet; name one to make")
    for name in names:
        archive.instance(name)
    return names


class _Opening(threading.Thread):
    """Asks the server for its health once, as a client would, and says the line when it answers."""

    def __init__(self, url: str, server: ThreadServer, say: Callable[[str], None], line: str) -> None:
        super().__init__(name="yamcs-archive-opening", daemon=True)
        self._url, self._server, self._say, self._line = url, server, say, line
        self.failure: Exception | None = None

    def run(self) -> None:
        # Whoever listens on all addresses answers on loopback too.
        url = self._url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")
        direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with direct.open(f"{url}/healthz", timeout=_START_S_MAX):
                self._say(self._line)
        except Exception as error:
            # Of whatever kind: a process that cannot be reached must not stay, holding the lock.
            if not self._server.stopped:  # else it was told to stop before it could answer
                self.failure = error
                self._server.stop()


def _limit(stop_wait_s: int, archive: Archive) -> None:
    """See to it that the process ends in time, with a closed archive, whoever holds a request open."""

    def end() -> None:
        archive.close()
        print(
            f"yamcs-archive: stopped with requests unanswered: they had not ended after {stop_wait_s} s",
            file=sys.stderr,
            flush=True,
        )
        os._exit(0)

    timer = threading.Timer(stop_wait_s, end)
    timer.daemon = True
    timer.start()
