"""Questions to a served archive over today's HTTP API, with the standard library alone."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from yamcs_archive.cli.errors import RemoteError
from yamcs_archive.credentials import Login, advice, open_url
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.wire.framing import delimited

_TIMEOUT_S = 60
_READ_BYTES = 64 << 10


def instances_at(url: str, login: Login | None = None) -> list[str]:
    """Return the names of the instances that are served at a URL; :class:`RemoteError` without an answer."""
    found = ask(url, "/api/instances", login=login)
    try:
        return [str(instance["name"]) for instance in found.get("instances", [])]
    except (TypeError, KeyError):
        raise _strange(url) from None


def ask(
    url: str, path: str, body: Mapping[str, Any] | bytes | None = None, login: Login | None = None
) -> dict[str, Any]:
    """Return the JSON object that a served archive answers; RemoteError with its words if it refuses.

    A ``body`` of bytes is sent as it is.
    """
    with _answered(url, path, body, "application/json", login) as answer:
        try:
            found = json.loads(answer.read())
        except ValueError:
            found = None
    if not isinstance(found, dict):
        raise _strange(url)
    return found


def ask_for_messages(
    url: str, path: str, body: Mapping[str, Any], login: Login | None = None
) -> Iterator[bytes]:
    """Yield the protobuf messages that a served archive streams. Raises as :func:`ask` does."""
    with _answered(url, path, body, "application/protobuf", login) as answer:
        try:
            # What came is used, though the rest may not come: read() would throw it away then.
            yield from delimited(iter(lambda: answer.read1(_READ_BYTES), b""))
        except InvalidInputError:
            raise _strange(url) from None


@contextmanager
def _answered(
    url: str, path: str, body: Mapping[str, Any] | bytes | None, accept: str, login: Login | None
) -> Iterator[http.client.HTTPResponse]:
    request = urllib.request.Request(  # the command line has checked the scheme
        url.rstrip("/") + path,
        data=body if body is None or isinstance(body, bytes) else json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": accept},
    )
    try:
        with open_url(request, login, _TIMEOUT_S) as answer:
            yield answer
    except urllib.error.HTTPError as error:
        raise _refusal(url, error, login) from None
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(f"no answer from {url}: {getattr(error, 'reason', None) or error}") from None


def _strange(url: str) -> RemoteError:
    return RemoteError(f"{url} does not answer as an archive; is it one?")


def _refusal(url: str, error: urllib.error.HTTPError, login: Login | None) -> RemoteError:
    """Return the server's own words, or the status if it has none; and what to do, if that is known."""
    words, detail = "", None
    try:
        answer = json.loads(error.read())
        words, detail = str(answer["msg"]), answer.get("detail")
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        pass  # this is not the answer of an archive
    text = (words or f"{url} answered {error.code} {error.reason}") + advice(error.code, login, words)
    return RemoteError(text, detail if isinstance(detail, dict) else {})
