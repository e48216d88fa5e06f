"""Cross-origin rules: pages of the server's own address and of listed origins may use the archive.

1. Without a list no header is added: browsers hide every answer from pages of other origins.
2. A browser only hides the answer: a POST or a WebSocket would still take effect. So both are refused to
   pages of origins that are not listed. Programs other than browsers send no ``Origin``.
3. With a list, every answer depends on the ``Origin`` of its request, and says so to caches in its one
   ``Vary`` header. That includes errors, and answers to pages of other origins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from yamcs_archive.credentials import without_user
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.request_and_response import Head, Response

_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?", re.ASCII)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_REQUEST_HEADERS = "accept, authorization, content-encoding, content-type, idempotency-key"
_METHODS = "DELETE, GET, HEAD, PATCH, POST, PUT"
"""Methods that may be sent to an unknown path, so that a page can read the 404."""
_ANSWER_HEADERS = "allow, content-disposition, continuation-token, retry-after"
"""Headers that listed pages may read, in addition to those that a browser shows to every page."""
_PREFLIGHT_S = "3600"
"""Seconds for which a browser may keep the answer to a preflight; no browser keeps it much longer."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_VARY = (("vary", "Accept, Accept-Encoding"),)
"""The request headers on which every answer depends, errors included: one header for all answers."""
_VARY_BY_ORIGIN = (("vary", "Accept, Accept-Encoding, Origin"),)


class Origins:
    """The allow-list. Raises InvalidInputError for a value that is no origin, and for ``*``.

    >>> origins = Origins(["https://ops.example", "http://localhost:9000"])
    >>> origins.foreign({"origin": "http://localhost:9000"}) is None
    True
    >>> origins.foreign({"origin": "https://elsewhere.example"})
    'https://elsewhere.example'
    """

    def __init__(self, allowed: Iterable[str] = (), *, own: str | None = None) -> None:
        """``own``: the server's own origin, where that is known; a proxy may change the Host header."""
        self._allowed = frozenset(_checked(origin) for origin in allowed)
        self._own = own

    def foreign(self, headers: Mapping[str, str]) -> str | None:
        """Return the origin of the page that sent the request, if it is neither the server's own nor listed.

        An origin is the server's own if its host and port are those of the ``Host`` header. The scheme is not
        compared, because the server does not know it when a proxy ends TLS.
        """
        origin = headers.get("origin")
        if origin is None or self._admitted(headers):
            return None
        if self._own is not None:  # known, so that Host, which a page can have rebound, does not count
            return None if _normal(origin) == self._own else origin
        own = origin.lower().partition("://")[2]
        return None if own and own == headers.get("host", "").lower() else origin

    def refusal(self, head: Head) -> str | None:
        """Return why a request is refused by rule 2; None if it is accepted."""
        if head.method in _SAFE or (origin := self.foreign(head.headers)) is None:
            return None
        return (
            f"origin {origin!r}: pages of other origins may not send this; allow them with --cors-origin,"
            " or let the proxy between keep the Host header"
        )

    def preflight(self, head: Head, methods: str) -> Response | None:
        """Return the answer to an OPTIONS request that is a listed page's preflight, None to any other.

        ``methods`` are those of the path. If it has none, all are allowed: a browser reports any other answer
        to a preflight as a network failure, which looks to a page like a server that is down. The 404 that
        follows says more.
        """
        if "access-control-request-method" not in head.headers or not self._admitted(head.headers):
            return None
        return Response(
            204,
            (
                ("access-control-allow-methods", methods or _METHODS),
                ("access-control-allow-headers", _REQUEST_HEADERS),
                ("access-control-max-age", _PREFLIGHT_S),
            ),
        )

    def headers(self, head: Head) -> tuple[tuple[str, str], ...]:
        """Return the headers that every answer to this request has, in addition to its own."""
        if not self._allowed:
            return _VARY
        if not self._admitted(head.headers):
            return _VARY_BY_ORIGIN
        return (
            *_VARY_BY_ORIGIN,
            ("access-control-allow-origin", head.headers["origin"]),
            # If a page sends credentials (as Grafana's does, for the login at a proxy between), the browser
            # shows it the answer only with this header. The cookie of a login goes to its own page alone.
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", _ANSWER_HEADERS),
        )

    def _admitted(self, headers: Mapping[str, str]) -> bool:
        return bool(self._allowed) and _normal(headers.get("origin", "")) in self._allowed


def _checked(origin: str) -> str:
    if origin == "*":
        raise InvalidInputError(
            "cors_origin",
            origin,
            "would let every page that a user visits read the archive: name them",
        )
    found = _normal(origin)
    if found is None:
        raise InvalidInputError(
            "cors_origin", without_user(origin), "must be SCHEME://HOST or SCHEME://HOST:PORT, no path"
        )
    return found


def _normal(origin: str) -> str | None:
    """Return an origin as browsers write it, in lower case and without the port of its scheme.

    >>> _normal("https://Ops.example:443"), _normal("null")
    ('https://ops.example', None)
    """
    match = _ORIGIN.fullmatch(origin.lower())
    if match is None:
        return None
    scheme, host, port = match.groups()
    return f"{scheme}://{host}" + ("" if port == _DEFAULT_PORTS.get(scheme) else port or "")
