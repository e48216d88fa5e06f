"""Text of events and of files, as it may be shown on a terminal. Pure: text to text."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    r"""Escape line breaks and control characters, which could rewrite the user's terminal.

    A backslash is doubled, so that no other text looks like an escape. Spaces of any width stay as they are.

    >>> print(printable("a\nb\\nc"))
    a\nb\\nc
    """
    text = text.replace("\\", "\\\\")
    if text.isprintable():
        return text
    return "".join(
        character
        if character.isprintable() or unicodedata.category(character) == "Zs"
        else character.encode("unicode_escape").decode()
        for character in text
    )


def visible(line: str) -> str:
    r"""Escape control characters of a line of JSON, CSV or TSV, but for line ends and tabs.

    In JSON the text means the same as before.

    >>> print(visible("a\x9b2Jb"))
    a\u009b2Jb
    """
    if line.isprintable():
        return line
    return "".join(
        character
        if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs"
        else f"\\u{ord(character):04x}"
        for character in line
    )
