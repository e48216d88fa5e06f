"""The event model: what an event is, when one is valid, and how events are ordered and compared.

1. No I/O, no clock, no storage. Values are frozen; only :mod:`msgspec` is needed.
2. Constructing an :class:`Event` checks nothing, because a scan constructs millions of them from bytes
   that were checked when they were stored. :func:`validate` is the one place with the rules, and every
   way into the archive goes through it.

Events have four forms in memory; everything else is bytes.

=================  ============================  ===========================================================
Form               Module                        Purpose
=================  ============================  ===========================================================
``Event``          this one                      one event: what users hold, and what the rules speak of
``Columns``        ``columns``                   many events on their way in: a list for each field
``StoredVectors``  ``event_vectors``             many events on their way into blocks and out of them: a
                                                 numpy vector or a list for each field
parsed structs     ``wire``, ``storage.format``  what msgspec and protobuf parse into, private to a module
                                                 and gone when the function that decodes returns
=================  ============================  ===========================================================
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypedDict, Unpack, cast

import msgspec

from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.limits import (
    ATTACHED_BYTES_MAX,
    MESSAGE_BYTES_MAX,
    SEQ_NUMBER_MAX,
    SEQ_NUMBER_MIN,
    SOURCE_BYTES_MAX,
    TIME_MAX_US,
    TIME_MIN_US,
)
from yamcs_archive.scalars import plain_int, plain_text
from yamcs_archive.times import Time, to_datetime, to_us

SOURCE_DEFAULT = "User"
"""The source of an event that was given none, or an empty one, as on a Yamcs server."""


class _NamesInAnyCase(enum.EnumMeta):
    """The class of :class:`Severity`: ``Severity["warning"]`` finds what ``Severity["WARNING"]`` finds."""

    def __getitem__(cls, name: str) -> Any:
        found = _severity_named(name)
        if found is None:
            raise KeyError(f"no severity {name!r}: {', '.join(Severity.__members__)}")
        return found


class Severity(enum.IntEnum, metaclass=_NamesInAnyCase):
    """How bad it is: INFO < WATCH < WARNING < DISTRESS < CRITICAL < SEVERE, and the old ERROR.

    ERROR is the highest of the three severities of the 2016 API. It ranks with SEVERE: neither is
    above the other, yet they are two values and each is kept as it was given.

    As text a severity is its name; it is found by name in any letter case, and by number.

    >>> Severity.WATCH < Severity.WARNING
    True
    >>> f"{Severity.WARNING}", f"{Severity.WARNING:>8}", f"{Severity.WARNING:d}"
    ('WARNING', ' WARNING', '2')
    >>> Severity["warning"] is Severity("warning") is Severity(2) is Severity.WARNING
    True
    >>> Severity.ERROR >= Severity.SEVERE, Severity.SEVERE >= Severity.ERROR
    (True, True)
    >>> Severity.ERROR == Severity.SEVERE
    False
    """

    INFO = 0
    WATCH = 1
    WARNING = 2
    DISTRESS = 3
    CRITICAL = 4
    SEVERE = 5
    ERROR = 6

    @property
    def rank(self) -> int:
        """The place in the order, 0 to 5; SEVERE and ERROR share 5."""
        return min(self.value, 5)

    @classmethod
    def parse(cls, name: str, field: str = "severity") -> Severity:
        """Return the severity of that name, in any letter case; WARNING_NEW is read as WARNING.

        Raises :class:`InvalidInputError` that names ``field`` and lists the choices.

        >>> Severity.parse("warning")
        <Severity.WARNING: 2>
        """
        found = _severity_named(name)
        if found is None:  # not "if not found": INFO is 0
            raise InvalidInputError(field, name, f"must be one of {', '.join(cls.__members__)}")
        return found

    @classmethod
    def _missing_(cls, value: object) -> Severity | None:
        return _severity_named(value)

    def __str__(self) -> str:
        return self.name

    def __format__(self, spec: str) -> str:
        return format(self.value if spec[-1:] in _NUMBER_FORMATS else self.name, spec)

    def __lt__(self, other: int) -> bool:
        return self.rank < _rank(other)

    def __le__(self, other: int) -> bool:
        return self.rank <= _rank(other)

    def __gt__(self, other: int) -> bool:
        return self.rank > _rank(other)

    def __ge__(self, other: int) -> bool:
        return self.rank >= _rank(other)


_NUMBER_FORMATS = frozenset("bcdoxXneEfFgG%")
"""The letters that end a format of a number."""


def _severity_named(name: object) -> Severity | None:
    text = plain_text(name)
    return _SEVERITY_BY_NAME.get(text.upper()) if isinstance(text, str) and text.isascii() else None


def _rank(other: int) -> int:
    return other.rank if isinstance(other, Severity) else other


_SEVERITY_BY_NAME: dict[str, Severity] = {**Severity.__members__, "WARNING_NEW": Severity.WARNING}
SEVERITIES: tuple[Severity, ...] = tuple(Severity)
"""Every severity, at the index of its stored code."""
SEVERITY_RULE = f"must be a Severity: {', '.join(Severity.__members__)}"


def _as_shown(severity: Severity) -> Severity:
    found = int.__new__(Severity, severity.value)
    found._name_, found._value_ = severity.name, severity.value
    return found


AS_SHOWN: dict[Severity, Severity] = dict(zip(Severity, Severity, strict=True)) | {
    severity: _as_shown(severity) for severity in (Severity.SEVERE, Severity.ERROR)
}
"""Each severity as it is read from an answer of the events API, which shows ERROR as SEVERE.

