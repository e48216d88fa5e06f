"""Compiles patterns to searches, with an engine that does not backtrack. The only module that imports RE2.

1. For every pattern, the time of a search is linear in the length of the text; ``(x+x+)+y`` would keep a
   backtracking engine busy for ever. The steps for one character are bounded by the size of the pattern's
   program, which ``FILTER_PROGRAM_MAX`` bounds.
2. The engine releases the interpreter's lock while it searches.
3. Stored texts are valid UTF-8. In any other text, a lone surrogate matches nothing.
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
    """Returns whether a text contains a match."""
    texts: frozenset[str]
    """Case-folded texts, each of which a text with a match contains after case folding."""
    size: int
    """Steps of its program: the largest number of steps for one byte of a text."""


def compile_search(pattern: str) -> Search:
    """Compile a pattern in Java's syntax.

    Raises :class:`~yamcs_archive.filter.comparison_errors.BadPatternError` for a pattern that is not
    supported, not understood, or too large once its repetitions are expanded (``FILTER_PROGRAM_MAX``).

    >>> search = compile_search("(?i)wheel [0-9]$")
    >>> search.found("the WHEEL 3"), search.found("wheels")
    (True, False)
    """
    import re2  # noqa: PLC0415  # a shared library, loaded only for a filter with a pattern

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
    # A search for a plain text mostly decides, and takes a seventh of the time that the engine takes to
    # start.
    needed = max(translation.texts, key=len, default="")

    def found(text: str) -> bool:
        # Pass bytes: for str the engine's wrapper would also translate the positions of the match.
        return needed in text.casefold() and find(text.encode(errors="surrogatepass")) is not None

    return Search(found, translation.texts, size)
