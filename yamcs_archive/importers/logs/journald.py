"""Entries of journald, as ``journalctl -o json`` and ``-o export`` print them; recognised by the first byte.

1. The generation time is the sender's (``_SOURCE_REALTIME_TIMESTAMP``), or else that of the reception
   (``__REALTIME_TIMESTAMP``), which is the reception time in either case.
2. The source is ``SYSLOG_IDENTIFIER``, or else the command, the unit or the transport. ``MESSAGE_ID`` is the
   type. All other fields are in ``extra``, but for ``__SEQNUM``, which only newer versions print. The number
   is made from ``__CURSOR`` alone: an entry that is exported again with other fields is a conflict.
3. A field that occurs several times is a list of JSON in ``extra``. The bytes of a field that is not UTF-8
   are shown as ``\\xNN``; a message that is not UTF-8 is rejected, or kept on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from yamcs_archive.event import Event, Severity
from yamcs_archive.files.lines import without_mark
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.files.utf8 import decoded
from yamcs_archive.importers.logs import severities
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.journal_export import entries, fields_of
from yamcs_archive.importers.logs.json_values import object_of, text_of
from yamcs_archive.importers.logs.lines import BLANKS, records_of_lines
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.numbering import text_number
from yamcs_archive.wire.framing import pieces

_RECEIVED, _SENT = "__REALTIME_TIMESTAMP", "_SOURCE_REALTIME_TIMESTAMP"
_SOURCES = ("SYSLOG_IDENTIFIER", "_COMM", "_SYSTEMD_UNIT", "_TRANSPORT")
_IN_CURSOR = ("__SEQNUM", "__SEQNUM_ID")
_SEPARATOR = b"\x1e"
"""Stands before each object of ``journalctl -o json-seq``."""
_DIGITS_MAX = 19
"""Most digits of a time: those of the greatest number of 64 bits."""


class Journal:
    """The form of such entries. ``keep_invalid``: a message that is not UTF-8 is kept, see ``log_reader``."""

    unit = "entry"

    def __init__(self, clock: Clock, *, keep_invalid: bool = False) -> None:
        self._clock = clock
        self._keep_invalid = keep_invalid
        self._json = False

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the lines of JSON, or the entries."""
        supply = without_mark(pieces(chunks))
        head = next((chunk for chunk in supply if chunk.strip(BLANKS)), b"")
        self._json = head.lstrip(BLANKS + _SEPARATOR)[:1] == b"{"
        whole = chain([head], supply)
        if self._json:
            self.unit = "line"
            return records_of_lines(whole)
        return entries(whole)

    def event_of(self, raw: bytes) -> Event:
        """Return the event of an entry.

        >>> from yamcs_archive.importers.logs.clock import Zone
        >>> journal = Journal(Clock(Zone.named("UTC")))
        >>> journal.event_of(b"__REALTIME_TIMESTAMP=5\\nPRIORITY=4\\n_COMM=su\\nMESSAGE=failed\\n").source
        'su'
        """
        fields = object_of(raw.lstrip(_SEPARATOR)) if self._json else fields_of(raw)
        if "MESSAGE" in fields and fields["MESSAGE"] is None:
            raise Unfit("its MESSAGE was left out, because it is long: export with journalctl --all")
        extra: dict[str, str] = {}
        message = self._message(fields.pop("MESSAGE", ""), extra)
        received = _micros(fields.pop(_RECEIVED, None))
        sent = _micros(fields.get(_SENT))
        if sent is not None:
            del fields[_SENT]
        time = received if sent is None else sent
        if time is None:
            raise Unfit(f"has no {_RECEIVED}")
        source = next((name for name in _SOURCES if isinstance(fields.get(name), str) and fields[name]), None)
        named = "journald" if source is None else fields[source]
        if source == _SOURCES[0]:
            del fields[source]
        kind = fields.pop("MESSAGE_ID", None)
        for name, value in fields.items():
            if value is not None and name not in _IN_CURSOR:
                extra[name] = value if isinstance(value, str) else _text(value)
        severity = _severity(fields.get("PRIORITY"))
        cursor = fields.get("__CURSOR")
        return Event(
            message,
            str(named),
            severity,
            None if kind is None else _text(kind),
            self._clock.instant(time),
            text_number(cursor) if isinstance(cursor, str) else None,
            received,
            extra=extra,
        )

    def _message(self, value: object, extra: dict[str, str]) -> str:
        if isinstance(value, str):
            return value
        raw = _bytes(value)
        if raw is None:
            texts = value if isinstance(value, list) else [value]
            return "\n".join(_text(text) for text in texts)
        text, kept = decoded(raw, "MESSAGE", keep=self._keep_invalid)
        extra.update(kept)
        return text


def _severity(priority: object) -> Severity:
    if isinstance(priority, str) and len(priority) == 1 and priority in "01234567":
        return severities.SYSLOG[int(priority)]
    return Severity.INFO


def _micros(value: object) -> int | None:
    if isinstance(value, list) and value:
        value = value[0]
    if value is None:
        return None
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX):
        raise Unfit(f"its time {text[:40]!r} is not a number of microseconds")
    return int(text)


def _bytes(value: object) -> bytes | None:
    """Return the bytes of a value that JSON has as a list of numbers; None if it is none."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list) and value and all(type(each) is int and 0 <= each <= 255 for each in value):
        return bytes(value)
    return None


def _text(value: object) -> str:
    raw = _bytes(value)
    if raw is not None:
        return raw.decode(errors="backslashreplace")
    if isinstance(value, list):
        return text_of([_text(each) for each in value])
    return text_of(value)


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log."""
    return opened(source, options, lambda clock, how: Journal(clock, keep_invalid=how.keep_invalid_utf8))
