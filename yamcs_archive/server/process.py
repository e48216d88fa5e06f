"""Serve an archive over HTTP from one process, until SIGTERM or SIGINT.

1. One process. granian usually runs its workers as children, and such a child went on answering after
   its parent was killed with SIGKILL. Here the worker is a thread of the started process: whatever kills
   that kills the server, the writer and the lock with it, and a restart succeeds at once.
2. The archive is opened before the port is taken, and closed after the last request was answered.
3. The start-up line is printed when a request was answered, not before.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.server.mt import MTServer

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.http.wsgi import create_app

THREADS_DEFAULT = 64
"""Threads that wait for commits. One commit serves all that wait, so more threads make larger groups;
docs/decisions.md has the measurement."""

_START_S_MAX = 30.0
_PROBE_WAIT_S = 0.02


class AddressError(ArchiveError):
    """The address cannot be listened on; the text says why."""


class _OneProcessServer(MTServer):
    """granian with its worker as a thread of this process, whatever the interpreter's lock is."""

    def _check_gil(self) -> None:
        # granian runs threaded workers on free-threaded interpreters only, because several of them
        # would only take turns under the lock. We run exactly one, for the process it saves.
        pass


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What is served, and where.

    ``port`` 0 takes a free one. ``instances`` are made when absent; none means all that are there.

    >>> Settings(data=Path("ops-data"), instances=["simulator"]).port
    8090
    """

    data: Path
    instances: Sequence[str] = ()
    host: str = "127.0.0.1"
    port: int = 8090
    threads: int = THREADS_DEFAULT


def serve(settings: Settings, say: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then answer what was accepted, and close the archive.

    ``say`` gets the start-up line. Raises :class:`AddressError`, and what opening the archive raises
    (LockedError names the process that serves the directory already).
    """
    port = _free_port(settings.host, settings.port)
    url = f"http://{_in_url(settings.host)}:{port}"
    with Archive.open(settings.data, holder=url) as archive:
        for name in settings.instances:
            archive.instance(name, create=True)
        names = archive.instances()
        if not names:
            raise InvalidInputError("instance", None, "name one to serve: the archive has none yet")
        for name in names:
            archive.instance(name)
        server = _OneProcessServer(
            "yamcs_archive",
            address=settings.host,
            port=port,
            interface=Interfaces.WSGI,
            blocking_threads=settings.threads,
            http1_settings=HTTP1Settings(keep_alive=True, pipeline_flush=True),
            log_enabled=False,
        )
        app = create_app(archive)
        line = f"Serving {url} instances: {', '.join(names)} directory: {archive.path.resolve()}"
        threading.Thread(target=_announce, args=(settings.host, port, line, say), daemon=True).start()
        server.serve(target_loader=lambda: app, wrap_loader=False)


def leave() -> None:
    """End the process at once, after a graceful stop: everything is answered, committed and closed.

    The server's threads may still be on their way out, and one that asks for the interpreter's lock
    while the interpreter is taken down aborts the process. There is nothing left to take down.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _free_port(host: str, port: int) -> int:
    """Return the port to listen on, free at this moment.

    granian lets several processes share a port; two archives behind one address would each get half of
    the events, so a port that anybody listens on is refused here.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            reason = "another process listens there; stop it or choose another --port"
        raise AddressError(f"cannot listen on {_in_url(host)}:{port}: {reason}") from None


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announce(host: str, port: int, line: str, say: Callable[[str], None]) -> None:
    """Say the line once the server answers; if it never does, end the process with an error."""
    own = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104  # compared
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    give_up = time.monotonic() + _START_S_MAX
    while time.monotonic() < give_up:
        try:
            with opener.open(f"http://{_in_url(own)}:{port}/healthz", timeout=5):
                say(line)
                return
        except OSError:
            time.sleep(_PROBE_WAIT_S)
    say(f"the server did not begin to answer at {_in_url(host)}:{port} within {_START_S_MAX:.0f} s")
    os.kill(os.getpid(), signal.SIGTERM)
