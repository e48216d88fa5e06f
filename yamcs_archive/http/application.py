"""The application: from the head of a request to its exchange. No I/O: ``asgi`` and ``wsgi`` adapt it.

What the head alone shows to be wrong (host, origin, route, method, size) is refused before any byte of the
body is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future

from yamcs_archive import arguments
from yamcs_archive.access.callers import Caller, guest
from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, shown
from yamcs_archive.http.access.options import AccessOptions, public_url
from yamcs_archive.http.access.proxies import Proxies
from yamcs_archive.http.admission import Admission
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.errors import HttpError, forbidden
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.hosts import Hosts
from yamcs_archive.http.limits import POLLS_MAX
from yamcs_archive.http.observation import Observation
from yamcs_archive.http.refusal_log import RefusalLog
from yamcs_archive.http.request import Services
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.http.routes import PATHS, WEBSOCKET, allowed_methods, route_of


class Application:
    """Answers requests from an open archive. Safe to use from many threads.

    ``polls_max`` is the number of answers that may wait for something to be stored; if each of them holds a
    thread, it must be less than the number of threads. Web pages of ``cors_origins`` may use it.
    ``allowed_hosts`` are the names of this server in addition to those of this machine. ``live``: the adapter
    carries WebSockets. ``operations``: without users, routes of operation may be used; else each is a 403.
    ``access``: the users, and what proxies say. Raises InvalidInputError for a bad origin, host or users
    file.
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
        access: AccessOptions | None = None,
    ) -> None:
        access = AccessOptions() if access is None else access
        listed, named = tuple(cors_origins), tuple(allowed_hosts)
        own = public_url(access.public_url)
        proxies = Proxies(access.trust_proxy, access.user_header)
        self._hosts = Hosts(
            (*named, *own.hosts),
            origins=listed,
            anything=access.users is not None and not (named or own.hosts),
            addresses=access.users is None and not access.insecure,
            own_names=access.insecure,
        )
        self.prefix = own.prefix
        """Where the server is mounted, as its users see it; without a slash at the end."""
        self.services = Services(
            archive,
            Origins(listed, own=own.origin),
            Admission(polls_max),
            RefusalLog(),
            Observation(),
            live,
            guest(operations=arguments.flag("operations", operations)),
            access.authentication(proxies, holds_threads=not live),
            proxies,
            own,
        )

    def begin(self, head: Head) -> Response | Exchange | Future[Response | Exchange]:
        """Return the exchange that takes the body of a request, or the answer if its head is refused.

        It may take a while to know who sends the request: then this is a future.

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
            route = exchange.find_route()
            if route.is_open or self.services.authentication is None:
                exchange.accept(self.services.guest)
                return exchange
        except ArchiveError as error:
            return exchange.refuse(error)
        return self._identified(exchange, exchange.accept)

    def _identified(
        self, exchange: Exchange, accept: Callable[[Caller | None], None]
    ) -> Response | Exchange | Future[Response | Exchange]:
        """Have the request of a caller accepted, once it is known who that is."""
        authentication = self.services.authentication
        try:
            caller = self.services.guest if authentication is None else authentication.caller(exchange.head)
            if not isinstance(caller, Future):
                accept(caller)
                return exchange
        except ArchiveError as error:
            return exchange.refuse(error)
        begun: Future[Response | Exchange] = Future()

        def end(found: Future[Caller]) -> None:
            try:
                accept(found.result())
            except ArchiveError as error:
                begun.set_result(exchange.refuse(error))
            except BaseException as error:
                begun.set_exception(error)
            else:
                begun.set_result(exchange)

        caller.add_done_callback(end)
        return begun

    def refuse(self, head: Head, error: ArchiveError) -> Response:
        """Return the answer to a request that is refused before anything is known of it but its head."""
        return Exchange(self.services, head).refuse(error)

    def _check_host(self, head: Head) -> None:
        if (text := self._hosts.refusal(head.headers, head.server)) is not None:
            raise forbidden(text)

    def handshake(self, head: Head) -> Response | Exchange | Future[Response | Exchange]:
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
            exchange.find_route()
        except ArchiveError as error:
            return exchange.refuse(error)
        return self._identified(exchange, exchange.accept)

    def end_polls(self) -> None:
        """Answer all long polls now, with what there is, and end the log of refusals: serving ends.

        Passwords are not checked any more.
        """
        if self.services.authentication is not None:
            self.services.authentication.close()
        self.services.refusals.end()
        self.services.admission.polls.end()
