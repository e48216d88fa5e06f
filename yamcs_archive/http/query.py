"""Which events a request asks for: one value, read from a query string or from a body.

1. A bad value is refused with its name. As on a Yamcs server, an empty parameter of a query string counts as
   none, and unknown parameters are ignored.
2. Unlike such a server, this refuses an unknown severity, a bad order, a limit of 0 or less and a bad token
   (docs/compatibility.md).
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from itertools import compress, count, islice
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs

from yamcs_archive.errors import DamagedError, InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.frames.batches import batches
from yamcs_archive.frames.columns import Selection
from yamcs_archive.http.limits import PAGE_EVENTS_DEFAULT
from yamcs_archive.instance import Instance
from yamcs_archive.limits import PAGE_EVENTS_MAX
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.json_scalars import as_integer, as_text
from yamcs_archive.wire.message_wildcards import Pattern
from yamcs_archive.wire.page_token import decode_token

if TYPE_CHECKING:
    import pyarrow

_PARAMETERS_MAX = 1000
_POS_MAX = 2**63 - 1


class EventQuery(NamedTuple):
    """Which events are asked for."""

    selected: Mapping[str, Any]
    """Which events the archive is to find: arguments of ``Instance.events`` and its other readers."""
    residual: Pattern | None
    """A pattern that the archive cannot match: it is matched here with the messages of the events found."""
    descending: bool
    limit: int
    pos: int
    """Number of events that are skipped before the first one of the page."""
    token: str | None
    form: Form

    def page(self, instance: Instance, given_up: Callable[[], bool]) -> Iterator[Event]:
        """Return the events of the page, and one more if there is one. Reading ends once given up.

        Raises InvalidInputError for a bad token or filter, at once.
        """
        # One more than the page: it shows that there is a next page. islice() takes no larger number.
        last = min(self.pos + self.limit + 1, sys.maxsize)
        found = instance.events(
            **self.selected,
            descending=self.descending,
            limit=last if self.residual is None else None,
            after_key=None if self.token is None else decode_token(self.token, instance.name),
            cancelled=given_up,
        )
        if self.residual is not None:
            matches = self.residual.matches
            found = (event for event in found if matches(event.message))
        return islice(found, self.pos, last)

    def batches(self, instance: Instance, given_up: Callable[[], bool]) -> Iterator[StoredVectors]:
        """Return all events that match, oldest first, in batches as they are read. This ends once given up.

        Raises InvalidInputError for a bad filter, at once.
        """
        found = instance.event_vectors(**self.selected, cancelled=given_up)
        if self.residual is None:
            return found
        matches = self.residual.matches
        chosen = ((events, [*map(matches, events.messages)]) for events in found)
        return (events.take(list(compress(count(), which))) for events, which in chosen if any(which))

    def record_batches(
        self, instance: Instance, selection: Selection, given_up: Callable[[], bool]
    ) -> Iterator[pyarrow.RecordBatch]:
        """Return all events that match, oldest first, as the batches of a table. This ends once given up.

        Raises InvalidInputError for a bad filter, and MissingPackageError without pyarrow, at once.
        """
        if self.residual is None:
            table = instance.table(
                **self.selected, columns=selection.columns, extra_columns=selection.extra, cancelled=given_up
            )
            return table.batches()
        return batches(self.batches(instance, given_up), selection)

    def count_events(self, instance: Instance, given_up: Callable[[], bool]) -> int:
        """Return the number of events that match; fewer once given up.

        Raises InvalidInputError for a bad filter.
        """
        if self.residual is None:
            return instance.count(**self.selected, cancelled=given_up)
        return sum(len(events.messages) for events in self.batches(instance, given_up))

    @property
    def count_reads(self) -> bool:
        """False if the events can be counted without reading: all of them, or all of some sources."""
        if self.residual is not None:
            return True
        decides = (value for name, value in self.selected.items() if name not in ("sources", "skip_damaged"))
        return bool(self.selected["skip_damaged"]) or any(value is not None for value in decides)


class Fields(NamedTuple):
    """The fields of a request by name, as they came; ``time`` reads a time, given its name."""

    values: Mapping[str, Any]
    time: Callable[[Any, str], int]

    def flag(self, name: str) -> bool:
        """Return whether a flag is set; InvalidInputError unless it is true, false or absent."""
        text = self.text(name)
        if text not in (None, "true", "false"):
            raise InvalidInputError(name, text, "must be true or false")
        return text == "true"

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
        """Return the names of sources; None if there are none."""
        return frozenset(as_text(source, "source") for source in self.values.get("source", ())) or None


def fields_of_query(query: str, names: Collection[str]) -> Fields:
    """Return the parameters of a query string with these names; others are ignored.

    Of a repeated parameter the last value counts, of ``source`` all values.

    >>> fields_of_query("source=A,B&source=C&limit=5&limit=&x=1", ("source", "limit")).values
    {'source': ['A', 'B', 'C']}
    """
    given = {name: found for name, found in parameters(query).items() if name in names}
    values: dict[str, Any] = {name: found[-1] for name, found in given.items() if found[-1] != ""}
    values["source"] = [name for found in given.get("source", []) for name in found.split(",") if name]
    return Fields(values, parse_rfc3339)


def parameters(query: str) -> dict[str, list[str]]:
    """Return the parameters of a query string, each with its values; InvalidInputError for a bad one."""
    if query.count("&") >= _PARAMETERS_MAX:
        rule = f"must have at most {_PARAMETERS_MAX} parameters; names of sources go in one, between commas"
        raise InvalidInputError("query", query, f"{rule}, or in the body of events:list")
    try:
        return parse_qs(query, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise InvalidInputError(
            "query", query, "must be UTF-8, and some of its escapes (%FF) are not"
        ) from None


PARAMETERS = frozenset(("start", "stop", "source", "severity", "q", "filter", "skip_damaged"))
"""Parameters of a query string that choose events."""

PAGE_PARAMETERS = PARAMETERS | {"order", "limit", "next", "pos", "form"}
"""Parameters of a query string that choose a page of events."""

TABLE_PARAMETERS = frozenset(("columns", "extra_columns"))
"""Parameters of a query string that choose the columns of an answer that is a table."""


def event_query(fields: Fields, left_out: Callable[[DamagedError], None] | None = None) -> EventQuery:
    """Return what the fields of a request ask for; InvalidInputError. ``left_out`` gets what is damaged.

    >>> event_query(fields_of_query("source=A,B&source=C&limit=5&order=asc", PAGE_PARAMETERS)).limit
    5
    """
    order, severity, wanted = fields.text("order"), fields.text("severity"), fields.text("q")
    if order not in (None, "asc", "desc"):
        raise InvalidInputError("order", order, "must be asc or desc")
    selected: dict[str, Any] = {
        "start": fields.instant("start"),
        "stop": fields.instant("stop"),
        "sources": fields.sources(),
        "min_severity": None if severity is None else Severity.parse(severity),
    }
    pattern = None if wanted is None else Pattern.of(wanted)
    text = None if pattern is None else pattern.plain
    return EventQuery(
        selected | {"text": text, "filter": fields.text("filter"), "skip_damaged": left_out or False},
        pattern if text is None else None,
        descending=order != "asc",
        limit=fields.integer("limit", PAGE_EVENTS_DEFAULT, 1, PAGE_EVENTS_MAX),
        pos=fields.integer("pos", 0, 0, _POS_MAX),
        token=fields.text("next"),
        form=form_of(fields.text("form")),
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
    try:
        return Form.TODAY if text is None else Form(text)
    except ValueError:
        rule = f"must be one of {', '.join(form.value for form in Form)}"
        raise InvalidInputError("form", text, rule) from None