The objects of these two equal the severity in all respects and are stored as it. They are known by their
identity, which only :func:`same_content` and the digests of requests look at. So the severity itself says,
through every queue and column, that the sender of the event cannot know which of the two was stored.
"""


AnySeverity = Severity | SupportsIndex | str
"""A severity as the library accepts it: itself, its number 0 to 6, or its name in any letter case."""


class EventKey(NamedTuple):
    """What identifies an event, and its place in the order: time, then source by name, then number.

    Python compares text by code point, which is the order of UTF-8 bytes, so tuples of this kind are
    ordered exactly as the keys on the medium.

    >>> EventKey(0, "AOCS", 15) < EventKey(0, "AOCS", 16) < EventKey(0, "EPS", -1) < EventKey(1, "A", 0)
    True
    """

    generation_time: int
    """Microseconds since 1970-01-01T00:00:00Z."""
    source: str
    seq_number: int


class Stretch(NamedTuple):
    """Events of one source without a long pause between two of them: an entry of a histogram."""

    source: str
    start: int
    """The generation time of the first, in microseconds since 1970."""
    stop: int
    """That of the last."""
    events: int
    """The number of events."""


class EventFields(TypedDict, total=False):
    """The fields that :meth:`Event.at` takes by name: those of :class:`Event` but message and time."""

    source: str
    severity: AnySeverity
    type: str | None
    seq_number: SupportsIndex | None
    reception_time: SupportsIndex | None
    created_by: str | None
    extensions: bytes
    extra: dict[str, str]


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event. Only ``message`` is required; the archive fills in the rest when it stores the event.

    ``generation_time`` and ``reception_time`` are int microseconds since 1970 (UTC), or None for the
    archive's clock; :meth:`at` takes other forms of time. ``seq_number`` is an int32, or None for the
    next number of the source. The archive checks every rule of :func:`validate` before it stores an event.

    Values that plainly are ints or texts are stored as such: numpy's integers and texts, members of an
    IntEnum or StrEnum. A severity may be given by its name in any letter case, or by its number, 0 to 6. A
    bool or a float is no number. The constructor keeps what it was given: the event in an answer of the
    archive, a :data:`StoredEvent`, has exact values.

    Events hash by their key and message, and compare by all fields. Replace a field with
    :func:`msgspec.structs.replace`.

    >>> event = Event("Wheel 3 over speed", source="AOCS", generation_time=0, seq_number=15)
    >>> event.key
    EventKey(generation_time=0, source='AOCS', seq_number=15)
    >>> event.time.isoformat()
    '1970-01-01T00:00:00+00:00'
    """

    # gc=False keeps events out of the cyclic collector (a scan makes millions): safe, because the
    # fields of a valid event hold text, ints and one dict of text, which cannot lead back to it.
    message: str
    """UTF-8 of up to 1 MiB; may be empty and may hold NUL."""
    source: str = SOURCE_DEFAULT
    """1 to 255 UTF-8 bytes without NUL; an empty one is stored as ``User``."""
    severity: Severity = Severity.INFO
    type: str | None = None
    """Free text without NUL; empty and None are different."""
    generation_time: int | None = None
    """Microseconds since 1970 (UTC); None: the archive's clock."""
    seq_number: int | None = None
    """int32; None: one more than the greatest that the source ever had, 0 at first."""
    reception_time: int | None = None
    """Microseconds since 1970 (UTC); None: the archive's clock."""
    created_by: str | None = None
    """The authenticated user, if there was one."""
    extensions: bytes = b""
    """The fields 100 to 10000 of a 2016 protobuf message, tags included, byte for byte."""
    extra: dict[str, str] = {}
    """Further text by name."""

    if TYPE_CHECKING:
        # What msgspec makes, for type checkers: it takes more types than the fields have.
        def __init__(  # noqa: PLR0917  # in the order of the fields
            self,
            message: str,
            source: str = ...,
            severity: AnySeverity = ...,
            type: str | None = ...,
            generation_time: SupportsIndex | None = ...,
            seq_number: SupportsIndex | None = ...,
            reception_time: SupportsIndex | None = ...,
            created_by: str | None = ...,
            extensions: bytes = ...,
            extra: dict[str, str] = ...,
        ) -> None: ...

    def __hash__(self) -> int:
        return hash((self.generation_time, self.source, self.seq_number, self.message))

    @classmethod
    def at(cls, time: Time, message: str, **fields: Unpack[EventFields]) -> Event:
        """Return an event generated at ``time``: an aware datetime, RFC 3339 text or int microseconds.

        ``fields`` are those of the constructor, ``generation_time`` apart. Raises
        :class:`~yamcs_archive.errors.BadTimeError` for a time that is none of these.

        >>> Event.at("2026-01-01T00:00:00Z", "Launch", source="GDS").generation_time
        1767225600000000
        """
        return cls(message, generation_time=to_us(time, "time"), **fields)

    def _repr_html_(self) -> str:
        """What a notebook shows: the fields that are set."""
        from yamcs_archive import notebook  # noqa: PLC0415  # only notebooks need it

        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in ("generation_time", "reception_time"):
            values[name] = notebook.time_text(values[name])
        values |= {f"extra.{name}": value for name, value in [*self.extra.items()][: notebook.ROWS_MAX]}
        values["extra"] = f"{len(self.extra)} texts" if len(self.extra) > notebook.ROWS_MAX else None
        rows = [(name, value) for name, value in values.items() if value not in (None, "", b"")]
        return notebook.table(type(self).__name__, ["field", "value"], rows)

    @property
    def key(self) -> EventKey:
        """The event's key. Raises :class:`InvalidInputError` while time or number are still None.

        >>> Event("a", generation_time=1, seq_number=2).key
        EventKey(generation_time=1, source='User', seq_number=2)
        """
        if self.generation_time is None or self.seq_number is None:
            field = "generation_time" if self.generation_time is None else "seq_number"
            raise InvalidInputError(field, None, "is not filled in before the event is stored")
        return EventKey(self.generation_time, self.source, self.seq_number)

    @property
    def time(self) -> datetime | None:
        """The generation time as an aware datetime in UTC; None while it is not filled in.

        Raises :class:`~yamcs_archive.errors.BadTimeError` for a time that could not be stored.
        """
        if self.generation_time is None:
            return None
        instant = plain_int(self.generation_time)
        _check_int("generation_time", instant, TIME_MIN_US, TIME_MAX_US, BadTimeError)
        return to_datetime(instant)  # type: ignore[arg-type]  # it was checked to be an int


