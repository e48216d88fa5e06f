"""Where a command finds its events: an archive's directory, or the URL of a served one.

Both places answer with events as today's JSON form shows them, so that a command prints the same
whichever it was given.
"""

from __future__ import annotations

import argparse
import http.client
import json as standard_json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.instance import Instance
from yamcs_archive.limits import PAGE_EVENTS_MAX
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.forms import SHOWN_TODAY, Form
from yamcs_archive.wire.json import shown

_TIMEOUT_S = 60


class RemoteError(ArchiveError):
    """The served archive refused, or did not answer; the text says which."""


class Place(Protocol):
    """Events of one instance, here or elsewhere."""

    def create(self, event: Event) -> dict[str, Any]:
        """Store an event and return it as stored."""

    def log(
        self,
        *,
        start: int | None,
        stop: int | None,
        sources: list[str] | None,
        severity: Severity | None,
        lines: int | None,
        reverse: bool,
    ) -> Iterator[dict[str, Any]]:
        """Yield the newest ``lines`` events (None: all), oldest first unless ``reverse``."""


class LocalPlace:
    """An instance in a directory."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def create(self, event: Event) -> dict[str, Any]:
        """See :class:`Place`."""
        return shown(self._instance.append(event).event, Form.TODAY)

    def log(
        self,
        *,
        start: int | None,
        stop: int | None,
        sources: list[str] | None,
        severity: Severity | None,
        lines: int | None,
        reverse: bool,
    ) -> Iterator[dict[str, Any]]:
        """See :class:`Place`. Holds one event at a time, however many there are."""
        found = self._instance.events(
            start=start, stop=stop, sources=sources, min_severity=severity, descending=True, limit=lines
        )
        if not reverse:
            oldest = None
            if lines is not None:
                for event in found:
                    oldest = event.key
                if oldest is None:
                    return
                start = oldest.generation_time
            found = self._instance.events(start=start, stop=stop, sources=sources, min_severity=severity)
            if oldest is not None:
                found = (event for event in found if event.key >= oldest)
        for event in found:
            yield shown(event, Form.TODAY)


class RemotePlace:
    """An instance behind a URL."""

    def __init__(self, url: str, instance: str) -> None:
        self._url, self._path = url, f"/api/archive/{urllib.parse.quote(instance, safe='')}/events"

    def create(self, event: Event) -> dict[str, Any]:
        """See :class:`Place`."""
        body: dict[str, Any] = {
            "message": event.message,
            "source": event.source,
            "severity": event.severity.name,
            "type": event.type,
            "sequenceNumber": event.seq_number,
            "extra": event.extra,
        }
        if event.generation_time is not None:
            body["time"] = format_rfc3339(event.generation_time)
        found: dict[str, Any] = ask(self._url, self._path, body=body)
        return found

    def log(
        self,
        *,
        start: int | None,
        stop: int | None,
        sources: list[str] | None,
        severity: Severity | None,
        lines: int | None,
        reverse: bool,
    ) -> Iterator[dict[str, Any]]:
        """See :class:`Place`. One page: at most 1,000 events."""
        if lines is None or lines > PAGE_EVENTS_MAX:
            raise InvalidInputError(
                "--lines",
                "all" if lines is None else lines,
                f"over a URL at most {PAGE_EVENTS_MAX} events can be read",
            )
        if lines == 0:
            return
        query: list[tuple[str, str | int]] = [("limit", lines), ("order", "desc")]
        query += [
            (name, format_rfc3339(time))
            for name, time in (("start", start), ("stop", stop))
            if time is not None
        ]
        query += [("source", name) for name in sources or ()]
        if severity is not None:
            query.append(("severity", SHOWN_TODAY[severity].lower()))
        events = ask(self._url, f"{self._path}?{urllib.parse.urlencode(query)}").get("events", [])
        yield from events if reverse else reversed(events)


def ask(url: str, path: str, *, body: dict[str, Any] | None = None) -> Any:
    """Return the JSON answer of a served archive; RemoteError with its own words when it refuses."""
    request = urllib.request.Request(  # the scheme was checked in add_place_options
        url.rstrip("/") + path,
        data=None if body is None else standard_json.dumps(body).encode(),
        headers={"content-type": "application/json", "accept": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # likewise
            return standard_json.loads(answer.read())
    except urllib.error.HTTPError as error:
        try:
            told = standard_json.loads(error.read())["msg"]
        except (ValueError, KeyError, TypeError):
            told = f"{url} answered {error.code} {error.reason}"
        raise RemoteError(str(told)) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise RemoteError(f"no answer from {url}: {reason}") from None


def _url(text: str) -> str:
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise argparse.ArgumentTypeError(f"{text!r} is not a URL; give one as http://127.0.0.1:8090")
    return text


def add_place_options(parser: argparse.ArgumentParser, *, instance: bool = True) -> None:
    """Add ``--data``, ``--url`` and ``--instance``, with their environment names as defaults."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--data", metavar="DIR", type=Path, help="an archive's directory (or YAMCS_ARCHIVE_DATA)"
    )
    place.add_argument(
        "--url", type=_url, help="a served archive, as http://127.0.0.1:8090 (or YAMCS_ARCHIVE_URL)"
    )
    if instance:
        parser.add_argument(
            "--instance",
            metavar="NAME",
            default=os.environ.get("YAMCS_ARCHIVE_INSTANCE"),
            help="the instance (or YAMCS_ARCHIVE_INSTANCE); may be left out where there is only one",
        )


def chosen_place(options: argparse.Namespace) -> tuple[Path | None, str | None]:
    """Return the directory or the URL that was given, on the command line or in the environment."""
    if options.data is None and options.url is None:
        data, url = os.environ.get("YAMCS_ARCHIVE_DATA"), os.environ.get("YAMCS_ARCHIVE_URL")
        if data:
            return Path(data), None
        if url:
            return None, _url(url)
        raise InvalidInputError("place", None, "give --data DIR or --url URL")
    return options.data, options.url


@contextmanager
def place(options: argparse.Namespace, *, readonly: bool) -> Iterator[Place]:
    """Open the place that the options name."""
    data, url = chosen_place(options)
    if data is not None:
        with Archive.open(data, readonly=readonly) as archive:
            yield LocalPlace(archive.existing(_one_of(options.instance, archive.instances())))
    elif url is not None:
        listed = (
            [] if options.instance else [found["name"] for found in ask(url, "/api/instances")["instances"]]
        )
        yield RemotePlace(url, _one_of(options.instance, listed))


def _one_of(name: str | None, names: list[str]) -> str:
    if name:
        return name
    if len(names) != 1:
        raise InvalidInputError(
            "--instance", None, f"name one of: {', '.join(names) or '(there are none yet)'}"
        )
    return names[0]
