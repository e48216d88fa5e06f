"""Stored events -> Arrow record batches. Numbers and codes go over as they are; only texts are copied.

1. Of the events only the chosen columns are touched, so that the storage decodes no others.
2. The dictionaries of a stream grow: each batch's has that of the batch before it as its beginning, and codes
   stay what they are. So consumers have little to unify. A dictionary of more than :data:`DICTIONARY_MAX`
   values begins anew, because the types of events may all be different.
3. Small parts are joined to one batch, up to :data:`JOINED_EVENTS` events, :data:`JOINED_BYTES` of messages
   or :data:`HELD_BYTES` of the blocks that they are decoded from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event import SEVERITIES
from yamcs_archive.event_vectors import DictColumn, Vectors
from yamcs_archive.frames.columns import Selection
from yamcs_archive.frames.library import load
from yamcs_archive.frames.schema import SEVERITY_NAMES, schema_of
from yamcs_archive.frames.texts import message_array
from yamcs_archive.joined_vectors import JoinedVectors

if TYPE_CHECKING:
    import pyarrow

DICTIONARY_MAX = 1 << 16
"""Most values of a dictionary that grows: those of a few megabytes."""
JOINED_EVENTS, JOINED_BYTES, HELD_BYTES = 4_096, 1 << 20, 16 << 20
"""Smaller parts are joined with the ones after them. A usual block takes some 0.3 MB while it is held."""
_LEVELS = bytes([severity.rank for severity in SEVERITIES]).ljust(256)
"""The rank of each number of a severity, to translate bytes: in a quarter of the time of numpy's indexing."""


def batches(parts: Iterable[Vectors], selection: Selection) -> Iterator[pyarrow.RecordBatch]:
    """Yield record batches with the events of all parts, in their order; none is empty.

    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event import Event
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> event = Event("Wheel", "AOCS", generation_time=1, seq_number=2, reception_time=3)
    >>> part = StoredVectors.of(Columns.of([event]), commit=4)
    >>> [batch] = batches([part, part], Selection.of(["source", "message", "commit"]))
    >>> batch.to_pylist()[1]
    {'source': 'AOCS', 'message': 'Wheel', 'commit': 4}
    """
    maker = BatchMaker(selection)
    joined: list[Vectors] = []
    messages: list[Any] = []
    events = text_bytes = held_bytes = 0
    for part in parts:
        joined.append(part)
        events += part.size
        held_bytes += part.held_bytes
        if maker.has_messages:
            messages.append(message_array(part))
            text_bytes += messages[-1].get_total_buffer_size()
        if events >= JOINED_EVENTS or text_bytes >= JOINED_BYTES or held_bytes >= HELD_BYTES:
            yield maker.batch(joined, messages)
            joined, messages, events, text_bytes, held_bytes = [], [], 0, 0, 0
    if joined:
        yield maker.batch(joined, messages)