if TYPE_CHECKING:

    class StoredEvent(Event, frozen=True, gc=False):
        """An event with its times and its number, as every answer of the archive has it."""

        generation_time: int = 0
        seq_number: int = 0
        reception_time: int = 0

        @property
        def time(self) -> datetime:
            """The generation time as an aware datetime in UTC."""

else:
    # The type of an event that is stored, for type checkers alone: its times and its number are not None.
    StoredEvent = Event


def as_stored(event: Event) -> StoredEvent:
    """Return an event that has its times and its number, with the type of a stored one.

    Raises :class:`InvalidInputError` while one of them is None.

    >>> as_stored(Event("a", generation_time=1, seq_number=2, reception_time=3)).seq_number
    2
    """
    event.key  # noqa: B018  # raises where it is not filled in
    if event.reception_time is None:
        raise InvalidInputError("reception_time", None, "is not filled in before the event is stored")
    return cast("StoredEvent", event)


def same_content(stored: Event, offered: Event) -> bool:
    """Say whether two events of one key are the same event: all but reception time and user are equal.

    A retry arrives later and perhaps under another login; neither makes it another event. If it was
    offered as an answer showed it (:data:`AS_SHOWN`), ERROR and SEVERE are the same.

    >>> same_content(Event("a", reception_time=1), Event("a", reception_time=2))
    True
    >>> stored = Event("a", severity=Severity.ERROR)
    >>> same_content(stored, Event("a", severity=Severity.SEVERE))
    False
    >>> same_content(stored, Event("a", severity=AS_SHOWN[Severity.SEVERE]))
    True
    """
    return (
        stored.message == offered.message
        and (stored.severity == offered.severity or _shown_alike(stored.severity, offered.severity))
        and stored.type == offered.type
        and stored.extra == offered.extra
        and stored.extensions == offered.extensions
    )


