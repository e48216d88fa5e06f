"""Reads a log by a form: records become events with numbers, or are rejected with their place and the reason.

1. An event that is yielded can be stored: every rule of events was checked. So the rejects of a log are known
   before anything of it is stored, as a dry run shows.
2. A log of which nothing could be read is an error as a whole, with its first record; one whose first
   :data:`REJECTED_MAX` records cannot be read is given up.
3. A source that is too long is cut, with a hash of all of it at the end; ``extra`` has all of it as
   ``source``. An empty one is the log's: a name that the user gives, or the file's.
4. Some thousand events are in memory, whatever the size of the file.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from pathlib import Path, PurePath

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, validate
from yamcs_archive.files.compression import bare_name
from yamcs_archive.files.reading import ReadOptions, Rejected, Source
from yamcs_archive.files.utf8 import decoded
from yamcs_archive.importers.logs.clock import Clock, YearOrder, Zone
from yamcs_archive.importers.logs.forms import BinaryForm, Form, Record, Unfit
from yamcs_archive.importers.logs.numbering import Numbering
from yamcs_archive.importers.logs.options import LogOptions
from yamcs_archive.limits import BODY_BYTES_MAX, SOURCE_BYTES_MAX
from yamcs_archive.times import now_us

PART_EVENTS = 1_000
"""Events that are yielded together."""
PART_BYTES = 1 << 20
"""Bytes of records from which on no more events are yielded together: 1 MiB."""
_SOURCE_HASH_CHARACTERS = 8
_SHOWN_BYTES = 200
REJECTED_MAX = 10_000
"""Records that are rejected, none before them being an event, from which on a log is given up."""
MakeForm = Callable[[Clock, LogOptions], Form | BinaryForm]


def opened(source: Source, options: ReadOptions, make: MakeForm) -> LogReader:
    """Return the reader of a log, whose form ``make`` makes."""
    how = options if isinstance(options, LogOptions) else LogOptions(**vars(options))
    zone = Zone.named(how.timezone)
    latest_us = now_us()
    survey = None
    if source.path is not None:
        latest_us = source.path.stat().st_mtime_ns // 1000
        survey = partial(_surveyed, source.path, zone, how, make)
    clock = Clock(zone, latest_us, how.year, survey)
    return LogReader(make(clock, how), source, clock, how)


def _surveyed(path: Path, zone: Zone, options: LogOptions, make: MakeForm) -> YearOrder | None:
    """Read a log only for the order of its times without a year; of one that is cut, up to there."""
    clock = Clock(zone, first_year=2000)
    form = make(clock, options)
    with path.open("rb") as stream, suppress(InvalidInputError):
        for record in form.records(Source(stream, path.name).chunks()):
            with suppress(Unfit, InvalidInputError):
                if isinstance(form, BinaryForm):
                    form.event_of(record.raw)
                else:
                    form.event(record.raw.decode(errors="replace"))
    return clock.surveyed()


class LogReader:
    """Reads one log, once.

    Without a reject function among the options, the first record that is no event ends the reading with
    InvalidInputError, after all events before it.

    >>> import io
    >>> from yamcs_archive.importers.logs.syslog import open_reader
    >>> source = Source(io.BytesIO(b"1970-01-01T00:00:01Z host app[5]: ready\\n"), "-")
    >>> reader = open_reader(source, LogOptions())
    >>> [(part.message, part.source) for part in reader.parts()], reader.place(0)
    ([(['ready'], ['app'])], 'line 1')
    """

    def __init__(
        self, form: Form | BinaryForm, source: Source, clock: Clock, options: LogOptions | None = None
    ) -> None:
        self._form = form
        self._event_of = form.event_of if isinstance(form, BinaryForm) else partial(self._of_text, form)
        self._file = source
        self._clock = clock
        self._options = options or LogOptions()
        self._source = self._options.source or _stem(source.name)
        self._numbering = Numbering()
        self._read = 0
        self._line = 0
        self._rejected = 0
        self._first: Rejected | None = None
        # Where lines that are no events were passed: the position of the next event, and the number of such
        # lines up to there.
        self._passed_at, self._passed = array("q"), array("q")

    def assumptions(self) -> list[str]:
        """Return what was assumed of the times that were read so far, in sentences for people."""
        return self._clock.assumptions()

    def parts(self) -> Iterator[Columns[int | None]]:
        """Yield the events, many at once."""
        events: list[Event] = []
        size = 0
        try:
            for record in self._form.records(self._file.chunks()):
                event = self._event(record)
                if event is None:
                    continue
                self._count(record.line)
                events.append(event)
                size += len(record.raw)
                if len(events) >= PART_EVENTS or size >= PART_BYTES:
                    yield self._numbered(events)
                    events, size = [], 0
        except Exception:
            if events:
                yield self._numbered(events)
            raise
        if events:
            yield self._numbered(events)
        self._check_some()

    def _numbered(self, events: list[Event]) -> Columns[int | None]:
        number = self._numbering.number
        numbers = [number(event) if event.seq_number is None else event.seq_number for event in events]
        columns: Columns[int | None] = Columns.of(events)
        return columns._replace(seq_number=numbers)

    def _check_some(self) -> None:
        """Raise InvalidInputError if nothing could be read."""
        if self._read == 0 and self._first is not None:
            others = f"; nor could the {self._rejected - 1} after it be read" if self._rejected > 1 else ""
            raise InvalidInputError(
                self._first.place,
                self._first.raw[:_SHOWN_BYTES].decode(errors="replace"),
                f"{self._first.reason}{others}",
            )

    def _count(self, line: int) -> None:
        passed = line - self._read - 1
        if passed != (self._passed[-1] if self._passed else 0):
            self._passed_at.append(self._read)
            self._passed.append(passed)
        self._read += 1

    def place(self, position: int) -> str:
        """Return the line of an event by its position, from 0; after the last one, where the reading is."""
        if position >= self._read:
            return f"{self._form.unit} {self._line}"
        nth = bisect_right(self._passed_at, position)
        return f"{self._form.unit} {position + 1 + (self._passed[nth - 1] if nth else 0)}"

    def _event(self, record: Record) -> Event | None:
        self._line = record.line
        try:
            if record.size > BODY_BYTES_MAX:
                raise Unfit(f"has {record.size} bytes, more than {BODY_BYTES_MAX}")
            found = self._event_of(record.raw)
            if found is None:
                return None
            if not 0 < len(found.source) <= SOURCE_BYTES_MAX // 4:
                found = self._with_source(found)
            validate(found)
        except (Unfit, InvalidInputError) as error:
            self._reject(record, error)
            return None
        return found

    def _reject(self, record: Record, error: Exception) -> None:
        rejected = Rejected(f"{self._form.unit} {record.line}", record.raw, str(error))
        if self._options.reject is None:
            shown = record.raw[:_SHOWN_BYTES].decode(errors="replace")
            failure = InvalidInputError(self._form.unit, shown, str(error))
            failure.position = self._read
            raise failure from None
        self._rejected += 1
        self._first = self._first or rejected
        self._options.reject(rejected)
        if self._rejected >= REJECTED_MAX:
            self._check_some()

    def _of_text(self, form: Form, raw: bytes) -> Event | None:
        text, kept = decoded(raw, self._form.unit, keep=self._options.keep_invalid_utf8)
        found = form.event(text)
        return _changed(found, extra=found.extra | kept) if kept and found is not None else found

    def _with_source(self, event: Event) -> Event:
        if not event.source:
            return _changed(event, source=self._source)
        short = short_source(event.source)
        if short == event.source:
            return event
        return _changed(event, source=short, extra={**event.extra, "source": event.source})


def _changed(event: Event, *, source: str = "", extra: dict[str, str] | None = None) -> Event:
    """Return an event with another source, or another extra."""
    return Event(
        event.message,
        source or event.source,
        event.severity,
        event.type,
        event.generation_time,
        event.seq_number,
        event.reception_time,
        event.created_by,
        event.extensions,
        event.extra if extra is None else extra,
    )


def short_source(source: str) -> str:
    """Return a source as it is, or, if it is too long, its beginning and a hash of it.

    >>> short_source("AOCS"), len(short_source("é" * 200).encode())
    ('AOCS', 255)
    """
    raw = source.encode(errors="surrogatepass")  # half a surrogate pair is refused later
    if len(raw) <= SOURCE_BYTES_MAX:
        return source
    end = "~" + blake2b(raw, digest_size=_SOURCE_HASH_CHARACTERS // 2).hexdigest()
    return raw[: SOURCE_BYTES_MAX - len(end)].decode(errors="ignore") + end


def _stem(name: str) -> str:
    """Return the source of a log that names none, by the name of its file.

    >>> _stem("/var/log/dpkg.log.1.gz"), _stem("-")
    ('dpkg', 'stdin')
    """
    stem = PurePath(bare_name(name)).name.partition(".")[0]
    return "stdin" if name == "-" or not stem else stem
