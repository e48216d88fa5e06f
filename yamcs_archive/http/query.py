"""Which events a request asks for: one value from a query string, a JSON object or a protobuf message.

1. What is not understood is refused by name and value; an empty parameter of a query string is none at all,
   as for a Yamcs server, and unknown ones of a query string are passed over, as there.
2. Deviations from such a server, each towards a right answer: an unknown severity, a bad order, a limit of
   0 or less and a bad token are refused (docs/compatibility.md).
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import compress, count, islice
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from google.protobuf.message import DecodeError, Message

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.instance import Instance
from yamcs_archive.limits import PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire.event_vectors import EventVectors
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.json import decode_object
from yamcs_archive.wire.json_scalars import as_integer, as_text
from yamcs_archive.wire.page_token import decode_token
from yamcs_archive.wire.protobuf import from_timestamp
from yamcs_archive.wire.protobuf_scan import check_known
from yamcs_archive.wire.text_pattern import Pattern

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

    def page(self, instance: Instance, given_up: Callable[[], bool] | None = None) -> Iterator[Event]:
        """Return the events of the page, and one more if there is one; none once it is given up.

        Raises InvalidInputError for a bad token or filter, at once.
        """
        after = None if self.token is None else decode_token(self.token, instance.name)
        reads_all = self._closer is not None
        found = instance.events(
            **self._asked(),
            descending=self.descending,
            limit=None if reads_all else self._last,
            after_key=after,
            cancelled=given_up,
        )
        if self._closer is not None:
            matches = self._closer.matches
            found = (event for event in found if matches(event.message))
        return islice(found, self.pos, self._last)

    @property
    def _last(self) -> int:
        """The place of the event behind the page, which tells of more; no iterator counts further."""
        return min(self.pos + self.limit + 1, sys.maxsize)

    def batches(
        self, instance: Instance, given_up: Callable[[], bool] | None = None
    ) -> Iterator[EventVectors]:
        """Return all events asked for, oldest first, as they are read together; none once it is given up.

        Raises InvalidInputError for a bad filter, at once.
        """
        found = instance.event_vectors(**self._asked(), cancelled=given_up)
        if self._closer is None:
            return found
        matches = self._closer.matches
        chosen = ((events, [*map(matches, events.messages)]) for events in found)
        return (events.take(list(compress(count(), which))) for events, which in chosen if any(which))

    def count(self, instance: Instance, given_up: Callable[[], bool] | None = None) -> int:
        """Return the number of events that match; fewer, once it is given up.

        Raises InvalidInputError for a bad filter.
        """
        if self._closer is None:
            return instance.count(**self._asked(), cancelled=given_up)
        return sum(len(events.messages) for events in self.batches(instance, given_up))

    @property
    def count_reads(self) -> bool:
        """Whether history must be read to count: for all but all events, and all of some sources."""
        decides = self.start, self.stop, self.min_severity, self.pattern, self.filter
        return any(one is not None for one in decides)

    def _asked(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "stop": self.stop,
            "sources": self.sources,
            "min_severity": self.min_severity,
            "text": None if self.pattern is None else self.pattern.plain,
            "filter": self.filter,
        }

    @property
    def _closer(self) -> Pattern | None:
        """The pattern, where a plain text does not say all of it."""
        return self.pattern if self.pattern is not None and self.pattern.plain is None else None


def of_query(query: str) -> Selection:
    """Return what a query string asks for; of repeated parameters the last counts, but each ``source``.

    >>> of_query("source=A,B&source=C&limit=5&order=asc").limit
    5
    """
    values, time = given_by_query(query)
    given = Given({name: value for name, value in values.items() if name in PARAMETERS}, time)
    return _selection(given)._replace(form=form_of(values.get("form")))


def of_query_unpaged(query: str) -> Selection:
    """Return what a query string asks for where no page is: what would choose one is passed over.

    >>> of_query_unpaged("source=A&limit=0").sources
    frozenset({'A'})
    """
    values, time = given_by_query(query)
    return _selection(Given({name: value for name, value in values.items() if name in SELECTED}, time))


def of_posted(body: bytes, message: Message, *, binary: bool) -> Selection:
    """Return what a body asks for: a protobuf message, or a JSON object with the fields of that message.

    >>> from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
    >>> of_posted(b'{"source": ["A"], "severity": "watch"}', today.ListEventsRequest(), binary=False).sources
    frozenset({'A'})
    """
    return _selection(given_by_body(body, message, binary=binary))


class Given(NamedTuple):
    """The fields of a request by name, as they came; ``time`` reads a time and is told its name."""

    values: Mapping[str, Any]
    time: Callable[[Any, str], int]

    def integer(self, name: str, default: int, low: int, high: int) -> int:
        """Return an integer within bounds; InvalidInputError beyond them."""
        if name not in self.values:
            return default
        number = as_integer(self.values[name], name)
        if not low <= number <= high:
            raise InvalidInputError(name, number, f"must be {low} to {high}")
        return number

    def text(self, name: str) -> str | None:
        """Return a text; None for an empty one too."""
        return (as_text(self.values[name], name) if name in self.values else "") or None

    def instant(self, name: str) -> int | None:
        """Return a time in microseconds since 1970."""
        return self.time(self.values[name], name) if name in self.values else None

    def sources(self) -> frozenset[str] | None:
        """Return the sources that are named; None for none."""
        return frozenset(as_text(source, "source") for source in self.values.get("source", ())) or None


def given_by_query(query: str) -> Given:
    """Return the parameters of a query string: the last of each that is not empty, but each ``source``.

    >>> given_by_query("source=A,B&source=C&limit=5&limit=").values
    {'source': ['A', 'B', 'C']}
    """
    values = parameters(query)
    last: dict[str, Any] = {name: found[-1] for name, found in values.items() if found[-1] != ""}
    last["source"] = [name for found in values.get("source", []) for name in found.split(",") if name]
    return Given(last, parse_rfc3339)


def parameters(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query string; InvalidInputError for what is none."""
    if query.count("&") >= _PARAMETERS_MAX:
        rule = f"must have at most {_PARAMETERS_MAX} parameters; names of sources go in one, between commas"
        raise InvalidInputError("query", query, f"{rule}, or in the body of events:list")
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInputError(
            "query", query, "must be UTF-8, and some of its escapes (%FF) are not"
        ) from None