EXTRA_PAIR_BYTES = 128
"""Bytes of memory of a pair of ``extra`` beside its texts: 256 KiB of text may be 80,000 pairs."""


def _shown_alike(stored: Severity, offered: Severity) -> bool:
    return offered is AS_SHOWN[offered] and stored.rank == offered.rank


def event_bytes(event: Event) -> int:
    """Return about the number of bytes of an event, for budgets.

    A character of text counts as one, and each pair of ``extra`` as :data:`EXTRA_PAIR_BYTES` more.

    >>> event_bytes(Event("abc", source="S", extra={"a": "bc"})) == 7 + EXTRA_PAIR_BYTES
    True
    """
    size = len(event.message) + len(event.source) + len(event.type or "") + len(event.created_by or "")
    size += len(event.extensions)
    return size + extra_bytes(event.extra) if event.extra else size


def extra_bytes(extra: dict[str, str]) -> int:
    """Return what :func:`event_bytes` counts for the pairs of ``extra``.

    >>> extra_bytes({"a": "bc"}) - EXTRA_PAIR_BYTES
    3
    """
    return sum(map(len, extra)) + sum(map(len, extra.values())) + len(extra) * EXTRA_PAIR_BYTES


def validate(event: Event) -> int:
    """Check every rule of the event model and return the event's bytes of text (for budgets).

    Raises :class:`~yamcs_archive.errors.InvalidInputError` (or its BadTimeError) that names the field,
    the value and the rule.

    >>> validate(Event("abc"))
    7
    >>> validate(Event("abc", source="A\\0B"))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: source 'A\\x00B': must not hold NUL
    """
    if type(event) is not Event:
        raise InvalidInputError("event", event, "must be an Event")
    size = _text_bytes("message", event.message, MESSAGE_BYTES_MAX)
    size += _text_bytes("source", event.source, SOURCE_BYTES_MAX, nul=False)
    _check_int("seq_number", event.seq_number, SEQ_NUMBER_MIN, SEQ_NUMBER_MAX, InvalidInputError)
    _check_int("generation_time", event.generation_time, TIME_MIN_US, TIME_MAX_US, BadTimeError)
    _check_int("reception_time", event.reception_time, TIME_MIN_US, TIME_MAX_US, BadTimeError)
    if type(event.severity) is not Severity:
        raise InvalidInputError("severity", event.severity, SEVERITY_RULE)
    extensions, extra = event.extensions, event.extra
    bare = type(extensions) is bytes and type(extra) is dict and not (extensions or extra)
    if bare and event.type is None and event.created_by is None:
        return size
    return size + _attached_bytes(event)


def _attached_bytes(event: Event) -> int:
    size = 0
    if event.type is not None:
        size += _text_bytes("type", event.type, ATTACHED_BYTES_MAX, nul=False)
    if event.created_by is not None:
        size += _text_bytes("created_by", event.created_by, ATTACHED_BYTES_MAX)
    if type(event.extensions) is not bytes:
        raise InvalidInputError("extensions", event.extensions, "must be bytes")
    if type(event.extra) is not dict:
        raise InvalidInputError("extra", event.extra, "must be a dict of str to str")
    for name, value in event.extra.items():
        size += _text_bytes("extra", name, ATTACHED_BYTES_MAX)
        size += _text_bytes(f"extra.{name}", value, ATTACHED_BYTES_MAX)
    size += len(event.extensions)
    if size > ATTACHED_BYTES_MAX:
        raise InvalidInputError(
            "type, extra, created_by and extensions",
            f"{size} bytes",
            f"must be at most {ATTACHED_BYTES_MAX} bytes together",
        )
    return size


def _text_bytes(field: str, value: object, bytes_max: int, *, nul: bool = True) -> int:
    if type(value) is not str:
        raise InvalidInputError(field, value, "must be text")
    try:
        size = len(value) if value.isascii() else len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            field, value, f"has a lone surrogate at character {error.start}, which UTF-8 cannot hold"
        ) from None
    if size > bytes_max:
        raise InvalidInputError(field, value, f"must be at most {bytes_max} bytes of UTF-8, has {size}")
    if not nul and "\0" in value:
        raise InvalidInputError(field, value, "must not hold NUL")
    return size


def _check_int(field: str, value: object, low: int, high: int, error: type[InvalidInputError]) -> None:
    if value is None:
        return
    if type(value) is not int:
        raise error(field, value, "must be an int")
    if not low <= value <= high:
        raise error(field, value, f"must be {low} to {high}")
