"""Patterns -> searches, by an engine that does not backtrack. The only room that knows RE2.

1. Time is linear in the text whatever the pattern: a backtracking engine would hold a thread for ever
   with ``(x+x+)+y``. How many steps a character takes is bounded by the program's size, and that by us.
2. The engine releases the interpreter's lock while it searches.
3. Only texts that UTF-8 can hold are stored; a lone surrogate in any other one matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from yamcs_archive.filter.comparison_errors import BadPatternError
from yamcs_archive.filter.java_regex import translate
from yamcs_archive.limits import FILTER_PROGRAM_MAX, FILTER_REGEX_BYTES_MAX


class Search(NamedTuple):
    """A compiled pattern."""

    found: Callable[[str], bool]
    """Says whether a text holds a match."""
    texts: frozenset[str]
    """Case-folded texts that lie in every text that holds a match, when case-folded."""
    size: int
    """Steps of its program: what it costs at most, for each byte of a text."""


def compile_search(pattern: str) -> Search:
    """Compile a pattern in Java's syntax.

    Raises :class:`~yamcs_archive.filter.comparison_errors.BadPatternError` for what is not supported, not
    understood, or too large once its repetitions are written out (``FILTER_PROGRAM_MAX``).

    >>> search = compile_search("(?i)wheel [0-9]$")
    >>> search.found("the WHEEL 3"), search.found("wheels")
    (True, False)
    """
    import re2  # noqa: PLC0415  # a shared library, loaded only where a filter has a pattern

    translation = translate(pattern)
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    options.max_mem = FILTER_REGEX_BYTES_MAX
    try:
        compiled = re2.compile(translation.pattern, options)
    except re2.error as error:
        said = error.args[0] if error.args else "not understood"
        reason = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise BadPatternError(reason) from None
    size = max(compiled.programsize, compiled.reverseprogramsize)
    if size > FILTER_PROGRAM_MAX:
        raise BadPatternError(f"too large: {size} steps, and {FILTER_PROGRAM_MAX} are allowed")
    find = compiled.search
    # Looking for a text costs a seventh of starting the engine, and mostly settles it.
    needed = max(translation.texts, key=len, default="")

    def found(text: str) -> bool:
        # Bytes: for text the engine's wrapper would also translate the places of the match.
        return needed in text.casefold() and find(text.encode(errors="surrogatepass")) is not None

    return Search(found, translation.texts, size)
