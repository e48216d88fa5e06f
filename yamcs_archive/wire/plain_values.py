"""Frozen dataclasses <-> JSON, by the types of their fields; pure.

1. A name is in camel case, an instant (``pass_report.findings.Instant``) is RFC 3339, None is left out. All
   other values are as JSON has them; tuples are arrays.
2. Read is what was written: an unknown field is passed over, because a later version may have written it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from yamcs_archive.pass_report.findings import INSTANT
from yamcs_archive.times import format_rfc3339, parse_rfc3339

T = TypeVar("T")
_Change = Callable[[Any], Any]


class _Field(NamedTuple):
    name: str
    key: str
    """Its name in JSON."""
    write: _Change
    read: _Change
    may_be_absent: bool


_KNOWN: dict[Any, tuple[_Field, ...]] = {}
"""The fields of each dataclass that was written or read."""


def fields_of(value: Any) -> dict[str, Any]:
    """Return a dataclass as JSON has it.

    >>> from yamcs_archive.pass_report.findings import Silence
    >>> silence = Silence(source="EPS", since=0, until=5_000_000, pause_us=5_000_000, usual_us=9, at_end=True)
    >>> fields_of(silence)["until"], fields_of(silence)["pauseUs"]
    ('1970-01-01T00:00:05Z', 5000000)
    >>> value_of(Silence, fields_of(silence)) == silence
    True
    """
    found = {}
    for field in _fields(type(value)):
        given = getattr(value, field.name)
        if given is not None:
            found[field.key] = field.write(given)
    return found


def value_of(kind: type[T], given: Any) -> T:
    """Return the dataclass of such fields. Raises KeyError, TypeError and ValueError."""
    if not isinstance(given, Mapping):
        raise TypeError(f"{kind.__name__} must be an object, not {type(given).__name__}")
    return kind(
        **{
            field.name: None
            if field.may_be_absent and given.get(field.key) is None
            else field.read(given[field.key])
            for field in _fields(kind)
        }
    )


def _fields(kind: Any) -> tuple[_Field, ...]:
    found = _KNOWN.get(kind)
    if found is None:
        hints = get_type_hints(kind, include_extras=True)
        found = _KNOWN[kind] = tuple(_field(field.name, hints[field.name]) for field in fields(kind))
    return found


def _field(name: str, hint: Any) -> _Field:
    parts = [part for part in get_args(hint) if part is not type(None)]
    optional = get_origin(hint) in (Union, UnionType) and len(parts) == 1
    write, read = _changes(parts[0] if optional else hint)
    return _Field(name, camel_case(name), write, read, optional)


def _changes(hint: Any) -> tuple[_Change, _Change]:
    """Return how values of a type are written, and how they are read."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated and INSTANT in arguments:
        return format_rfc3339, lambda given: parse_rfc3339(_plain(str, given))
    if origin is tuple:
        write, read = _changes(arguments[0])
        return (
            lambda values: list(map(write, values)),
            lambda given: tuple(map(read, _plain(list, given))),
        )
    if origin is dict:
        return dict, lambda given: {
            _plain(arguments[0], name): _plain(arguments[1], value)
            for name, value in _plain(dict, given).items()
        }
    if is_dataclass(hint):
        assert isinstance(hint, type)  # noqa: S101  # of our own types
        return fields_of, lambda given: value_of(hint, given)
    return _as_is, lambda given: _plain(hint, given)


def _plain(kind: Any, given: Any) -> Any:
    """Return a value of JSON if it has the type; an int is a float too."""
    if kind is float and type(given) is int:
        return float(given)
    if type(given) is not kind:
        raise TypeError(f"must be {kind.__name__}, not {type(given).__name__}")
    return given


def _as_is(value: Any) -> Any:
    return value


def camel_case(name: str) -> str:
    """Return a name as JSON has it.

    >>> camel_case("late_after_us")
    'lateAfterUs'
    """
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
