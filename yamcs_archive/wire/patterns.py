"""The pattern of the parameter ``q``: a part of the message, in any letter case; pure.

``%`` stands for any text, ``?`` for any one character, as for a Yamcs server. Other characters stand for
themselves, where that server takes some of them as a regular expression.
"""

from __future__ import annotations

from typing import NamedTuple

_ANY, _ONE = "%", "?"


class Pattern(NamedTuple):
    """What a message must contain, case-folded: parts, one behind the other."""

    parts: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Pattern:
        """Return the pattern of a text.

        >>> Pattern.of("Wheel%speed").parts
        ('wheel', 'speed')
        """
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
            at = _find(part, folded, at)  # the first place leaves most for the parts behind it
            if at < 0:
                return False
            at += len(part)
        return True


def _find(part: str, text: str, start: int) -> int:
    if _ONE not in part:
        return text.find(part, start)
    for at in range(start, len(text) - len(part) + 1):
        if all(wanted in (_ONE, found) for wanted, found in zip(part, text[at:], strict=False)):
            return at
    return -1
