"""uvicorn, on our own socket, until it is told to stop. Only this package imports uvicorn.

Its event loop runs in the thread that calls :meth:`HttpServer.run`, not in a process of its own: the end of
the process, for any reason, ends the server, the writer and the locks with it.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.asgi import AsgiApp
from yamcs_archive.http.client_limits import ClientLimits
from yamcs_archive.http.limits import (
    CONNECTIONS_MAX,
    IDLE_S_MAX,
    WEBSOCKET_MESSAGE_BYTES_MAX,
    WEBSOCKET_PING_S,
)
from yamcs_archive.http.wsgi import WsgiApp
from yamcs_archive.server.access_log import AccessLog
from yamcs_archive.server.client_gate import ClientGate
from yamcs_archive.server.connection_limits import BoundedHttp, BoundedWebSocket
from yamcs_archive.server.connections import Connections
from yamcs_archive.server.listening_socket import BACKLOG_CONNECTIONS
from yamcs_archive.server.tls import TlsContext
from yamcs_archive.server.tls_acceptor import TlsAcceptor
from yamcs_archive.server.wsgi_bridge import WsgiBridge

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class ServerFailedError(ArchiveError):
    """The server ended without a request to stop."""


def _ignore(_kind: str, _why: str) -> None:
    pass


def _nothing() -> None:
    pass


class HttpServer:
    """Serves an application, ASGI or WSGI, on a listening socket, which it takes over, until :meth:`stop`.

    ``threads`` is the number of requests that a WSGI application handles at once; an ASGI application has
    threads of its own. ``stopping`` is called when the server is told to stop, on the thread that tells it,
    before the server accepts no more connections and waits for the requests under way. ``refused`` is called
    with the kind and the reason of each connection that is refused. With ``tls`` it speaks TLS only. Of more
    than ``connections_max`` connections those end that have waited longest for a request. ``client_limits``
    are those of the requests of one client, for the applications of this package. With ``access_log``, each
    request is logged when it has ended. ``alive`` is called by the event loop every ``alive_every_s``
    seconds, unless that is None: if the loop is held up, the calls stop.
    """

    def __init__(
        self,
        listening: socket.socket,
        app: AsgiApp | WSGIApplication,
        stopping: Callable[[], None],
        *,
        threads: int = 1,
        refused: Callable[[str, str], None] = _ignore,
        tls: TlsContext | None = None,
        connections_max: int = CONNECTIONS_MAX,
        client_limits: ClientLimits | None = None,
        access_log: bool = False,
        alive: Callable[[], None] = _nothing,
        alive_every_s: float | None = None,
    ) -> None:
        async def call_alive() -> None:
            alive()

        is_asgi = isinstance(app, AsgiApp)
        served: Any = app if isinstance(app, AsgiApp) else WsgiBridge(app, threads)
        if client_limits is not None and isinstance(app, AsgiApp | WsgiApp):
            served = ClientGate(served, client_limits, app.core)
        if access_log:
            served = AccessLog(served)
        if tls is not None:
            tls.refused = refused
        self._server = _Server(
            tls,
            uvicorn.Config(
                served,
                # uvicorn calls it, and does no more
                http=cast(Any, partial(BoundedHttp, all_connections=Connections(connections_max, refused))),
                ws=BoundedWebSocket if is_asgi else "none",
                ws_max_size=WEBSOCKET_MESSAGE_BYTES_MAX,
                ws_per_message_deflate=False,
                ws_ping_interval=WEBSOCKET_PING_S,
                ws_ping_timeout=None,  # a script may read nothing for a while
                lifespan="on" if is_asgi else "off",
                backlog=BACKLOG_CONNECTIONS,
                timeout_keep_alive=IDLE_S_MAX,
                callback_notify=None if alive_every_s is None else call_alive,
                timeout_notify=cast(int, alive_every_s),  # which is only compared
                proxy_headers=False,
                server_header=False,
                access_log=False,
                log_config=None,
                log_level="critical",  # the application logs its own errors, and what a client sends is none
            ),
        )
        self._listening = listening
        self._stopping = stopping
        self._guard = threading.Lock()
        self._stopped = False

    def run(self) -> None:
        """Serve until :meth:`stop`, and return when every accepted request was answered.

        Raises :class:`ServerFailedError`.
        """
        with suppress(SystemExit):  # uvicorn's, when the application does not start
            self._server.run(sockets=[self._listening])
        if not self._stopped:
            raise ServerFailedError("the server ended unexpectedly; acknowledged events are stored")

    def stop(self) -> None:
        """Make :meth:`run` return; from any thread, at any time, more than once."""
        with self._guard:
            if not self._stopped:
                self._stopped = True
                try:
                    self._stopping()
                finally:  # if it raises, the process must still end
                    self._server.should_exit = True

    @property
    def stopped(self) -> bool:
        """True once it was told to stop."""
        return self._stopped


class _Server(uvicorn.Server):
    """uvicorn's server, which listens on one socket; with TLS, handshakes are limited."""

    def __init__(self, tls: TlsContext | None, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        if self._tls is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            sys.exit(STARTUP_FAILURE)
        make: Any = self.config.http_protocol_class
        make = partial(
            make,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        self.servers = [cast(Any, TlsAcceptor(listening, make, self._tls)) for listening in sockets or ()]
        self.started = True