def given_by_body(body: bytes, message: Message, *, binary: bool) -> Given:
    """Return the fields of a body; an empty one has none, and so asks for everything; empty texts are none.

    A field of a JSON object that the message does not have is refused by name.
    """
    if binary:
        try:
            message.ParseFromString(body)
            check_known(body, message.DESCRIPTOR)
            return Given({field.name: value for field, value in message.ListFields()}, from_timestamp)
        except (DecodeError, UnicodeDecodeError) as error:
            raise InvalidInputError("body", body[:20].hex(), f"cannot be parsed: {error}") from None
    body = body.removeprefix(codecs.BOM_UTF8)  # some programs put it before every text
    found = decode_object(body) if body.strip() else {}
    known = [field.name for field in message.DESCRIPTOR.fields]
    for name in found:
        if name not in known:
            raise InvalidInputError(name, found[name], f"is not one of {', '.join(known)}")
    given = {name: value for name, value in found.items() if value is not None and value != ""}
    as_text(given.get("instance", ""), "instance")  # and is left: the path says which instance
    if not isinstance(given.get("source", []), list):
        raise InvalidInputError("source", given["source"], "must be an array of names")
    return Given(given, lambda value, name: parse_rfc3339(as_text(value, name), name))


SELECTED = frozenset(("start", "stop", "source", "severity", "q", "filter"))
"""What a query string says of the events that are wanted."""

PARAMETERS = SELECTED | {"order", "limit", "next", "pos", "form"}
"""What a query string may say of a page of them."""


def _selection(given: Given) -> Selection:
    """Return what fields that are given ask for."""
    order, severity, wanted = given.text("order"), given.text("severity"), given.text("q")
    if order not in (None, "asc", "desc"):
        raise InvalidInputError("order", order, "must be asc or desc")
    return Selection(
        start=given.instant("start"),
        stop=given.instant("stop"),
        sources=given.sources(),
        min_severity=None if severity is None else Severity.parse(severity),
        pattern=None if wanted is None else Pattern.of(wanted),
        filter=given.text("filter"),
        descending=order != "asc",
        limit=given.integer("limit", PAGE_EVENTS_DEFAULT, 1, PAGE_EVENTS_MAX),
        pos=given.integer("pos", 0, 0, _POS_MAX),
        token=given.text("next"),
    )


def refuse_form(query: str) -> None:
    """Refuse the form of 2016 where it cannot be chosen: an answer in another form would be wrong.

    >>> refuse_form("form=today&limit=5")
    """
    if "form" not in query:
        return
    chosen = next((found for found in reversed(parameters(query).get("form", [])) if found), None)
    if form_of(chosen) is not Form.TODAY:
        rule = "cannot be chosen here: GET …/events and GET …/events:changes take it, and an event that is"
        raise InvalidInputError("form", chosen, f"{rule} stored is answered in the form of its request")


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
