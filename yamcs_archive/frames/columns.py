"""The columns of a table of events: their names, their order, and the choice of some; pure, without Arrow.

1. Names are those of the fields of :class:`~yamcs_archive.event.Event`, but for ``time``, which everybody
   types. All columns together lose nothing: events that are read back from them are equal.
2. ``level`` is the rank of the severity, 0 to 5, because polars and duckdb compare names of severities by
   their letters. ERROR ranks with SEVERE, so both have level 5.
3. ``commit`` is the number of the commit that stored an event, from 1. It is no field of an event, and is
   there only on request: two archives with the same events differ in it.
4. An extra column has one value of ``extra`` for each event, and is named as its key.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

from yamcs_archive.arguments import text
from yamcs_archive.errors import InvalidInputError, shown

EVENT_COLUMNS = (
    "time",
    "source",
    "seq_number",
    "severity",
    "level",
    "message",
    "type",
    "reception_time",
    "created_by",
    "extensions",
    "extra",
)
"""The columns of a table for which none were chosen, in their order."""
COMMIT = "commit"
ALL_COLUMNS = (*EVENT_COLUMNS, COMMIT)
_OTHER_NAMES = {
    "generation_time": "time",
    "generationTime": "time",
    "timestamp": "time",
    "seqNumber": "seq_number",
    "sequence_number": "seq_number",
    "number": "seq_number",
    "rank": "level",
    "receptionTime": "reception_time",
    "received": "reception_time",
    "createdBy": "created_by",
    "user": "created_by",
    "event_type": "type",
    "text": "message",
}
"""What the API and other programs call them; not accepted, but named in the error."""


class Selection(NamedTuple):
    """The columns of a table, in their order."""

    columns: tuple[str, ...] = EVENT_COLUMNS
    extra: tuple[str, ...] = ()
    """The keys of ``extra`` that are columns of their own, after the others."""

    @classmethod
    def of(cls, columns: Iterable[str] | None = None, extra_columns: Iterable[str] = ()) -> Selection:
        """Return the columns of these names; None: :data:`EVENT_COLUMNS`.

        Raises InvalidInputError for an unknown name, one that is given twice, a key of ``extra`` that is
        named as a chosen column, and for no column at all.

        >>> Selection.of(["time", "message"], ["torque"]).names
        ('time', 'message', 'torque')
        >>> Selection.of(["seqNumber"])
        Traceback (most recent call last):
          ...
        yamcs_archive.errors.InvalidInputError: columns 'seqNumber': is no column; did you mean 'seq_number'?
        """
        chosen = EVENT_COLUMNS if columns is None else _names("columns", columns)
        for name in chosen:
            if name not in ALL_COLUMNS:
                raise InvalidInputError("columns", name, f"is no column; {nearest(name)}")
        extra = _names("extra_columns", extra_columns)
        for key in extra:
            if key in chosen:
                raise InvalidInputError(
                    "extra_columns", key, "is the name of another column here; read it from the column extra"
                )
        if not chosen and not extra:
            raise InvalidInputError("columns", list(chosen), "must name at least one column")
        return cls(chosen, extra)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all columns, in their order."""
        return self.columns + self.extra


def nearest(name: str) -> str:
    """Return a sentence that leads from a wrong name to a right one.

    >>> nearest("mesage"), nearest("generation_time")
    ("did you mean 'message'?", "did you mean 'time'?")
    >>> nearest("torque")
    'there are time, source, seq_number, severity, ...'
    """
    found = _OTHER_NAMES.get(name) or next(iter(get_close_matches(name.lower(), ALL_COLUMNS, 1)), None)
    return f"there are {', '.join(ALL_COLUMNS)}" if found is None else f"did you mean {found!r}?"


def _names(field: str, values: Iterable[str]) -> tuple[str, ...]:
    """Return several distinct names, in their order."""
    rule = "must be several names, as a list or a tuple"
    if isinstance(values, (str, bytes)):
        raise InvalidInputError(field, values, rule)
    try:
        given = list(values)
    except TypeError:
        raise InvalidInputError(field, values, rule) from None
    names: list[str] = []
    for name in [text(field, value) for value in given]:
        if name in names:
            raise InvalidInputError(field, given, f"has {shown(name)} twice")
        names.append(name)
    return tuple(names)
