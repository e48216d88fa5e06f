"""Numbers for events of logs that have none, such that a second import of a log adds nothing. Pure.

1. A number is made from what the event says: its message, severity, type and extra. So it does not depend on
   the other lines of the file, and a log that has grown, or was rotated, adds only what is new.
2. Lines that are the same to the letter, at the same time, are counted: the second has the next number. The
   count knows the last :data:`COUNTED_MAX` different events and more, however long the log is.
3. These numbers are negative: -2**31 to -1. The archive numbers a source's next event by the greatest number
   that it ever had, and numbers spread over the positive ones would leave it few.
4. Two events that differ may have one number, very rarely: then the archive refuses the second as a conflict,
   and :func:`stored_beside` tries others, far from those of repetitions.
"""

from __future__ import annotations

from collections.abc import Callable
from zlib import crc32

from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError
from yamcs_archive.event import Event, Severity
from yamcs_archive.results import AppendCounts, Conflict

COUNTED_MAX = 100_000
"""Different events whose repetitions are counted, at least; between one and two times as many are held."""
_SPAN = 1 << 31
_TRIES = 8
_STRIDE = 0x4F1BBCDD
"""Steps from one try to the next: odd, and so far that no repetitions of another event are near."""
_REPEATED_MAX = 1_000_000

Store = Callable[[Columns[int | None]], AppendCounts]


def content_number(message: str, severity: Severity, kind: str | None, extra: dict[str, str]) -> int:
    """Return the number of an event with this content, -2**31 to -1. It must never change.

    >>> content_number("Wheel 3 over speed", Severity.WARNING, None, {})
    -5583339
    """
    said = f"{message}\0{severity:d}" if kind is None else f"{message}\0{severity:d}\0{kind}"
    if extra:
        said = "\0\0".join((said, *map("\0".join, sorted(extra.items()))))
    return text_number(said)


def text_number(text: str) -> int:
    """Return the number of an event that the log itself identifies by a text, -2**31 to -1.

    >>> text_number("s=84d0;i=1")
    -1026520416
    """
    return _negative(crc32(text.encode(errors="surrogatepass")))


def _negative(found: int) -> int:
    return (found & (_SPAN - 1)) - _SPAN


def further(number: int, steps: int) -> int:
    """Return the number that many steps after a negative one; after -1 comes the least.

    >>> further(-5, 2), further(-1, 1)
    (-3, -2147483648)
    """
    return (number + steps) % _SPAN - _SPAN


class Numbering:
    """Gives each event of a log its number."""

    def __init__(self) -> None:
        self._young: dict[tuple[int | None, str, int, int], int] = {}
        self._old: dict[tuple[int | None, str, int, int], int] = {}

    def number(self, event: Event) -> int:
        """Return the number of the next event of the log.

        >>> numbering = Numbering()
        >>> event = Event("a", generation_time=0)
        >>> numbering.number(event) + 1 == numbering.number(event)
        True
        """
        base = content_number(event.message, event.severity, event.type, event.extra)
        # Two messages of one number are two events: their hashes differ.
        key = (event.generation_time, event.source, base, hash(event.message))
        seen = self._young.get(key)
        if seen is None:
            seen = self._old.get(key, 0)
            if len(self._young) >= COUNTED_MAX:
                self._old, self._young = self._young, {}
        self._young[key] = seen + 1
        return further(base, seen) if seen else base


def stored_beside(store: Store) -> Store:
    """Return a function that stores events, and gives other numbers to those that conflict by accident.

    An event conflicts by accident if its number was made from its content: then the stored one differs, and
    has the same number all the same. Other conflicts are counted as ever.
    """

    def stored(part: Columns[int | None]) -> AppendCounts:
        counts = store(part)
        tried = [conflict.position for conflict in counts.conflicts if _made(conflict.offered)]
        for step in range(1, _TRIES + 1):
            if not tried:
                break
            again = part.take(tried)
            numbers = [further(number, step * _STRIDE) for number in again.seq_number if number is not None]
            try:
                more = store(again._replace(seq_number=numbers))
            except ArchiveError as error:
                if error.position is not None:
                    error.position = tried[error.position]
                error.counts = counts  # what the last try stored is found again by the next import
                raise
            counts = _joined(counts, tried, more)
            tried = [tried[conflict.position] for conflict in more.conflicts]
        return counts

    return stored


def _made(event: Event) -> bool:
    """Say whether the number of an event was made from its content."""
    if event.seq_number is None or event.seq_number >= 0:
        return False
    base = content_number(event.message, event.severity, event.type, event.extra)
    return (event.seq_number - base) % _SPAN < _REPEATED_MAX


def _joined(counts: AppendCounts, tried: list[int], more: AppendCounts) -> AppendCounts:
    """Return counts after some of their conflicts were tried again."""
    left = [
        Conflict(tried[conflict.position], conflict.stored, conflict.offered) for conflict in more.conflicts
    ]
    others = [conflict for conflict in counts.conflicts if conflict.position not in set(tried)]
    return AppendCounts(
        counts.stored + more.stored,
        counts.duplicates + more.duplicates,
        counts.expired + more.expired,
        counts.conflict_count - len(tried) + more.conflict_count,
        tuple(sorted([*others, *left], key=lambda conflict: conflict.position)),
    )
