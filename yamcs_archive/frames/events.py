"""Arrow -> events: record batches, from this archive or from elsewhere, become columns that can be appended.

1. Columns are known by their names (:mod:`~yamcs_archive.frames.columns`). ``time`` and ``message`` must be
   there; what else is missing or null gets the default of :class:`~yamcs_archive.event.Event`. ``level``
   counts only where there is no ``severity``; ``commit`` is not read, because the new archive assigns its
   own.
2. Types may be others than those that :mod:`~yamcs_archive.frames.schema` writes, if they say the same: text
   with or without a dictionary, in any layout; times in any unit with a time zone, as RFC 3339 text, or as
   integers, which are microseconds since 1970; severities by name or number; ``extra`` as a map, as a list of
   pairs, as a struct, or as text that is a JSON object.
3. What does not fit is an InvalidInputError that names the column; ``position`` is the row, from 0, if one
   row is at fault. The rules of events themselves are checked when they are appended.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import SOURCE_DEFAULT, Severity
from yamcs_archive.frames.columns import ALL_COLUMNS, Selection, nearest
from yamcs_archive.frames.library import load
from yamcs_archive.frames.values import at_row, byte_strings, integers, severities, texts, times, wrong_type

if TYPE_CHECKING:
    import pyarrow

NEEDED = ("time", "message")
"""The columns that must be there."""
PART_EVENTS = 10_000
"""Most events that are taken over at once."""
_json = msgspec.json.Decoder(dict[str, str])


def columns_from(data: Any, extra_columns: Iterable[str] = ()) -> Iterator[Columns[int | None]]:
    """Return an iterator over the events of anything that speaks Arrow's protocol, ready to be appended.

    ``data`` may be a DataFrame of pandas or polars, a relation of duckdb, a table or a reader of pyarrow, or
    a ``pyarrow.parquet.ParquetFile``, which is read in batches. The ``extra_columns`` of it are put into
    ``extra``, under their names. Raises InvalidInputError for columns that do not fit, at once; for values
    that do not fit when their part is read.

    >>> pa = load()
    >>> data = pa.table({"time": [1, 2], "message": ["Boot", "Wheel"], "torque": [None, "0.3"]})
    >>> [columns] = columns_from(data, ["torque"])
    >>> columns.message, columns.extra, columns.source
    (['Boot', 'Wheel'], [{}, {'torque': '0.3'}], ['User', 'User'])
    """
    reader = _reader(data)
    keys = Selection.of(extra_columns=extra_columns).extra
    check_schema(reader.schema, keys)
    return _parts(reader, keys)


def _reader(data: Any) -> Any:
    """Return a reader of record batches."""
    pa = load()
    if hasattr(data, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(data)
    if hasattr(data, "__arrow_c_array__"):
        return pa.RecordBatchReader.from_stream(pa.table(data))
    if hasattr(data, "iter_batches"):
        return pa.RecordBatchReader.from_batches(data.schema_arrow, data.iter_batches(PART_EVENTS))
    raise InvalidInputError("data", type(data).__name__, "must be a table that speaks Arrow's protocol")


def _parts(reader: Any, extra_columns: tuple[str, ...]) -> Iterator[Columns[int | None]]:
    row = 0
    for batch in reader:
        for start in range(0, batch.num_rows, PART_EVENTS):
            part = batch.slice(start, PART_EVENTS)
            try:
                columns = columns_of(part, extra_columns)
            except InvalidInputError as error:
                if error.position is not None:
                    error.position += row
                raise
            yield columns
            row += part.num_rows


def check_schema(schema: pyarrow.Schema, extra_columns: Sequence[str] = ()) -> None:
    """Raise InvalidInputError unless these are columns of events; types are checked with the values.

    >>> pa = load()
    >>> check_schema(pa.schema([("time", pa.int64()), ("mesage", pa.string())]))
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: column 'mesage': is none of an event: did you mean 'message'? ...
    """
    names = list(schema.names)
    for name in names:
        if names.count(name) > 1:
            raise InvalidInputError("column", name, "is there twice")
        if name not in ALL_COLUMNS and name not in extra_columns:
            raise InvalidInputError(
                "column",
                name,
                f"is none of an event: {nearest(name)} Rename it, leave it out, or name it in extra_columns",
            )
    for name in (*NEEDED, *extra_columns):
        if name not in names:
            raise InvalidInputError("column", name, f"is missing; there are {', '.join(names) or 'none'}")


def columns_of(batch: pyarrow.RecordBatch, extra_columns: Sequence[str] = ()) -> Columns[int | None]:
    """Return the events of a record batch whose schema was checked; InvalidInputError as of rule 3."""
    size = batch.num_rows
    names = batch.schema.names

    def read(name: str, how: Callable[[str, Any], Any], absent: Any) -> Any:
        return how(name, batch.column(name)) if name in names else [absent] * size

    message = read("message", texts, "")
    if None in message:
        raise at_row(message.index(None), InvalidInputError("message", None, "must be text"))
    return Columns(
        message,
        _filled(read("source", texts, SOURCE_DEFAULT), SOURCE_DEFAULT),
        read("severity" if "severity" in names else "level", severities, Severity.INFO),
        read("type", texts, None),
        read("time", times, None),
        read("seq_number", integers, None),
        read("reception_time", times, None),
        read("created_by", texts, None),
        _filled(read("extensions", byte_strings, NO_EXTENSIONS), NO_EXTENSIONS),
        _with_columns(read("extra", _extras, NO_EXTRA), batch, extra_columns),
    )


def _filled(column: list[Any], default: Any) -> list[Any]:
    return [default if value is None else value for value in column] if None in column else column


def _extras(name: str, column: Any) -> list[dict[str, str]]:
    pa = load()
    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if pa.types.is_null(kind) or (is_list and pa.types.is_null(kind.value_type)):  # as pandas writes no pairs
        return [NO_EXTRA] * len(column)
    if pa.types.is_struct(kind):
        return [_of_struct(name, row, value) for row, value in enumerate(column.to_pylist())]
    if pa.types.is_map(kind) or is_list:
        return _of_pairs(name, column)
    if pa.types.is_dictionary(kind) or not pa.types.is_nested(kind):
        return [_of_json(name, row, text) for row, text in enumerate(texts(name, column))]
    raise wrong_type(name, column, "must be a map of text to text")


def _of_pairs(name: str, column: Any) -> list[dict[str, str]]:
    """Return the dictionaries of a map, or of a list of structs of a key and a value."""
    pa = load()
    kind = column.type
    if pa.types.is_map(kind):
        keys, items = column.keys, column.items
    else:
        inner = kind.value_type
        if not pa.types.is_struct(inner) or inner.num_fields != 2:
            raise wrong_type(name, column, "must be a map of text to text, or a list of pairs")
        keys, items = column.values.field(0), column.values.field(1)
    ends = column.offsets.to_numpy(zero_copy_only=False).tolist()
    first, last = ends[0], ends[-1]
    if first == last:
        return [NO_EXTRA] * len(column)
    names = texts(name, keys.slice(first, last - first))
    values = texts(name, items.slice(first, last - first))
    found: list[dict[str, str]] = []
    valid = column.is_valid().to_pylist() if column.null_count else None
    for row in range(len(column)):
        start, stop = ends[row] - first, ends[row + 1] - first
        if start == stop or (valid is not None and not valid[row]):
            found.append(NO_EXTRA)
            continue
        pairs = dict(zip(names[start:stop], values[start:stop], strict=True))
        if len(pairs) != stop - start:
            raise at_row(row, InvalidInputError(name, names[start:stop], "has a key twice"))
        if None in pairs or None in pairs.values():
            raise at_row(row, InvalidInputError(name, pairs, "must have text for each key, and no null"))
        found.append(pairs)  # type: ignore[arg-type]  # it has no None
    return found


def _of_struct(name: str, row: int, value: dict[str, Any] | None) -> dict[str, str]:
    pairs = {key: text for key, text in (value or {}).items() if text is not None}
    for key, text in pairs.items():
        if not isinstance(text, str):
            raise at_row(row, InvalidInputError(f"{name}.{key}", text, "must be text"))
    return pairs or NO_EXTRA


def _of_json(name: str, row: int, text: str | None) -> dict[str, str]:
    if not text:
        return NO_EXTRA
    try:
        return _json.decode(text) or NO_EXTRA
    except msgspec.MsgspecError as error:
        raise at_row(row, InvalidInputError(name, text, f"must be a JSON object of texts: {error}")) from None


def _with_columns(
    extra: list[dict[str, str]], batch: Any, extra_columns: Sequence[str]
) -> list[dict[str, str]]:
    """Add the values of columns to ``extra``; a value that is there already must be the same."""
    for key in extra_columns:
        for row, text in enumerate(texts(key, batch.column(key))):
            if text is None:
                continue
            known = extra[row].get(key, text)
            if known != text:
                raise at_row(row, InvalidInputError(key, text, f"is {known!r} in the column extra"))
            if extra[row] is NO_EXTRA:
                extra[row] = {key: text}
            else:
                extra[row][key] = text
    return extra
