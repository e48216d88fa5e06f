"""The application: from the head of a request to its exchange. No I/O: ``asgi`` and ``wsgi`` adapt it.

What the head alone shows to be wrong (host, origin, route, method, size) is refused before any byte of the
body is read.
"""

from __future__ import annotations

from collections.abc import Iterable

from yamcs_archive import arguments
from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, shown
from yamcs_archive.http.admission import Admission
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.errors import HttpError, forbidden
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.hosts import Hosts
from yamcs_archive.http.limits import POLLS_MAX
from yamcs_archive.http.refusal_log import RefusalLog
from yamcs_archive.http.request import Services
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.http.routes import PATHS, WEBSOCKET, allowed_methods, route_of


class Application:
    """Answers requests from an open archive. Safe to use from many threads.

    ``polls_max`` is the number of answers that may wait for something to be stored; if each of them holds a
    thread, it must be less than the number of threads. Web pages of ``cors_origins`` may use it.
    ``allowed_hosts`` are the names of this server in addition to those of this machine. ``live``: the adapter
    carries WebSockets. ``operations``: routes of operation may be used; without it each is a 403, because
    there is no login yet. Raises InvalidInputError for a bad origin or host.
    """

    def __init__(
        self,
        archive: Archive,
        polls_max: int = POLLS_MAX,
        *,
        cors_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
        live: bool = False,
        operations: bool = False,
    ) -> None:
        listed = tuple(cors_origins)
        self._hosts = Hosts(allowed_hosts, origins=listed)
        self.services = Services(
            archive,
            Origins(listed),
            Admission(polls_max),
            RefusalLog(),
            live,
            arguments.flag("operations", operations),
        )

    def begin(self, head: Head) -> Response | Exchange:
        """Return the exchange that takes the body of a request, or the answer if its head is refused.

        >>> archive = Archive.open(directory)
        >>> Application(archive).begin(Head("GET", "/nosuch")).status
        404
        >>> Application(archive).begin(Head("GET", "/healthz")).run().status
        200
        """
        exchange = Exchange(self.services, head)
        try:
            self._check_host(head)
            if head.method == "OPTIONS":
                preflight = self.services.origins.preflight(head, allowed_methods(head.path))
                if preflight is not None:
                    return exchange.finish(preflight)
            exchange.accept()
        except ArchiveError as error:
            return exchange.refuse(error)
        return exchange

    def refuse(self, head: Head, error: ArchiveError) -> Response:
        """Return the answer to a request that is refused before anything is known of it but its head."""
        return Exchange(self.services, head).refuse(error)

    def _check_host(self, head: Head) -> None:
        if (text := self._hosts.refusal(head.headers)) is not None:
            raise forbidden(text)

    def handshake(self, head: Head) -> Response | Exchange:
        """Return an exchange for a WebSocket's handshake, which can still refuse it, or the refusal.

        >>> archive = Archive.open(directory)
        >>> Application(archive, live=True).handshake(Head("GET", "/nosuch")).status
        404
        """
        exchange = Exchange(self.services, head)
        try:
            self._check_host(head)
            route, _ = route_of(head)
            if route is not PATHS[WEBSOCKET][0]:
                raise HttpError(404, "NotFoundException", f"no WebSocket is served at {shown(head.path)}")
            if (origin := self.services.origins.foreign(head.headers)) is not None:
                raise forbidden(f"origin {shown(origin)}: allow it with --cors-origin")
        except ArchiveError as error:
            return exchange.refuse(error)
        return exchange

    def end_polls(self) -> None:
        """Answer all long polls now, with what there is, and end the log of refusals: serving ends."""
        self.services.refusals.end()
        self.services.admission.polls.end()
