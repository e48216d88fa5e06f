"""An archive behind a URL, asked over today's HTTP API with the standard library alone."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

from yamcs_archive.cli.errors import RemoteError, UsageError
from yamcs_archive.cli.request import LogRequest
from yamcs_archive.event import Event
from yamcs_archive.limits import PAGE_EVENTS_MAX
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.forms import SHOWN_TODAY

_TIMEOUT_S = 60


class RemotePlace:
    """An instance behind a URL."""

    def __init__(self, url: str, instance: str) -> None:
        self._url, self._path = url, f"/api/archive/{urllib.parse.quote(instance, safe='')}/events"

    def create(self, event: Event) -> Mapping[str, Any]:
        """POST the event and return it as it is stored."""
        body: dict[str, Any] = {
            "message": event.message,
            "source": event.source,
            "severity": event.severity.name,
            "type": event.type,
            "time": None if event.generation_time is None else format_rfc3339(event.generation_time),
            "sequenceNumber": event.seq_number,
            "extra": event.extra,
        }
        return _ask(self._url, self._path, body)

    def log(self, wanted: LogRequest) -> Iterator[Mapping[str, Any]]:
        """Yield the events of one page, which is all that can be asked for yet: at most 1,000."""
        if wanted.lines is None or wanted.lines > PAGE_EVENTS_MAX:
            raise UsageError(f"over a URL at most {PAGE_EVENTS_MAX} events can be read: give --lines")
        if wanted.lines == 0:
            return
        query: list[tuple[str, str | int]] = [("limit", wanted.lines), ("order", "desc")]
        if wanted.start is not None:
            query.append(("start", format_rfc3339(wanted.start)))
        if wanted.stop is not None:
            query.append(("stop", format_rfc3339(wanted.stop)))
        if wanted.min_severity is not None:
            query.append(("severity", SHOWN_TODAY[wanted.min_severity].lower()))
        query += [("source", name) for name in wanted.sources or ()]
        page = _ask(self._url, f"{self._path}?{urllib.parse.urlencode(query)}").get("events", [])
        yield from page if wanted.reverse else reversed(page)


def instances_at(url: str) -> list[str]:
    """Return the names of the instances that are served at a URL; :class:`RemoteError` without an answer."""
    return [instance["name"] for instance in _ask(url, "/api/instances").get("instances", [])]


def is_url(text: str) -> bool:
    """Return whether ``text`` can be the URL of a served archive.

    >>> is_url("http://127.0.0.1:8090"), is_url("127.0.0.1:8090"), is_url("file:///etc/passwd")
    (True, False, False)
    """
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)


def _ask(url: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON object that a served archive answers; RemoteError with its words when it refuses."""
    request = urllib.request.Request(  # is_url has seen the scheme
        url.rstrip("/") + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # likewise
            found = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        raise RemoteError(_refusal(url, error)) from None
    except (OSError, http.client.HTTPException) as error:
        raise RemoteError(f"no answer from {url}: {getattr(error, 'reason', None) or error}") from None
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise RemoteError(f"{url} does not answer as an archive; is it one?")
    return found


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    """Return the server's own words, or the status where it has none."""
    try:
        return str(json.loads(error.read())["msg"])
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return f"{url} answered {error.code} {error.reason}"