class BatchMaker:
    """Makes the record batches of one stream, all of one schema."""

    def __init__(self, selection: Selection) -> None:
        pa = self._pa = load()
        self.selection = selection
        self.schema = schema_of(selection)
        self._severities = pa.array(SEVERITY_NAMES, pa.string())
        self._no_extensions, self._no_extra = _Empty(self._without_extensions), _Empty(self._without_extra)
        growing = {name: _GrowingDictionary(pa) for name in ("source", "type", "created_by")}
        made: dict[str, Callable[[Vectors], Any] | None] = {
            "time": lambda events: self._times(events.times),
            "source": lambda events: growing["source"].encoded(events.sources),
            "seq_number": lambda events: self._fixed(pa.int32(), events.numbers.astype(np.int32)),
            "severity": self._severity,
            "level": self._level,
            "message": None,
            "type": lambda events: growing["type"].encoded(events.types),
            "reception_time": lambda events: self._times(events.received),
            "created_by": lambda events: growing["created_by"].encoded(events.users),
            "extensions": self._extensions,
            "extra": self._extra,
            "commit": lambda events: self._fixed(pa.int64(), events.commits),
        }
        self._makers = [made[name] for name in selection.columns]
        self.has_messages = "message" in selection.columns

    def batch(self, parts: list[Vectors], messages: list[Any]) -> pyarrow.RecordBatch:
        """Return the chosen columns of the next parts of a stream as one batch; each part has its messages.

        Raises DamagedError where a block cannot be decoded.
        """
        events = parts[0] if len(parts) == 1 else JoinedVectors(parts)
        columns = [make(events) if make else _concat(messages) for make in self._makers]
        if self.selection.extra:
            extra = events.extra or [{}] * events.size
            columns += [
                self._pa.array([more.get(key) for more in extra], self._pa.string())
                for key in self.selection.extra
            ]
        return self._pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _fixed(self, kind: Any, values: npt.NDArray[Any]) -> pyarrow.Array:
        """Return a column of numbers that shares the memory of a vector."""
        values = np.ascontiguousarray(values)
        return self._pa.Array.from_buffers(kind, len(values), [None, self._pa.py_buffer(values)])

    def _times(self, values: npt.NDArray[np.int64]) -> pyarrow.Array:
        return self._fixed(self._pa.timestamp("us", "UTC"), values)

    def _severity(self, events: Vectors) -> pyarrow.Array:
        codes = self._fixed(self._pa.int8(), events.severities)
        return self._pa.DictionaryArray.from_arrays(codes, self._severities, ordered=True, safe=False)

    def _level(self, events: Vectors) -> pyarrow.Array:
        levels = events.severities.tobytes().translate(_LEVELS)
        return self._pa.Array.from_buffers(self._pa.int8(), len(levels), [None, self._pa.py_buffer(levels)])

    def _without_extensions(self, size: int) -> pyarrow.Array:
        pa = self._pa
        starts = pa.py_buffer(np.zeros(size + 1, np.int32))
        return pa.Array.from_buffers(pa.binary(), size, [None, starts, pa.py_buffer(b"")])

    def _without_extra(self, size: int) -> pyarrow.Array:
        pa = self._pa
        starts, nothing = self._fixed(pa.int32(), np.zeros(size + 1, np.int32)), pa.array([], pa.string())
        return pa.MapArray.from_arrays(starts, nothing, nothing)

    def _extensions(self, events: Vectors) -> pyarrow.Array:
        pa, extensions = self._pa, events.extensions
        if extensions is not None:
            return pa.array(extensions, pa.binary())
        return self._no_extensions.of(events.size)

    def _extra(self, events: Vectors) -> pyarrow.Array:
        pa, extra = self._pa, events.extra
        if extra is None:
            return self._no_extra.of(events.size)
        starts = np.fromiter(accumulate(map(len, extra), initial=0), np.int32, len(extra) + 1)
        names = pa.array(list(chain.from_iterable(extra)), pa.string())
        values = pa.array(list(chain.from_iterable([more.values() for more in extra])), pa.string())
        return pa.MapArray.from_arrays(self._fixed(pa.int32(), starts), names, values)


class _Empty:
    """The column of events that have nothing: batches share it, which is less memory to fill."""

    def __init__(self, make: Callable[[int], Any]) -> None:
        self._make = make
        self._known = make(0)

    def of(self, size: int) -> pyarrow.Array:
        if len(self._known) < size:
            self._known = self._make(size)
        return self._known if len(self._known) == size else self._known.slice(0, size)


def _concat(arrays: list[Any]) -> pyarrow.Array:
    return arrays[0] if len(arrays) == 1 else load().concat_arrays(arrays)


class _GrowingDictionary(dict[str | None, int]):
    """The values of one column of a stream so far, each with its code.

    None has a code that is there, because some readers check the codes of nulls too.
    """

    def __init__(self, pa: Any) -> None:
        super().__init__({None: 0})
        self._pa = pa
        self._values = pa.array([], pa.string())
        self._nulls = _Empty(lambda size: pa.nulls(size, pa.int32()))
        self._known: list[str | None] = []
        """The table of an earlier column, all of it in here; neighbours often have the same."""
        self._known_codes: npt.NDArray[np.int32] | None = None
        """The codes of its values; None: they are the same here."""

    def encoded(self, column: DictColumn) -> pyarrow.DictionaryArray:
        """Return a column with the codes of this dictionary, to which its new values are added."""
        pa = self._pa
        if column.values == [None]:
            return pa.DictionaryArray.from_arrays(self._nulls.of(len(column.codes)), self._values, safe=False)
        if column.values != self._known:
            column = self._with_known_table(column)
        codes = np.ascontiguousarray(column.codes)
        if self._known_codes is not None:
            codes = self._known_codes.take(codes)
        valid = None
        if None in column.values:
            holds = column.codes != column.values.index(None)
            valid = pa.py_buffer(np.packbits(holds, bitorder="little"))
        indexes = pa.Array.from_buffers(pa.int32(), len(codes), [valid, pa.py_buffer(codes)])
        return pa.DictionaryArray.from_arrays(indexes, self._values, safe=False)

    def _with_known_table(self, column: DictColumn) -> DictColumn:
        """Return the same column, all of whose values are in here, and remember their codes."""
        code = list(map(self.get, column.values))
        if None in code:
            column = column.used()  # so that the dictionary has no value that no event has
            self._add(column.values)
            code = list(map(self.__getitem__, column.values))
        self._known = column.values
        self._known_codes = None if code == list(range(len(code))) else np.array(code, np.int32)
        return column

    def _add(self, values: list[str | None]) -> None:
        if len(self) + len(values) > DICTIONARY_MAX + 1:
            self.clear()
            self[None] = 0
        known = len(self)
        for value in values:
            self.setdefault(value, len(self) - 1)
        if len(self) != known:
            self._values = self._pa.array(list(self)[1:], self._pa.string())
