"""The messages of a block as one text that can be searched as it is; pure.

A search compares case-folded text. Where no character beyond ASCII folds to text with ASCII in it, as ß
and ﬁ do (a block says so), bytes with the bit of the letter case set are enough to pass over a block.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgpack
import numpy as np

_CASE_BIT = 0x20
_LATIN_1_FOLDING_TO_ASCII = "ß"
_LEADS = (b"\xc3", b"\xc4", b"\xc5", b"\xc7", b"\xe1", b"\xe2", b"\xef")
"""The first bytes of the characters beyond ASCII that fold to text with ASCII in it, in UTF-8.

Law: tests/storage/test_blocks.py::test_every_character_that_folds_to_ascii_is_known_by_its_first_byte
"""


class Packed(NamedTuple):
    """Messages as one text."""

    text: bytes
    """A msgpack array of str."""
    plain: bool
    """True: no character beyond ASCII folds to text with ASCII in it."""


def pack(messages: Sequence[str]) -> Packed:
    """Return messages as one text.

    >>> pack(["a", "°"]).plain, pack(["Straße"]).plain
    (True, False)
    """
    text: bytes = msgpack.packb(messages)
    together = "".join(messages)
    if together.isascii():
        return Packed(text, plain=True)
    try:
        together.encode("latin-1")
    except UnicodeEncodeError:
        encoded = together.encode()
        return Packed(text, plain=not any(lead in encoded for lead in _LEADS))
    return Packed(text, plain=_LATIN_1_FOLDING_TO_ASCII not in together)


def unpack(packed: Packed, count: int) -> list[str]:
    """Return the messages; ValueError when there are not ``count`` of them.

    >>> unpack(pack(["a", "", "b"]), 3)
    ['a', '', 'b']
    """
    messages: list[str] = msgpack.unpackb(packed.text)
    if len(messages) != count:
        raise ValueError(f"{len(messages)} messages of {count} events")
    return messages


def may_contain(packed: Packed, folded: str) -> bool:
    """Say whether a message may contain a case-folded text: never falsely no.

    >>> may_contain(pack(["Wheel 3", "Pump"]), "wheel"), may_contain(pack(["Wheel 3", "Pump"]), "wheels")
    (True, False)
    """
    if not packed.plain:
        return True
    if not folded.isascii():
        return True  # what it is a folding of may be written in several ways
    # Between the messages stand msgpack's lengths, so nothing is found across two of them that a closer
    # look would find. A bit set in both makes more texts equal than letter case does, never fewer.
    lowered = np.frombuffer(packed.text, np.uint8) | _CASE_BIT
    return (np.frombuffer(folded.encode(), np.uint8) | _CASE_BIT).tobytes() in lowered.tobytes()
