"""granian, with its worker as a thread of this process, on our own socket. Only this module imports granian.

By default granian runs its workers as child processes, and a child goes on answering after its parent is
killed with SIGKILL. Its other form, workers as threads, is meant for free-threaded Python, where several of
them run in parallel. A single worker also works under the interpreter's lock; then the end of the process,
for any reason, ends the server, the writer and the locks with it.

An ASGI application gets an event loop of its own, in that thread. The four methods overridden below are not
in granian's public interface, so setup.cfg pins its minor version, and ``tests/server`` checks their effects.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from granian.constants import Interfaces
from granian.net import SocketHolder  # type: ignore[attr-defined]  # not in its stubs
from granian.server.mt import MTServer

from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.asgi import AsgiApp
from yamcs_archive.server.listening_socket import BACKLOG_CONNECTIONS

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class ServerFailedError(ArchiveError):
    """The server's thread ended without a request to stop."""


class ThreadServer(MTServer):
    """Serves an application, ASGI or WSGI, on a listening socket, which it takes over, until :meth:`stop`.

    ``threads`` is the number of requests that a WSGI application handles at once; an ASGI application has
    threads of its own. ``stopping`` is called when the server stops, before it waits for the requests under
    way.
    """

    def __init__(
        self,
        listening: socket.socket,
        app: AsgiApp | WSGIApplication,
        stopping: Callable[[], None],
        threads: int = 1,
    ) -> None:
        asgi = isinstance(app, AsgiApp)
        super().__init__(
            "yamcs_archive",
            interface=Interfaces.ASGI if asgi else Interfaces.WSGI,
            blocking_threads=1 if asgi else threads,
            backlog=BACKLOG_CONNECTIONS,
            websockets=asgi,
            log_enabled=False,
        )
        self._app = app
        self._listening = listening
        self._stopping = stopping

    def run(self) -> None:
        """Serve until :meth:`stop`, and return when every accepted request was answered.

        Raises :class:`ServerFailedError`.
        """
        try:
            self.serve(target_loader=lambda: self._app, wrap_loader=False)
        except SystemExit:
            raise ServerFailedError(
                "the server's thread ended unexpectedly; acknowledged events are stored"
            ) from None

    def stop(self) -> None:
        """Make :meth:`run` return; from any thread, at any time, more than once."""
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    @property
    def stopped(self) -> bool:
        """True once it was told to stop."""
        return self.interrupt_signal

    def startup(self, spawn_target: Any, target_loader: Any) -> None:
        """Begin to serve. granian's own method would also take over the process's signals."""
        self._init_shared_socket()
        self._spawn_workers(spawn_target, target_loader)  # type: ignore[no-untyped-call]

    def _check_gil(self) -> None:
        pass  # one worker works under the lock too: see the head of this file

    def _init_shared_socket(self) -> None:
        # The worker closes the descriptor when it stops, so nothing else may own it.
        make: Any = SocketHolder
        self._shd: Any = make(self._listening.detach(), False, BACKLOG_CONNECTIONS)

    def _drop_shared_socket(self) -> None:
        self._stopping()
