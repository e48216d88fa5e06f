"""The changes of a served archive, read page by page in the form that loses nothing.

1. One connection, kept alive; one request at a time. Another thread may end what is under way.
2. What may pass by itself (no answer, a server that starts or stops, too many polls) is told from what a
   human must decide (a cursor that is refused, an instance that is not there).
3. An answer is bounded before it is read, in bytes, and before it is decoded, in events: no server can fill
   this process's memory.
"""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from yamcs_archive.credentials import Login, advice, check_url
from yamcs_archive.errors import ArchiveError, InvalidInputError, UnavailableError
from yamcs_archive.wire.commits import Page, decode_page

_CONNECT_S = 10
_TIMEOUT_S = 60
"""How long an answer may take, beside the time that it was asked to wait."""
_ANSWER_BYTES_MAX = 64 << 20
"""Several times what an archive sends at most: 4 MiB of text and the commit that exceeds it."""
_SERVER_FAULT = 500
_MSGPACK, _JSON = "application/msgpack", "application/json"


class FeedUnavailableError(UnavailableError):
    """The served archive did not answer, or cannot for the moment; asking again later may help."""


class FeedRefusedError(ArchiveError):
    """The served archive refused: ``status`` and ``kind`` say why, in the words of its API.

    ``detail`` has what else its API says about it.
    """

    def __init__(
        self, url: str, status: int, kind: str, text: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{url} answered {status} {kind}: {text}")
        self.url, self.status, self.kind, self.text = url, status, kind, text
        self.detail = detail or {}


class Feed:
    """What is stored in one instance of a served archive, in arrival order.

    >>> feed = Feed("http://127.0.0.1:9", "simulator")
    >>> feed.page(None)
    Traceback (most recent call last):
      ...
    yamcs_archive.mirror.feed.FeedUnavailableError: no answer from http://127.0.0.1:9: ...
    """

    def __init__(self, url: str, instance: str, login: Login | None = None) -> None:
        self.url = check_url(url).rstrip("/")
        self._instance, self._login = instance, login
        self._connection: http.client.HTTPConnection | None = None
        self._ended = False

    def page(self, after: str | None, *, wait_s: float = 0) -> Page:
        """Return commits behind a cursor; with ``wait_s`` wait so long for one, at most, where there is none.

        Raises :class:`FeedUnavailableError` and :class:`FeedRefusedError`.
        """
        query = {"wait": wait_s} if after is None else {"after": after, "wait": wait_s}
        path = f"/api/archive/{quote(self._instance, safe='')}/events:changes?{urlencode(query)}"
        body = self._ask(path, _MSGPACK, wait_s)
        try:
            return decode_page(body)
        except InvalidInputError as error:
            raise self._strange(str(error)) from None

    def instances(self) -> list[str]:
        """Return the names of the instances that are served. Raises as :meth:`page` does."""
        try:
            found = json.loads(self._ask("/api/instances", _JSON, 0))
            return [str(instance["name"]) for instance in found.get("instances", [])]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise self._strange(repr(error)) from None

    def end(self) -> None:
        """End what is under way on another thread, and refuse what follows; idempotent."""
        self._ended = True
        connection = self._connection
        if connection is not None and (sock := connection.sock) is not None:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection; the next request makes a new one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _ask(self, path: str, accept: str, wait_s: float) -> bytes:
        try:
            answer, body = self._exchange(path, accept, wait_s)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise FeedUnavailableError(f"no answer from {self.url}: {error!r}") from None
        if answer.status == http.HTTPStatus.OK:
            if answer.headers.get_content_type() != accept:
                raise self._strange(f"it has {answer.headers.get_content_type()}, not {accept}")
            return body
        refusal = _refusal(body)
        if answer.status == http.HTTPStatus.NOT_FOUND and refusal is None:
            # As a Yamcs server answers for a path that it does not know.
            raise FeedRefusedError(
                self.url,
                answer.status,
                answer.reason,
                f"it does not serve {path.partition('?')[0]}; is it an archive of this project? (what reads a"
                " Yamcs server is: events import yamcs)",
            )
        kind, text, detail = refusal or (answer.reason, body[:200].decode(errors="replace").strip(), {})
        # Redirects are not followed, so that a password goes nowhere else.
        text += advice(answer.status, self._login, text if refusal else "")
        if answer.status >= _SERVER_FAULT:
            raise FeedUnavailableError(f"{self.url} answered {answer.status} {kind}: {text}")
        raise FeedRefusedError(self.url, answer.status, kind, text, detail)

    def _exchange(self, path: str, accept: str, wait_s: float) -> tuple[http.client.HTTPResponse, bytes]:
        parts = urlsplit(self.url)
        fresh = self._connection is None
        connection = self._connection = self._connection or _connect(self.url)
        try:
            if fresh:
                connection.connect()
            if self._ended:  # looked at once there is a connection, which end() would have ended
                self.close()
                raise ConnectionAbortedError("it was ended")
            connection.sock.settimeout(_TIMEOUT_S + wait_s)
            headers = {} if self._login is None else {"authorization": self._login.header}
            connection.request("GET", parts.path + path, headers=headers | {"accept": accept})
            answer = connection.getresponse()
        except (ConnectionError, http.client.RemoteDisconnected):
            self.close()
            if fresh or self._ended:
                raise
            return self._exchange(path, accept, wait_s)  # a connection that was kept may end at any time
        if (
            answer.length is None and not answer.chunked
        ):  # its head was cut off: an archive says how long it is
            raise http.client.IncompleteRead(b"")
        body = answer.read(_ANSWER_BYTES_MAX + 1)
        if len(body) > _ANSWER_BYTES_MAX:
            self.close()
            raise self._strange(f"it is longer than {_ANSWER_BYTES_MAX} bytes")
        if answer.length:  # a read that is told how much to take does not say that it got less
            raise http.client.IncompleteRead(body, answer.length)
        if answer.will_close:
            self.close()
        return answer, body

    def _strange(self, reason: str) -> FeedRefusedError:
        return FeedRefusedError(
            self.url, 200, "StrangeAnswer", f"{reason}; is it an archive of this project?"
        )


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=_CONNECT_S)


def _refusal(body: bytes) -> tuple[str, str, Mapping[str, Any]] | None:
    """Return an error's type, text and detail, as the API has them; None for an answer without them."""
    try:
        found: Any = json.loads(body)
        detail = found.get("detail")
        return str(found["type"]), str(found["msg"]), detail if isinstance(detail, dict) else {}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
