"""Colours of severities on a terminal, which people with any colour vision tell apart.

1. A colour never says anything alone: the word of the severity is always there.
2. With 256 colours there are three hues, teal, orange and violet, and bold and reversed letters. They were
   chosen so that they differ for people who lack one kind of cones, and are legible on black and on white
   (``tests/cli/test_colours.py`` computes both). With fewer colours, whose values every terminal chooses for
   itself, there are only bold, underlined and reversed letters.
3. ``NO_COLOR`` (no-color.org), a terminal that is "dumb", and anything that is no terminal get none.
"""

from __future__ import annotations

import os
import sys

WHEN = ("auto", "always", "never")
TEAL, ORANGE, VIOLET = 30, 202, 129
"""Numbers among the 256 colours."""
_OF_256 = {
    "WATCH": f"38;5;{TEAL}",
    "WARNING": f"38;5;{ORANGE}",
    "DISTRESS": f"1;38;5;{ORANGE}",
    "CRITICAL": f"1;38;5;{VIOLET}",
    "SEVERE": f"1;7;38;5;{VIOLET}",
}
_OF_FEW = {"WARNING": "1", "DISTRESS": "1;4", "CRITICAL": "7", "SEVERE": "1;7"}


def palette(when: str) -> dict[str, str]:
    """Return the attributes (SGR) of each severity that has some; none where there are to be no colours.

    ``when``: "always", "never", or "auto", which is on a terminal without ``NO_COLOR``.

    >>> palette("never")
    {}
    """
    terminal = os.environ.get("TERM", "")
    if when == "never":
        return {}
    if when == "auto" and (os.environ.get("NO_COLOR") or terminal in ("", "dumb") or not sys.stdout.isatty()):
        return {}
    has_256 = "256" in terminal or bool(os.environ.get("COLORTERM"))
    return _OF_256 if has_256 else _OF_FEW


def painted(text: str, attributes: str) -> str:
    r"""Return a text with attributes, and without them after it.

    >>> painted("SEVERE", "7"), painted("INFO", "")
    ('\x1b[7mSEVERE\x1b[0m', 'INFO')
    """
    return f"\x1b[{attributes}m{text}\x1b[0m" if attributes else text
