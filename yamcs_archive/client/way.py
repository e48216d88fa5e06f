"""The way to a server: straight, or through the proxy that the environment names for its URL."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
from collections.abc import Callable
from functools import cached_property, partial
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from yamcs_archive.client.tls import environment_ssl_context
from yamcs_archive.credentials import without_user
from yamcs_archive.errors import InvalidInputError

CONNECT_S = 10.0
"""Seconds that connecting may take."""


class Way:
    """Makes connections to the server of a URL; ``ssl_context`` None: as the environment says."""

    def __init__(self, url: str, ssl_context: ssl.SSLContext | None = None) -> None:
        self._parts = urlsplit(url)
        self._given_ssl_context = ssl_context
        self._secure = self._parts.scheme == "https"

    @property
    def words(self) -> str:
        """The words about the proxy that follow the URL in a text; "" without a proxy."""
        return "" if self.proxy is None else f" through the proxy {without_user(self.proxy.geturl())}"

    @property
    def proxy_headers(self) -> dict[str, str]:
        """The headers that the proxy needs, for its user."""
        proxy = self.proxy
        if proxy is None or proxy.username is None:
            return {}
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        return {"proxy-authorization": "Basic " + base64.b64encode(pair.encode()).decode()}

    def connected(self) -> http.client.HTTPConnection:
        """Return a new connection for requests, with TLS if the URL says so; OSError, HTTPException."""
        if not self._secure:
            return self._connected(http.client.HTTPConnection, tunnel=False)
        return self._connected(partial(http.client.HTTPSConnection, context=self.ssl_context), tunnel=True)

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """What was given, else what the environment says, read once: SSL_CERT_FILE and its like."""
        return environment_ssl_context() if self._given_ssl_context is None else self._given_ssl_context

    def socket(self) -> socket.socket:
        """Return a new connection before any TLS, for another protocol than HTTP.

        A proxy is asked for a tunnel. Raises OSError and HTTPException.
        """
        found: socket.socket = self._connected(http.client.HTTPConnection, tunnel=True).sock
        return found

    def _connected(
        self, kind: Callable[..., http.client.HTTPConnection], *, tunnel: bool
    ) -> http.client.HTTPConnection:
        proxy = self.proxy
        at = self._parts if proxy is None else proxy
        connection = kind(at.hostname or "", _port(at, self._secure and proxy is None), timeout=CONNECT_S)
        if tunnel and proxy is not None:
            there = _port(self._parts, self._secure)
            connection.set_tunnel(self._parts.hostname or "", there, self.proxy_headers)
        try:
            connection.connect()
        except TimeoutError:
            raise OSError(f"no connection within {CONNECT_S:g} s") from None
        return connection

    @cached_property
    def proxy(self) -> SplitResult | None:
        """The proxy that the environment names for the URL: http_proxy, https_proxy, no_proxy."""
        proxies = getproxies()
        named = proxies.get(self._parts.scheme) or proxies.get("all")
        if not named or proxy_bypass(self._parts.netloc):
            return None
        parts = urlsplit(named if "://" in named else f"http://{named}")
        if parts.scheme != "http" or not parts.hostname:
            rule = f"is not a proxy that can be used: set {self._parts.scheme}_proxy to http://HOST:PORT"
            raise InvalidInputError("proxy", without_user(named), rule)
        return parts


def _port(parts: SplitResult, secure: bool) -> int:
    return parts.port or (http.client.HTTPS_PORT if secure else http.client.HTTP_PORT)
