"""Which events a request asks for: one value from a query string, a JSON object or a protobuf message.

1. What is not understood is refused by name and value; an empty parameter of a query string is none at all,
   as for a Yamcs server, and unknown ones of a query string are passed over, as there.
2. Deviations from such a server, each towards a right answer: an unknown severity, a bad order, a limit of
   0 or less and a bad token are refused (docs/compatibility.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from google.protobuf.message import DecodeError, Message

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, EventKey, Severity
from yamcs_archive.instance import Instance
from yamcs_archive.limits import PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire.forms import Form
from yamcs_archive.wire.json import decode_object
from yamcs_archive.wire.patterns import Pattern
from yamcs_archive.wire.protobuf import from_timestamp
from yamcs_archive.wire.tokens import decode_token
from yamcs_archive.wire.values import as_int32, as_integer, as_text

_PARAMETERS_MAX = 1000
_POS_MAX = 2**63 - 1


class Selection(NamedTuple):
    """What is asked for. Times are int microseconds since 1970."""

    start: int | None = None
    stop: int | None = None
    sources: frozenset[str] | None = None
    min_severity: Severity | None = None
    pattern: Pattern | None = None
    """Of ``q``: what the message must contain."""
    filter: str | None = None
    descending: bool = False
    limit: int = PAGE_EVENTS_DEFAULT
    pos: int = 0
    """Events that are passed over, before the first one of the page."""
    token: str | None = None
    form: Form = Form.TODAY

    def events(self, instance: Instance, *, page: bool = False) -> Iterator[Event]:
        """Return the events asked for: all of them, or those of the page and one more if there is one.

        Raises InvalidInputError for a bad token or filter, at once.
        """
        after: EventKey | None = None
        if page and self.token is not None:
            after = decode_token(self.token, instance.name)
        plain = None if self.pattern is None else self.pattern.plain
        found = instance.events(
            start=self.start,
            stop=self.stop,
            sources=self.sources,
            min_severity=self.min_severity,
            text=plain,
            filter=self.filter,
            descending=page and self.descending,
            limit=None if self._looks_closer or not page else self.pos + self.limit + 1,
            after_key=after,
        )
        if self._looks_closer:
            matches = self.pattern.matches  # type: ignore[union-attr]  # or there was nothing to look at
            found = (event for event in found if matches(event.message))
        return islice(found, self.pos, self.pos + self.limit + 1) if page else found

    @property
    def _looks_closer(self) -> bool:
        return self.pattern is not None and self.pattern.plain is None


def of_query(query: str) -> Selection:
    """Return what a query string asks for; of repeated parameters the last counts, but each ``source``.

    >>> of_query("source=A,B&source=C&limit=5&order=asc").limit
    5
    """
    values = parameters(query)
    last = {name: found[-1] for name, found in values.items() if name in PARAMETERS and found[-1] != ""}
    sources = [name for found in values.get("source", []) for name in found.split(",") if name]
    selection = _selection({**last, "source": sources}, parse_rfc3339)
    return selection._replace(form=form_of(last.get("form")))


def parameters(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query string; InvalidInputError for what is none."""
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict", max_num_fields=_PARAMETERS_MAX)
    except ValueError as error:
        raise InvalidInputError("query", query, f"cannot be read: {error}") from None


def of_object(body: bytes) -> Selection:
    """Return what a JSON object asks for; an empty body asks for everything.

    >>> of_object(b'{"source": ["A"], "severity": "watch"}').sources
    frozenset({'A'})
    """
    if not body.strip():
        return Selection()
    found = decode_object(body)
    for name in found:
        if name not in FIELDS:
            raise InvalidInputError(name, found[name], f"is not one of {', '.join(FIELDS)}")
    given = {name: value for name, value in found.items() if value is not None}
    sources = given.pop("source", [])
    if not isinstance(sources, list):
        raise InvalidInputError("source", sources, "must be an array of names")
    given["source"] = [as_text(source, "source") for source in sources]
    return _selection(given, lambda value, name: parse_rfc3339(as_text(value, name), name))


def of_message(message: Message, body: bytes) -> Selection:
    """Return what a protobuf message asks for (``ListEventsRequest`` or ``StreamEventsRequest``)."""
    try:
        message.ParseFromString(body)
        given: dict[str, Any] = {field.name: value for field, value in message.ListFields()}
        given["source"] = [str(source) for source in given.get("source", [])]
    except (DecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError("body", body[:20].hex(), f"cannot be parsed: {error}") from None
    return _selection(given, from_timestamp)


FIELDS = ("instance", "pos", "limit", "order", "severity", "source", "next", "start", "stop", "q", "filter")
"""What a JSON object may hold. No other is read, and none but these is described."""

PARAMETERS = frozenset(FIELDS) - {"instance"} | {"form"}
"""What is read of a query string."""


def _selection(given: Mapping[str, Any], time: Any) -> Selection:
    """Return what fields that are given ask for; ``time`` reads a time and is told its name."""
    texts = {
        name: as_text(given[name], name)
        for name in ("order", "severity", "next", "q", "filter")
        if name in given
    }
    limit = as_int32(given["limit"], "limit") if "limit" in given else PAGE_EVENTS_DEFAULT
    if not 1 <= limit <= PAGE_EVENTS_MAX:
        raise InvalidInputError("limit", limit, f"must be 1 to {PAGE_EVENTS_MAX}")
    pos = as_integer(given["pos"], "pos") if "pos" in given else 0
    if not 0 <= pos <= _POS_MAX:
        raise InvalidInputError("pos", pos, "must be 0 or more")
    if texts.get("order", "") not in ("", "asc", "desc"):
        raise InvalidInputError("order", texts["order"], "must be asc or desc")
    return Selection(
        start=time(given["start"], "start") if "start" in given else None,
        stop=time(given["stop"], "stop") if "stop" in given else None,
        sources=frozenset(given["source"]) or None,
        min_severity=Severity.parse(texts["severity"]) if texts.get("severity") else None,
        pattern=Pattern.of(texts["q"]) if texts.get("q") else None,
        filter=texts.get("filter") or None,
        descending=texts.get("order") != "asc",
        limit=limit,
        pos=pos,
        token=texts.get("next") or None,
    )


def form_of(text: str | None) -> Form:
    """Return the form of that name, today's for none; InvalidInputError for another.

    >>> form_of(None), form_of("2016")
    (<Form.TODAY: 'today'>, <Form.V2016: '2016'>)
    """
    if text is None:
        return Form.TODAY
    if text not in {form.value for form in Form}:
        raise InvalidInputError("form", text, f"must be one of {', '.join(form.value for form in Form)}")
    return Form(text)
