"""Lines by a pattern of the user's: a regular expression with named groups, ``--pattern``.

1. The pattern must match all of a line. Its groups ``time``, ``message``, ``source``, ``severity``, ``type``
   and ``number`` become those fields; all other groups are kept in ``extra``. Without ``message``, the line
   is it.
2. The severity may be any word that ``severities`` knows, and others that the user explains; the word is kept
   in ``extra`` as ``severity``.
3. Lines that do not match are rejected, or, on request, continue the message of the event before: tracebacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.importers.logs import severities, time_format
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.lines import joined, records_of_lines
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.options import LogOptions
from yamcs_archive.limits import BODY_BYTES_MAX, SEQ_NUMBER_MAX, SEQ_NUMBER_MIN

FIELDS = ("time", "message", "source", "severity", "type", "number")
"""The groups, and the names of ``--map``, that become fields of an event."""
_DIGITS_MAX = 11
"""Most characters of a number: those of the least one of 32 bits."""


@dataclass(frozen=True)
class Reading:
    """How texts of a log become fields."""

    time: time_format.Parse = time_format.iso
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """What words mean, in lower case, where it differs from the usual."""

    def severity(self, word: str, extra: dict[str, str]) -> Severity:
        """Return the severity of a word, which ``extra`` keeps unless it is this archive's name of it."""
        found = severities.by_word(word, self.severities)
        if word.upper() != found.name:
            extra.setdefault("severity", word)
        return found


def reading_of(options: LogOptions, default: time_format.Parse) -> Reading:
    """Return how the options say that texts are read; ``default`` is for times."""
    time = default if options.time_format is None else time_format.compiled(options.time_format)
    return Reading(time, options.severities)


def compiled(pattern: str) -> re.Pattern[str]:
    """Return a user's pattern. Raises InvalidInputError if it is none, or says no time.

    >>> compiled(r"(?P<time>\\S+ \\S+) (?P<message>.*)").groupindex["message"]
    2
    """
    try:
        found = re.compile(pattern, re.DOTALL)
    except (re.error, OverflowError, RecursionError) as error:
        raise InvalidInputError("pattern", pattern, f"is no regular expression: {error}") from None
    if "time" not in found.groupindex:
        raise InvalidInputError("pattern", pattern, "must have a group of the name time: (?P<time>...)")
    return found


class Lines:
    """The form of such lines."""

    unit = "line"

    def __init__(
        self, pattern: re.Pattern[str], clock: Clock, reading: Reading, *, continuation: bool = False
    ) -> None:
        self._pattern = pattern
        self._clock = clock
        self._reading = reading
        self._continuation = continuation

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the lines, each with those that continue it."""
        lines = records_of_lines(chunks)
        return self._continued(lines) if self._continuation else lines

    def _continued(self, lines: Iterator[Record]) -> Iterator[Record]:
        held: list[bytes] = []
        size = begun = 0
        for record in lines:
            text = record.raw.decode(errors="replace")
            if held and self._pattern.fullmatch(text):
                yield joined(begun, held, size - 1)
                held, size = [], 0
            if not held:
                begun = record.line
            if size <= BODY_BYTES_MAX:
                held.append(record.raw)
            size += record.size + 1
        if held:
            yield joined(begun, held, size - 1)

    def event(self, text: str) -> Event:
        """Return the event of a line, and of the lines that continue it."""
        line, _, rest = text.partition("\n") if self._continuation else (text, "", "")
        found = self._pattern.fullmatch(line)
        if found is None:
            raise Unfit("does not match the pattern")
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        message = groups.pop("message", line)
        if rest:
            message = f"{message}\n{rest}" if message else rest
        return event_of(groups, message, self._clock, self._reading)


def event_of(parts: dict[str, str], message: str, clock: Clock, reading: Reading) -> Event:
    """Return an event of texts by their names; those that are no fields are ``extra``."""
    stamp = parts.pop("time", None)
    if stamp is None:
        raise Unfit("has no time")
    time = reading.time(stamp, clock)
    source = parts.pop("source", "")
    word = parts.pop("severity", "")
    kind = parts.pop("type", None)
    number = parts.pop("number", None)
    severity = reading.severity(word, parts) if word.strip() else Severity.INFO
    return Event(
        message, source, severity, kind, time, None if number is None else _number(number), extra=parts
    )


def _number(text: str) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.lstrip("-").isdigit() and len(digits) <= _DIGITS_MAX):
        raise Unfit(f"its number {text[:40]!r} is not an integer")
    found = int(digits)
    if not SEQ_NUMBER_MIN <= found <= SEQ_NUMBER_MAX:
        raise Unfit(f"its number {found} is not one of 32 bits")
    return found


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log. Raises InvalidInputError unless the options have a pattern."""
    pattern = getattr(options, "pattern", None)
    if pattern is None:
        raise InvalidInputError("pattern", None, "must be given for lines: a regular expression")
    compiled_once = compiled(pattern)

    def make(clock: Clock, how: LogOptions) -> Lines:
        return Lines(compiled_once, clock, reading_of(how, time_format.iso), continuation=how.continuation)

    return opened(source, options, make)
