"""Sends a request and returns its answer as a value, so that the answers of two servers can be compared.

Only values that differ in every run are made equal here: times of reception, creators of events, continuation
tokens, times of now, and the layout of JSON.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from google.protobuf.json_format import MessageToDict

from benchmarks.contenders.yamcs import INSTANCE, delimited_in
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

_TIMEOUT_S = 5
"""Longest wait for an answer, in seconds."""
_PAGES_MAX = 200
_PROTOBUF = "application/protobuf"
NORMALISED = {
    "receptionTime": "the clock of each server; in CSV the column `Reception Time`",
    "createdBy": "`guest` there, absent here: there is no login",
    "missionTime, times of now": "the clock of each server",
    "continuationToken": "opaque; only whether there is one is compared, and the pages that it leads to",
    "layout of JSON": "line breaks, and escapes such as `\\u003d`: both mean the same",
    "other headers": "compared are `content-type` and `content-disposition`, the latter without its date",
}
"""The values that are not compared, and the reasons."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request, and the rules that may explain a difference, beside the rules for all requests."""

    name: str
    method: str
    path: str
    """The path; one that begins with a colon or ``/events`` comes after ``/api/archive/INSTANCE``."""
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    may: tuple[str, ...] = ()
    message: str | None = None
    """The name of the answer's protobuf message; ``Event`` of a stream is delimited."""
    follow: bool = False
    """Whether the tokens are followed to the end; the answer is then that of all pages."""

    @property
    def target(self) -> str:
        """The request's target."""
        inside = self.path.startswith((":", "/events", "/event-index"))
        return f"/api/archive/{INSTANCE}{self.path}" if inside else self.path


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer; its status is None if none came."""

    status: int | None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: Any = None


def send(case: Case, port: int, began: datetime) -> Answer:
    """Send a request, and return the comparable answer."""
    if not case.follow:
        return _sent(case, port, began)[0]
    pages: list[Answer] = []
    token: str | None = None
    while len(pages) < _PAGES_MAX:
        page = replace(case, path=f"{case.path}&{urlencode({'next': token})}") if token else case
        answer, token = _sent(page, port, began)
        pages.append(answer)
        if not token or answer.status != 200:
            break
    events = [event for page in pages for event in page.content.get("events", [])]
    return Answer(pages[-1].status, pages[-1].headers, {"pages": len(pages), "events": events})


def _sent(case: Case, port: int, began: datetime) -> tuple[Answer, str | None]:
    """Send one request; return its answer, and the token of a page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request(case.method, case.target, case.body or None, dict(case.headers))
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException):
        return Answer(None), None
    finally:
        connection.close()
    media = response.headers.get("content-type")
    headers = {"content-type": media} if media else {}
    disposition = response.headers.get("content-disposition")
    if disposition:
        headers["content-disposition"] = re.sub(r"[0-9]", "0", disposition)
    content = _content(case, media, response.status, body)
    token = content.get("continuationToken") if isinstance(content, dict) else None
    return Answer(response.status, headers, normal(content, began)), token


def _content(case: Case, media: str | None, status: int, body: bytes) -> Any:
    if media == _PROTOBUF:
        return _message(case, status, body)
    text = body.decode("utf-8", "replace")
    if media == "text/csv":
        return {"lines": [_without_reception(line) for line in text.split("\n")]}
    if media == "application/json" and body:
        if case.path.endswith((":streamEvents", ":streamEventIndex")) and status == 200:
            return {"stream": _objects(text)}
        return json.loads(text)
    return text


def _objects(text: str) -> list[Any]:
    """Return the objects of a text in which they follow each other."""
    found, place, decoder = [], 0, json.JSONDecoder()
    while place < len(text):
        value, place = decoder.raw_decode(text, place)
        found.append(value)
    return found


def _message(case: Case, status: int, body: bytes) -> Any:
    if status >= 400:
        error = today.ExceptionMessage.FromString(body)
        error.ClearField("detail")  # the detail of a filter's error is compared in JSON
        return MessageToDict(error)
    assert case.message is not None, f"{case.name}: the message of its answer is not named"
    kind = getattr(today, case.message)
    if case.path.endswith(":streamEvents"):
        return {"stream": [MessageToDict(kind.FromString(part)) for part in delimited_in(body)]}
    return MessageToDict(kind.FromString(body))


def _without_reception(line: str) -> str:
    return re.sub(r"(Z[\t,;])[0-9]{4}-[0-9-]+T[0-9:.]+Z", r"\1now", line)


def normal(value: Any, began: datetime) -> Any:
    """Replace the parts of a value that differ in every run.

    >>> normal({"source": "A", "receptionTime": "2026-01-01T00:00:00Z"}, datetime.now(UTC))
    {'source': 'A', 'receptionTime': 'now'}
    """
    if isinstance(value, list):
        return [normal(part, began) for part in value]
    if not isinstance(value, dict):
        return value
    made: dict[str, Callable[[Any], Any]] = {
        "receptionTime": lambda _: "now",
        "missionTime": lambda _: "now",
        "continuationToken": lambda _: "token",
        "generationTime": lambda found: _now(found, began),
    }
    return {
        name: made.get(name, lambda found: normal(found, began))(found)
        for name, found in value.items()
        if name != "createdBy"
    }


def _now(time: Any, began: datetime) -> Any:
    """Return ``now`` for a time within this run."""
    if not isinstance(time, str):
        return time
    moment = datetime.fromisoformat(time)
    return (
        "now" if began - timedelta(seconds=1) <= moment <= datetime.now(UTC) + timedelta(minutes=1) else time
    )
