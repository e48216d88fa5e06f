"""Bytes of CSV -> where the fields of its records are, thousands at once; pure.

1. RFC 4180, with any end of line, and one byte as the delimiter. A quote that neither begins nor ends a
   field, nor is doubled within one, is an error of its record, whose first line is given up.
2. numpy finds all quotes, delimiters and ends of a piece: those after an even number of quotes are real. So a
   record takes no Python statement here.
3. Whether a field was quoted is known: an empty field and ``""`` differ.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Places = npt.NDArray[np.int64]
_QUOTE, _LF, _CR = ord('"'), ord("\n"), ord("\r")


@dataclass(frozen=True)
class Split:
    """The whole records of a piece, up to the first that is malformed."""

    starts: Places
    """Where each field begins, the fields of all records one after another."""
    stops: Places
    counts: Places
    """The number of fields of each record."""
    lines: Places
    """The number of lines of each record."""
    used: int
    """The bytes up to the end of the last of these records."""
    malformed: bool
    """Whether the record after them cannot be read; if not, more bytes are needed for it."""

    @property
    def records(self) -> int:
        """The number of records."""
        return len(self.counts)


def split(piece: bytes, delimiter: int, *, is_last: bool) -> Split:
    r"""Find the fields of the records in a piece, which begins with one; ``is_last``: nothing follows it.

    >>> found = split(b'a,"b,\n",""\r\nc,,', ord(","), is_last=False)
    >>> found.starts.tolist(), found.stops.tolist(), found.counts.tolist(), found.used
    ([0, 2, 8], [1, 7, 10], [3], 12)
    >>> split(b'a,b"\n', ord(","), is_last=True).malformed
    True
    """
    raw = np.frombuffer(piece, np.uint8)
    size = len(raw)
    quotes = np.flatnonzero(raw == _QUOTE)
    bad = _first_bad(raw, quotes, delimiter, is_last=is_last)
    places = np.flatnonzero((raw == delimiter) | (raw == _LF) | (raw == _CR))
    if len(quotes):
        within = np.searchsorted(quotes, places) & 1 == 1
        breaks = places[within & (raw[places] == _LF)]
        places = places[~within]
    else:
        breaks = places[:0]
    kinds = raw[places]
    ends = kinds != delimiter
    # A line feed right after a carriage return belongs to it.
    second = np.zeros(len(places), np.bool_)
    second[1:] = (kinds[1:] == _LF) & (kinds[:-1] == _CR) & (places[1:] == places[:-1] + 1)
    places, ends = places[~second], ends[~second]
    after = places + 1
    pairs = (raw[places] == _CR) & (after < size)
    pairs[pairs] = raw[after[pairs]] == _LF
    after += pairs
    unsure = not is_last and size > 0 and raw[-1] == _CR and len(places) > 0 and places[-1] == size - 1
    if unsure:  # its line feed may follow
        places, ends, after = places[:-1], ends[:-1], after[:-1]
    if is_last and bad is None and size and (not len(places) or after[-1] < size or not ends[-1]):
        places, ends, after = np.append(places, size), np.append(ends, True), np.append(after, size)
    last_of_record = np.flatnonzero(ends)
    if bad is not None:
        last_of_record = last_of_record[after[last_of_record] <= bad]
    if not len(last_of_record):
        nothing = np.zeros(0, np.int64)
        return Split(nothing, nothing, nothing, nothing, 0, bad is not None)
    fields = int(last_of_record[-1]) + 1
    stops, after = places[:fields], after[:fields]
    used = int(after[-1])
    starts = np.concatenate([np.zeros(1, np.int64), after[:-1]])
    counts = np.diff(last_of_record, prepend=-1)
    within_records = np.diff(np.searchsorted(breaks, after[last_of_record]), prepend=0)
    return Split(starts, stops, counts, within_records + 1, used, bad is not None)


def _first_bad(raw: npt.NDArray[np.uint8], quotes: Places, delimiter: int, *, is_last: bool) -> int | None:
    """Return the place of the first quote that stands where none may; None if there is none."""
    if not len(quotes):
        return None
    opening, closing = quotes[::2], quotes[1::2]
    before = raw[opening - 1]  # of a quote at the beginning this is the last byte, which does not count
    good = (before == delimiter) | (before == _LF) | (before == _CR) | (before == _QUOTE) | (opening == 0)
    # A quote right after another one goes on with the field that the other one seemed to end.
    found = [opening[~good]]
    inner = closing[closing < len(raw) - 1]
    after = raw[inner + 1]
    found.append(inner[~((after == delimiter) | (after == _LF) | (after == _CR) | (after == _QUOTE))])
    if is_last and len(quotes) % 2:
        found.append(quotes[-1:])
    bad = np.concatenate(found)
    return int(bad.min()) if len(bad) else None
