"""Maps of msgpack, one after another, with the fields of the objects in ``jsonl``.

After bytes that are no map, the next map can be found; after bytes that are no msgpack, or the end within an
element, nothing can: that ends the reading, even with a reject function.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.files.reading import EventReader, Ordinals, ReadOptions, Reject, Rejected, Source
from yamcs_archive.files.writing import EventWriter, Records
from yamcs_archive.wire import batch, bulk


class Maps:
    """Reads them. The creator and the extensions of an event are taken as given.

    >>> import io
    >>> file = io.BytesIO(bytes.fromhex("82a76d657373616765a161a474696d6505"))  # {"message": "a", "time": 5}
    >>> [part.message for part in Maps(Source(file, "a.msgpack"), ReadOptions()).parts()]
    [['a']]
    """

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._source = source
        self._options = options
        self._elements = Ordinals()

    def parts(self) -> Iterator[Columns[int | None]]:
        reject = None if self._options.reject is None else partial(self._refuse, self._options.reject)
        for part in batch.from_msgpack(self._source.chunks(), own=True, reject=reject):
            yield part.events

    def place(self, position: int) -> str:
        return f"element {self._elements.of(position)}"

    def _refuse(self, reject: Reject, element: object, error: InvalidInputError) -> None:
        position = error.position or 0
        place = self.place(position)
        self._elements.skip(position)
        reject(Rejected(place, repr(element).encode(errors="backslashreplace"), str(error)))


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a file."""
    return Maps(source, options)


def open_writer() -> EventWriter:
    """Return a writer of a file."""
    return Records(bulk.encode_msgpack_maps)
