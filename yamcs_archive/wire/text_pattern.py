"""The pattern of the parameter ``q``: a part of the message, in any letter case; pure.

``%`` stands for any text, ``?`` for any one character, as for a Yamcs server. Other characters stand for
themselves, where that server takes some of them as a regular expression.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.limits import PATTERN_CHARACTERS_MAX

_ANY, _ONE = "%", "?"


class Pattern(NamedTuple):
    """What a message must contain, case-folded: parts, one behind the other."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Return the pattern of a text; InvalidInputError for one that is too long.

        >>> Pattern.of("Wheel%speed").parts
        ('wheel', 'speed')
        """
        if len(text) > PATTERN_CHARACTERS_MAX:
            raise InvalidInputError("q", text, f"must have at most {PATTERN_CHARACTERS_MAX} characters")
        return cls(tuple(part for part in text.casefold().split(_ANY) if part))

    @property
    def plain(self) -> str | None:
        """The text that a message must contain, when that is all there is to it."""
        if not self.parts:
            return ""
        return self.parts[0] if len(self.parts) == 1 and _ONE not in self.parts[0] else None

    def matches(self, message: str) -> bool:
        """Say whether a message contains the parts, each behind the one before it.

        Never takes more steps than the message is long times the pattern.

        >>> Pattern.of("wh??l%SPEED").matches("Wheel 3 over speed"), Pattern.of("a%a").matches("a")
        (True, False)
        """
        folded, at = message.casefold(), 0
        for part in self.parts:
            at = _end_of(part, folded, at)  # the first place leaves most for the parts behind it
            if at < 0:
                return False
        return True


def _end_of(part: str, text: str, start: int) -> int:
    """Return where the first place ends at which a part stands, from ``start`` on; -1 for none."""
    literals = _literals(part)
    at, holding, which = start, 0, 0
    # Each literal in turn says where it allows the part to begin at the earliest, until all agree. Looking
    # for a literal passes over what lies between in C; a regular expression would try each place, and hold
    # the interpreter's lock for as long: seconds for ``?`` a thousand times and a message of 1 MiB. From the
    # last to the first: what one did not find is what the one before it comes upon next.
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
    """Return the texts between the ``?`` of a part, each with its place in it.

    >>> _literals("wh??l")
    ((0, 'wh'), (4, 'l'))
    """
    found, offset = [], 0
    for literal in part.split(_ONE):
        if literal:
            found.append((offset, literal))
        offset += len(literal) + len(_ONE)
    return tuple(found)
