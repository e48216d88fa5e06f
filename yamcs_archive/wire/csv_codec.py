"""The codec of CSV: streams of events with a line of headings before them; pure."""

from __future__ import annotations

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import bulk, csv
from yamcs_archive.wire.codec import CSV


class CsvCodec:
    """Writes events with the columns and the delimiter that a request names.

    ``columns`` is ``all`` for all columns, None for those of a Yamcs server; ``delimiter`` is a name in
    :data:`~yamcs_archive.wire.csv.DELIMITERS`, None for a tab. Raises InvalidInputError for any other name.

    >>> CsvCodec(None, "COMMA").headings()
    b'Source,Generation Time,Reception Time,Event Type,Event Text\\n'
    """

    media = CSV

    def __init__(self, columns: str | None, delimiter: str | None) -> None:
        if columns not in (None, "all"):
            raise InvalidInputError("columns", columns, "must be all, or left out")
        if delimiter is None:
            delimiter = "TAB"
        if delimiter not in csv.DELIMITERS:
            raise InvalidInputError("delimiter", delimiter, f"must be one of {', '.join(csv.DELIMITERS)}")
        self._columns = csv.PLAIN if columns is None else csv.ALL
        self._delimiter = csv.DELIMITERS[delimiter]

    def headings(self) -> bytes:
        """Return the first line."""
        return csv.line([heading for heading, _ in self._columns], self._delimiter)

    def stream(self, events: StoredVectors) -> bytes:
        """Return the lines of some events."""
        if self._columns is csv.PLAIN:
            return bulk.encode_csv_rows(events, self._delimiter)
        return b"".join(csv.lines(events.events(), self._columns, self._delimiter))
