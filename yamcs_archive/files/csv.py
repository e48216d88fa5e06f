"""CSV with the columns of :mod:`~yamcs_archive.wire.event_csv`, in any order, as far as they are there.

1. The first record names the columns, and so the delimiter: a comma, a semicolon or a tab. A column that has
   no known name is an error: what was misspelt must not be lost in silence. ``generationTime``, ``seqNumber``
   and ``message`` have to be there.
2. The fields of a piece are found at once (:mod:`~yamcs_archive.files.csv_split`), and each column is read at
   once; where one value is unusual, the records of the piece are read one by one, by the same rules.
3. Times are RFC 3339. What a spreadsheet made of them has no zone, and often no seconds: it is refused.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import msgspec
import numpy as np

from yamcs_archive.columns import NO_EXTENSIONS, NO_EXTRA, Columns
from yamcs_archive.errors import BadTimeError, InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.files.csv_split import Places, Split, split
from yamcs_archive.files.lines import without_mark
from yamcs_archive.files.reading import EventReader, Ordinals, ReadOptions, Rejected, Source
from yamcs_archive.files.utf8 import decoded
from yamcs_archive.files.writing import EventWriter, Records
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.times import parse_rfc3339
from yamcs_archive.wire import bulk
from yamcs_archive.wire.event_csv import HEADINGS, heading
from yamcs_archive.wire.framing import pieces, too_long
from yamcs_archive.wire.json import extensions_of

_NEEDED = ("generationTime", "seqNumber", "message")
_DELIMITERS = b",;\t"
_QUOTE = ord('"')
_END = re.compile(rb"\r\n|\r|\n")
_NUMBER = re.compile(r"-?[0-9]{1,11}")
_SEVERITIES = dict(Severity.__members__)
_SPREADSHEET = (
    "has no zone, as RFC 3339 has: 2026-11-23T12:00:00Z. If a spreadsheet has rewritten it, it is no longer"
    " the whole time: import the file as it was exported"
)
_NO_ZONE = re.compile(r"[0-9./:, T-]+( ?[AP]M)?", re.IGNORECASE)
_read_extra = msgspec.json.Decoder(dict[str, str]).decode
_UNUSUAL = (InvalidInputError, KeyError, ValueError, OverflowError, msgspec.MsgspecError)

_SHOWN_BYTES = 60


class EventRecords:
    """Reads them; empty lines are passed over.

    >>> import io
    >>> file = io.BytesIO(b"seqNumber;generationTime;message\\n7;1970-01-01T00:00:01Z;a\\n")
    >>> reader = EventRecords(Source(file, "a.csv"), ReadOptions())
    >>> [part.event(0).seq_number for part in reader.parts()], reader.place(0)
    ([7], 'line 2')
    """

    def __init__(self, source: Source, options: ReadOptions) -> None:
        self._source = source
        self._options = options
        self._lines = Ordinals()
        self._position = 0
        self._names: tuple[str, ...] = ()
        self._is_in_long_line = False

    def parts(self) -> Iterator[Columns[int | None]]:
        try:
            for piece, found in self._pieces():
                events = self._together(piece, found)
                if events is None:
                    yield from self._one_by_one(piece, found)
                else:
                    self._count(found)
                    yield events
        except InvalidInputError as error:
            if error.position is None:
                error.position = self._position
            raise

    def place(self, position: int) -> str:
        return f"line {self._lines.of(position)}"

    def _pieces(self) -> Iterator[tuple[bytes, Split]]:
        """Yield whole records, many at once, and where their fields are; refuse what cannot be split."""
        held = b""
        delimiter = 0
        for chunk in chain(without_mark(pieces(self._source.chunks())), (None,)):
            held = self._after_long_line(held + (chunk or b""))
            is_last = chunk is None
            if held and not delimiter and (is_last or _END.search(held)):
                line, held = _first_line(held)
                self._names, delimiter = _heading(line)
                self._lines.skip(0)
            while held and delimiter:
                found = split(held, delimiter, is_last=is_last)
                if found.records:
                    yield held[: found.used], found
                    held = held[found.used :]
                if not found.malformed and len(held) <= BODY_BYTES_MAX:
                    break
                if not (is_last or _END.search(held)):
                    break
                line, held = _first_line(held)
                self._refuse(line, _record_error(line, _QUOTES))
            if len(held) > BODY_BYTES_MAX:
                self._refuse(held, too_long(len(held)))
                self._is_in_long_line, held = True, b""

    def _after_long_line(self, held: bytes) -> bytes:
        """Return what follows the end of a line that was too long; all, if there was none."""
        if self._is_in_long_line:
            self._is_in_long_line = _END.search(held) is None
            return b"" if self._is_in_long_line else _first_line(held)[1]
        return held

    def _refuse(self, record: bytes, error: InvalidInputError, lines: int = 1) -> None:
        if self._options.reject is None:
            error.position = self._position
            raise error
        place = self.place(self._position)
        self._lines.skip(self._position, lines)
        self._options.reject(Rejected(place, record, str(error)))

    def _count(self, found: Split) -> None:
        """Count the records of a piece, which are all events."""
        for at in np.flatnonzero(found.lines > 1).tolist():
            self._lines.skip(self._position + at + 1, int(found.lines[at]) - 1)
        self._position += found.records

    def _together(self, piece: bytes, found: Split) -> Columns[int | None] | None:
        """Return the events of records that are all common ones, column by column; else None."""
        if (found.counts != len(self._names)).any():
            return None
        try:
            return _columns(_Fields.of(piece, found, self._names))
        except _UNUSUAL:
            return None

    def _one_by_one(self, piece: bytes, found: Split) -> Iterator[Columns[int | None]]:
        events: list[Event] = []
        ends = found.counts.cumsum().tolist()
        starts, stops = found.starts.tolist(), found.stops.tolist()
        try:
            for end, count, lines in zip(ends, found.counts.tolist(), found.lines.tolist(), strict=True):
                begin, stop = starts[end - count], stops[end - 1]
                if begin == stop:
                    self._lines.skip(self._position)
                    continue
                record = piece[begin:stop]
                fields = [piece[starts[at] : stops[at]] for at in range(end - count, end)]
                try:
                    events.append(self._event(record, fields))
                except InvalidInputError as error:
                    self._refuse(record, error, lines)
                else:
                    self._position += 1
                    if lines > 1:
                        self._lines.skip(self._position, lines - 1)
        except InvalidInputError:
            if events:
                yield Columns.of(events)
            raise
        if events:
            yield Columns.of(events)

    def _event(self, record: bytes, fields: list[bytes]) -> Event:
        """Return the event of one record, by the rules."""
        if len(fields) != len(self._names):
            rule = f"has {len(fields)} fields, and the heading {len(self._names)}"
            raise _record_error(record, rule)
        _, kept = decoded(record, "record", keep=self._options.keep_invalid_utf8)
        texts = dict(zip(self._names, map(_text, fields), strict=True))
        extra = texts.get("extra")
        return Event(
            texts["message"] or "",
            source=texts.get("source") or "",
            severity=Severity.parse(texts.get("severity") or Severity.INFO.name),
            type=texts.get("type"),
            generation_time=_time(texts["generationTime"], "generationTime"),
            seq_number=_number(texts["seqNumber"]),
            reception_time=_time(texts.get("receptionTime"), "receptionTime"),
            created_by=texts.get("createdBy"),
            extensions=extensions_of(texts.get("extensions") or "", own=True),
            extra=(_extra(extra) if extra else {}) | kept,
        )


_QUOTES = "has a quote within a field, or one that is never closed"


def _first_line(held: bytes) -> tuple[bytes, bytes]:
    """Return the first line, without its end, and what follows it."""
    end = _END.search(held)
    return (held, b"") if end is None else (held[: end.start()], held[end.end() :])


def _record_error(record: bytes, rule: str) -> InvalidInputError:
    return InvalidInputError("record", record[:_SHOWN_BYTES].decode(errors="replace"), rule)


def _heading(line: bytes) -> tuple[tuple[str, ...], int]:
    """Return the names of the columns, and the delimiter between them."""
    text = line.decode(errors="replace")
    several = (text.split(chr(delimiter)) for delimiter in _DELIMITERS)
    names, delimiter = max(zip(several, _DELIMITERS, strict=True), key=lambda found: len(found[0]))
    names = [name.strip().strip('"') for name in names]
    unknown = [name for name in names if name not in HEADINGS]
    missing = [name for name in _NEEDED if name not in names]
    if unknown or missing:
        rule = f"must name the columns: some of {', '.join(HEADINGS)}"
        what = f"{', '.join(missing)} missing" if not unknown else f"{unknown[0]!r} is none of them"
        if "Generation Time" in names:
            what = "those of a Yamcs server's export are read with --format yamcs-csv"
        if "seq_number" in names:
            what = (
                "what events log --format csv shows is for people: events export writes a file that is read"
            )
        raise InvalidInputError("heading", text, f"{rule}; {what}")
    if len(set(names)) < len(names):
        raise InvalidInputError("heading", text, "names a column twice")
    return tuple(names), delimiter


def _text(field: bytes) -> str | None:
    """Return the text of a field; None for an absent one."""
    if not field:
        return None
    text = field.decode(errors="replace")
    return text[1:-1].replace('""', '"') if field[0] == _QUOTE else text


def _time(text: str | None, name: str) -> int | None:
    if not text:
        return None
    try:
        return parse_rfc3339(text, name)
    except BadTimeError:
        if _NO_ZONE.fullmatch(text):
            raise BadTimeError(name, text, _SPREADSHEET) from None
        raise


def _number(text: str | None) -> int | None:
    if not text:
        return None
    if not _NUMBER.fullmatch(text):
        raise InvalidInputError("seqNumber", text, "must be a whole number")
    return int(text)


def _extra(text: str) -> dict[str, str]:
    try:
        return _read_extra(text)
    except msgspec.MsgspecError as error:
        raise InvalidInputError("extra", text, f"must be a JSON object of text values: {error}") from None


class _Fields(NamedTuple):
    """The fields of many records, all of one number."""

    piece: bytes
    text: str
    names: tuple[str, ...]
    starts: Places
    """For each record a row, for each column of it where its text begins, without its quotes."""
    stops: Places
    absent: Any
    """Likewise, whether it has nothing, not even quotes."""
    escaped: bool
    """Whether there is a doubled quote within a field."""

    @classmethod
    def of(cls, piece: bytes, found: Split, names: tuple[str, ...]) -> _Fields:
        """Raise UnicodeDecodeError for what is not UTF-8."""
        text = piece.decode()
        shape = (found.records, len(names))
        starts, stops = found.starts.reshape(shape), found.stops.reshape(shape)
        absent = starts == stops
        first = np.frombuffer(piece, np.uint8)[np.minimum(starts, len(piece) - 1)]
        quoted = (first == _QUOTE) & ~absent
        escaped = piece.count(b'"') != 2 * int(quoted.sum())
        return cls(piece, text, names, starts + quoted, stops - quoted, absent, escaped)

    def texts(self, name: str) -> list[str | None] | None:
        """Return the texts of a column, None for an absent one; None if all are."""
        if name not in self.names:
            return None
        column = self.names.index(name)
        absent = self.absent[:, column]
        if absent.all():
            return None
        bounds = zip(self.starts[:, column].tolist(), self.stops[:, column].tolist(), strict=True)
        found: list[str | None]
        if len(self.text) == len(self.piece):
            text = self.text
            found = [text[start:stop] for start, stop in bounds]
        else:
            piece = self.piece
            found = [piece[start:stop].decode() for start, stop in bounds]
        if self.escaped:
            found = [each.replace('""', '"') for each in found if each is not None]
        for at in np.flatnonzero(absent).tolist():
            found[at] = None
        return found


def _columns(fields: _Fields) -> Columns[int | None]:
    """Return the events of many records; raises one of _UNUSUAL where a field is for the rules."""
    size = len(fields.starts)
    nothing: list[Any] = [None] * size
    severity, extensions, extra = (fields.texts(name) for name in ("severity", "extensions", "extra"))
    received = fields.texts("receptionTime")
    return Columns(
        [text or "" for text in fields.texts("message") or nothing],
        [text or "" for text in fields.texts("source") or nothing],
        [Severity.INFO] * size if severity is None else [_SEVERITIES[name or "INFO"] for name in severity],
        fields.texts("type") or nothing,
        _times(fields.texts("generationTime")),
        _numbers(fields.texts("seqNumber")),
        nothing if received is None else _times(received),
        fields.texts("createdBy") or nothing,
        [NO_EXTENSIONS] * size
        if extensions is None
        else [extensions_of(text, own=True) if text else NO_EXTENSIONS for text in extensions],
        [NO_EXTRA] * size if extra is None else [_read_extra(text) if text else NO_EXTRA for text in extra],
    )


def _times(texts: list[str | None] | None) -> array[int]:
    found = None if texts is None or None in texts else bulk.parse_times(texts)  # type: ignore[arg-type]  # none is None
    if found is None:
        raise ValueError("for the rules")
    return found


def _numbers(texts: list[str | None] | None) -> array[int]:
    if texts is None or None in texts:
        raise ValueError("for the rules")
    together = "".join(texts)  # type: ignore[arg-type]  # none of them is None
    if not (together.isascii() and together.replace("-", "").isdigit()):
        raise ValueError("for the rules")
    return array("q", map(int, texts))  # type: ignore[arg-type]  # likewise


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a file."""
    return EventRecords(source, options)


def open_writer() -> EventWriter:
    """Return a writer of a file."""
    return Records(bulk.encode_csv_records, heading())
