"""Conditions: one term of a filter each, which compares a field of an event with a value.

1. A condition never raises: each kind of field defines the result for an unset value. The negation is the
   exact opposite, so each operator except ``:`` on text has an opposite operator, and bounds stay exact.
2. Names of fields, and texts, are compared case-folded, in all of Unicode; patterns are not.
3. Severities, numbers and times have no parts: ``:`` and ``=~`` mean ``=``, ``!~`` means ``!=``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import SEVERITIES, Event, Severity
from yamcs_archive.filter.bounds import ANYTHING, FilterBounds
from yamcs_archive.filter.comparison_errors import BadValueError, UnknownFieldError
from yamcs_archive.filter.regex import Search, compile_search
from yamcs_archive.times import parse_rfc3339

Predicate = Callable[[Event], bool]
"""Returns whether an event matches."""

OPPOSITES = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">", "=~": "!~", "!~": "=~"}
"""The opposite of each operator, which holds exactly when that one does not; ``:`` on text has none."""

_ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WHOLE = {":": "=", "=~": "=", "!~": "!="}
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?[fd]?", re.ASCII | re.IGNORECASE)
_HEX_NUMBER = re.compile(r"[+-]?0x(?:[\da-f]+\.?[\da-f]*|\.[\da-f]+)p[+-]?\d+[fd]?", re.ASCII | re.IGNORECASE)
_BLANKS = "".join(map(chr, range(0x21)))
_NAMES = "message, source, type, severity, seqNumber, generationTime, receptionTime, createdBy, extra.KEY"


class Condition(NamedTuple):
    """One term of a filter, compiled: its predicate, and the bounds of the events that match."""

    matches: Predicate
    bounds: FilterBounds
    negation: Callable[[], Condition]
    steps: int = 0
    """Steps in the program of its pattern, for the limit on a whole filter."""


def contains(value: str) -> Condition:
    """Return the condition of a term without operator: message, source or type contains the text.

    >>> contains("wheel").matches(Event("Wheel 3"))
    True
    """
    word = value.casefold()

    def matches(event: Event) -> bool:
        kind = event.type
        return (
            word in event.message.casefold()
            or word in event.source.casefold()
            or (kind is not None and word in kind.casefold())
        )

    return _with_opposite(matches, FilterBounds(words=frozenset({word}) if word else frozenset()))


def compare(name: str, operation: str, value: str) -> Condition:
    """Return the condition ``name operation value``.

    Raises the errors of :mod:`yamcs_archive.filter.comparison_errors` for an unknown field, a value that is
    not of its type and a pattern that is not supported.

    >>> compare("SEVERITY", ">=", "watch").matches(Event("a"))
    False
    """
    key = name.casefold()
    if key in _TEXT_FIELDS:
        return _text(_TEXT_FIELDS[key], operation, value, key)
    if key.startswith("extra.") and len(key) > len("extra."):
        return _text(_extra(name[len("extra.") :]), operation, value, key)
    operation = _WHOLE.get(operation, operation)
    if key == "severity":
        return _severity(operation, value)
    if key == "seqnumber":
        return _ordered(operator.attrgetter("seq_number"), operation, value, _number)
    if key == "generationtime":
        return _ordered(operator.attrgetter("generation_time"), operation, value, _time, _time_bounds)
    if key == "receptiontime":
        return _ordered(operator.attrgetter("reception_time"), operation, value, _time)
    raise UnknownFieldError(f"the fields are {_NAMES}")


_TEXT_FIELDS: dict[str, Callable[[Event], str | None]] = {
    "message": operator.attrgetter("message"),
    "source": operator.attrgetter("source"),
    "type": operator.attrgetter("type"),
    "createdby": operator.attrgetter("created_by"),
}


def _with_opposite(matches: Predicate, bounds: FilterBounds) -> Condition:
    condition = Condition(
        matches, bounds, lambda: Condition(lambda event: not matches(event), ANYTHING, lambda: condition)
    )
    return condition


def _extra(wanted: str) -> Callable[[Event], str | None]:
    """Return a function that reads a key of ``extra``: as written, else the first in another letter case."""
    folded = wanted.casefold()

    def read(event: Event) -> str | None:
        extra = event.extra
        if not extra:
            return None
        found = extra.get(wanted)
        if found is None:
            key = min((key for key in extra if key.casefold() == folded), default=None)
            return None if key is None else extra[key]
        return found

    return read


def _text(read: Callable[[Event], str | None], operation: str, value: str, key: str) -> Condition:
    search = compile_search(value) if operation in ("=~", "!~") else None
    test = _text_test(operation, value.casefold(), search)
    bounds = ANYTHING
    if key == "source":
        bounds = FilterBounds(
            sources=frozenset({value.casefold()}) if operation == "=" else None,
            source_test=None if operation == "=" else test,
        )
    elif key == "message":
        bounds = _message_bounds(operation, value.casefold(), search)
    elif key == "type" and value.casefold() != "null":
        bounds = FilterBounds(words=_message_bounds(operation, value.casefold(), search).texts)

    def matches(event: Event) -> bool:
        return test(read(event))

    def negation() -> Condition:
        if operation in OPPOSITES:
            return _text(read, OPPOSITES[operation], value, key)
        opposite = FilterBounds(source_test=lambda source: not test(source)) if key == "source" else ANYTHING
        return Condition(lambda event: not matches(event), opposite, lambda: condition)

    condition = Condition(matches, bounds, negation, search.size if search else 0)
    return condition


def _text_test(operation: str, value: str, search: Search | None) -> Callable[[str | None], bool]:
    """Return the test of a text, or of None, by a comparison; ``value`` is case-folded."""
    if search is not None:
        found = search.found
        if operation == "=~":
            return lambda text: text is not None and found(text)
        return lambda text: text is None or not found(text)
    if operation == ":":
        return lambda text: text is not None and value in text.casefold()
    # ``null`` means "not set" with = and != only; a field whose text is "null" is equal to it too.
    unset = value == "null"
    if operation == "=":
        return lambda text: unset if text is None else text.casefold() == value
    if operation == "!=":
        return lambda text: not unset if text is None else text.casefold() != value
    first, holds = operation in ("<", "<="), _ORDERS[operation]
    return lambda text: first if text is None else holds(text.casefold(), value)


def _message_bounds(operation: str, value: str, search: Search | None) -> FilterBounds:
    if operation in ("=", ":") and value:
        return FilterBounds(texts=frozenset({value}))
    if operation == "=~" and search is not None:
        return FilterBounds(texts=search.texts)
    return ANYTHING


def _severity(operation: str, value: str) -> Condition:
    holds = _ORDERS[operation]
    if value.casefold() == "null":  # less than all: every event has a severity
        wanted = SEVERITIES if operation in ("!=", ">", ">=") else ()
    else:
        try:
            rank = Severity.parse(value).rank
        except InvalidInputError as error:
            raise BadValueError(f"severity {error.rule}") from None
        wanted = tuple(severity for severity in SEVERITIES if holds(severity.rank, rank))
    everything = len(wanted) == len(SEVERITIES)
    answers = tuple(severity in wanted for severity in SEVERITIES)
    return Condition(
        lambda event: answers[event.severity],  # takes a quarter of the time of a set
        ANYTHING if everything else FilterBounds(severities=frozenset(wanted)),
        lambda: _severity(OPPOSITES[operation], value),
    )


def _ordered(
    read: Callable[[Event], int | None],
    operation: str,
    text: str,
    parse: Callable[[str], float | int],
    bound: Callable[[str, Any], FilterBounds] | None = None,
) -> Condition:
    """Return a comparison of numbers or times; an unset one is less than all others."""
    holds = _ORDERS[operation]
    bounds = ANYTHING
    if text.casefold() == "null":
        unset, present = operation in ("=", "<=", ">="), operation in ("!=", ">", ">=")

        def matches(event: Event) -> bool:
            return unset if read(event) is None else present

    else:
        value = parse(text)
        first = operation in ("!=", "<", "<=")
        bounds = bound(operation, value) if bound else ANYTHING

        def matches(event: Event) -> bool:
            found = read(event)
            return first if found is None else holds(found, value)

    return Condition(matches, bounds, lambda: _ordered(read, OPPOSITES[operation], text, parse, bound))


def _number(text: str) -> float:
    """Read a number as Java does: ``1e1``, ``3.0``, ``0x1p3``, ``7f``, blanks around it."""
    stripped = text.strip(_BLANKS)
    if _NUMBER.fullmatch(stripped):
        return float(stripped.rstrip("fFdD"))
    if _HEX_NUMBER.fullmatch(stripped):
        mantissa, exponent = re.split("[pP]", stripped)
        try:
            return float.fromhex(f"{mantissa}p{exponent.rstrip('fFdD')}")
        except (OverflowError, ValueError):
            raise BadValueError("the exponent is too large") from None
    raise BadValueError('seqNumber must be compared with a number, a negative one in quotes: "-1"')


def _time(text: str) -> int:
    try:
        return parse_rfc3339(text)
    except BadTimeError as error:
        raise BadValueError(f"{error.rule}, in quotes") from None


def _time_bounds(operation: str, time: int) -> FilterBounds:
    start = {"=": time, ">=": time, ">": time + 1}.get(operation)
    stop = {"=": time + 1, "<=": time + 1, "<": time}.get(operation)
    return FilterBounds(start_us=start, stop_us=stop)
