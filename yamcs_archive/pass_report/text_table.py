"""Tables, numbers, durations and texts for people; pure.

1. Times are RFC 3339 in UTC, durations have the one or two largest units that people say.
2. Texts of events are escaped, because they could rewrite a terminal. One that is cut ends in an
   ellipsis and its length.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from yamcs_archive.printable import printable

_TEXT_MAX, _NAME_MAX = 160, 60
_ELLIPSIS = "…"
_LEFT, _RIGHT = str.ljust, str.rjust


def heading(title: str, shown: int, of: int | None, which: str) -> Iterator[str]:
    """Yield an empty line and a title, which says what is shown if that is not all."""
    yield ""
    yield title if of is None or shown >= of else f"{title}: the {shown:,} {which} of {of:,}"


def table(*headings: str, rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table; each heading begins with the side to which its column is aligned."""
    lines = [[heading[1:] for heading in headings], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    aligned = [_LEFT if heading.startswith("<") else _RIGHT for heading in headings]
    for line in lines:
        cells = (align(cell, width) for align, cell, width in zip(aligned, line, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def counted(number: int, noun: str) -> str:
    """Return a number and a noun.

    >>> counted(1, "gap"), counted(2000, "gap")
    ('1 gap', '2,000 gaps')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def shown_number(number: int | None) -> str:
    """Return a number with its thousands apart; a dash for None."""
    return "-" if number is None else f"{number:,}"


def shown_name(text: str) -> str:
    """Return the name of a source."""
    return _cut(printable(text), _NAME_MAX) or "-"


def shown_text(text: str) -> str:
    """Return a message or another text."""
    return _cut(printable(text), _TEXT_MAX) or "-"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}{_ELLIPSIS} ({len(text):,} characters)"


def shown_span(length_us: int) -> str:
    """Return a duration, rounded, in the one or two largest units that it has.

    >>> [shown_span(each) for each in (0, 999, 1_500, 999_999, 59_940_000, 3_723_000_000, 200_000_000_000)]
    ['0 s', '999 us', '1.5 ms', '1 s', '59.9 s', '1 h 2 min', '2 d 7 h']
    """
    if length_us < 1_000:
        return f"{length_us} us" if length_us else "0 s"
    if length_us < 999_500:
        return f"{length_us / 1000:.1f} ms" if length_us < 9_950 else f"{(length_us + 500) // 1000} ms"
    if length_us < 59_950_000:
        return f"{(length_us + 50_000) // 100_000 / 10:g} s"
    seconds = (length_us + 500_000) // 1_000_000
    for size, name, less, less_name in (
        (86_400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= size:
            rest = seconds % size // less
            return f"{seconds // size:,} {name}" + (f" {rest} {less_name}" if rest else "")
    raise AssertionError("a minute has a unit")
