"""The pattern of the parameter ``q``, which a part of the message must match, in any letter case; pure.

``%`` matches any text and ``?`` any one character, as on a Yamcs server. Other characters match themselves;
that server takes some of them for a regular expression.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.limits import PATTERN_CHARACTERS_MAX

_ANY, _ONE = "%", "?"


class Pattern(NamedTuple):
    """The case-folded parts that a message must contain, one after another."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Return the pattern of a text; raise InvalidInputError for one that is too long.

        >>> Pattern.of("Wheel%speed").parts
        ('wheel', 'speed')
        """
        if len(text) > PATTERN_CHARACTERS_MAX:
            raise InvalidInputError("q", text, f"must have at most {PATTERN_CHARACTERS_MAX} characters")
        return cls(tuple(part for part in text.casefold().split(_ANY) if part))

    @property
    def plain(self) -> str | None:
        """The text that a message must contain; None if the pattern says more than that."""
        if not self.parts:
            return ""
        return self.parts[0] if len(self.parts) == 1 and _ONE not in self.parts[0] else None

    def matches(self, message: str) -> bool:
        """Say whether a message contains the parts, one after another.

        The steps are at most the length of the message times that of the pattern.

        >>> Pattern.of("wh??l%SPEED").matches("Wheel 3 over speed"), Pattern.of("a%a").matches("a")
        (True, False)
        """
        folded, at = message.casefold(), 0
        for part in self.parts:
            at = _end_of(part, folded, at)  # the first match leaves most of the text for the other parts
            if at < 0:
                return False
        return True


def _end_of(part: str, text: str, start: int) -> int:
    """Return the end of the first match of a part at ``start`` or later; -1 without one."""
    literals = _literals(part)
    at, holding, which = start, 0, 0
    # Each literal in turn says where the part can begin at the earliest, until all agree. ``find`` skips text
    # in C; a regular expression would try each position, and hold the interpreter's lock meanwhile: seconds
    # for ``?`` a thousand times and a message of 1 MiB. The turns go from the last literal to the first: what
    # did not match one of them is searched for the one before it.
    while holding < len(literals):
        offset, literal = literals[which]
        found = text.find(literal, at + offset)
        if found < 0:
            return -1
        holding = holding + 1 if found == at + offset else 1
        at = found - offset
        which = (which - 1) % len(literals)
    end = at + len(part)
    return end if end <= len(text) else -1


@lru_cache(maxsize=64)
def _literals(part: str) -> tuple[tuple[int, str], ...]:
    """Return the texts between the ``?`` of a part, each with its offset in the part.

    >>> _literals("wh??l")
    ((0, 'wh'), (4, 'l'))
    """
    found, offset = [], 0
    for literal in part.split(_ONE):
        if literal:
            found.append((offset, literal))
        offset += len(literal) + len(_ONE)
    return tuple(found)
