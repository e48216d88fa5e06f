"""The codec of CSV: streams of events with a line of headings before them; pure."""

from __future__ import annotations

from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import bulk, csv
from yamcs_archive.wire.codec import CSV


class CsvCodec:
    """Writes the columns and the delimiter that a request names, None for the usual ones.

    Raises InvalidInputError for a name of none.

    >>> CsvCodec(None, "COMMA").headings()
    b'Source,Generation Time,Reception Time,Event Type,Event Text\\n'
    """

    media = CSV

    def __init__(self, columns: str | None, delimiter: str | None) -> None:
        self._columns = csv.columns_of(columns)
        self._delimiter = csv.delimiter_of(delimiter)

    def headings(self) -> bytes:
        """Return the first line."""
        return csv.line([heading for heading, _ in self._columns], self._delimiter)

    def stream(self, events: StoredVectors) -> bytes:
        """Return the lines of some events."""
        if self._columns is csv.PLAIN:
            return bulk.encode_csv_rows(events, self._delimiter)
        return b"".join(csv.lines(events.events(), self._columns, self._delimiter))
