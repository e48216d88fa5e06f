"""The pattern of the parameter ``q``: a part of the message, in any letter case; pure.

``%`` stands for any text, ``?`` for any one character, as for a Yamcs server. Other characters stand for
themselves, where that server takes some of them as a regular expression.
"""

from __future__ import annotations

import re
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
    if _ONE not in part:
        at = text.find(part, start)
        return at if at < 0 else at + len(part)
    found = _compiled(part).search(text, start)
    return -1 if found is None else found.end()


@lru_cache(maxsize=64)
def _compiled(part: str) -> re.Pattern[str]:
    # Nothing in it repeats, so there is nothing to go back to: one try at each place.
    return re.compile(".".join(map(re.escape, part.split(_ONE))), re.DOTALL)
