"""Messages to templates: what varies from event to event is masked; pure.

1. ASCII digits alone decide nothing: two messages that differ only in digits have one template. So a message
   is looked up without its digits (each is a 0), and only what is new goes through the masks.
2. Masked are: ``<time>`` dates and times of day; ``<uuid>``; ``<address>`` IPv4, IPv6 and MAC addresses, an
   IPv4 one with its port; ``<hex>`` after 0x, and eight or more hexadecimal digits of which some are letters
   and some are not; ``<n>`` all other numbers, with sign, fraction and exponent, also within names. What has
   no digit is not masked.
3. Names, paths and quoted texts stay: they say what a message is about, and the first failure of another unit
   must not look like an old one.
"""

from __future__ import annotations

import re

from yamcs_archive.pass_report.limits import MESSAGE_CHARACTERS_MAX

WITHOUT_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
"""For ``bytes.translate``: every digit becomes a 0."""
_UTF8_BYTES_MAX = 4
"""Most bytes of a character."""
_HEX = "[0a-fA-F]"
_ZONE = r"(?:Z|[+-]00:?00)?"
_CLOCK = r"00:00(?::00(?:[.,]0+)?)?"
_MASKS = {
    "time": rf"(?:0000-00-00|0000-000|0000/00/00|00/00/0000)(?:T{_CLOCK}{_ZONE})?|00:00:00(?:[.,]0+)?{_ZONE}",
    "uuid": rf"{_HEX}{{8}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{4}}-{_HEX}{{12}}",
    "address": (
        r"0{1,3}(?:\.0{1,3}){3}(?!\.0)(?::0{1,5})?"
        rf"|{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{5,7}}"
        rf"|{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,5}}::(?:{_HEX}{{1,4}}(?::{_HEX}{{1,4}}){{0,5}})?"
        rf"|{_HEX}{{2}}(?:-{_HEX}{{2}}){{5}}"
    ),
    "hex": rf"0[xX]{_HEX}+|(?=[a-fA-F]*0)(?=0*[a-fA-F]){_HEX}{{8,}}",
}
_WHOLE = "|".join(rf"(?P<{name}>{mask})" for name, mask in _MASKS.items())
_MASKED = re.compile(
    # What has a form begins and ends where a word does; a number may be anywhere.
    rf"(?<![0-9A-Za-z_.:])(?:{_WHOLE})(?![0-9A-Za-z_])"
    r"|(?P<n>(?:(?<![0-9A-Za-z_)\]-])[+-])?0+(?:\.0+)*(?:[eE][+-]?0+)?)"
)
_SPACED = "<time> <time>"
"""A date and a time of day with a space between them."""
_WORDS_KNOWN_MAX, _WORD_CHARACTERS_MAX = 20_000, 64
"""Masked words that are remembered, and the longest of them: messages share most of their words."""
ELLIPSIS = "…"


def template_of(message: str) -> str:
    """Return the template of a message.

    >>> template_of("Wheel 3 at -12.5e-3 rpm, mode 0x1F, since 2026-11-30 10:00:00.5, by 10.0.0.7:80")
    'Wheel <n> at <n> rpm, mode <hex>, since <time>, by <address>'
    """
    return Masks().template_of(message.encode().translate(WITHOUT_DIGITS))


class Masks:
    """Masks messages, and remembers words. For one thread at a time.

    >>> Masks().template_of(b"Step 00")
    'Step <n>'
    """

    def __init__(self) -> None:
        self._known = _MaskedWords()

    def template_of(self, message: bytes) -> str:
        """Return the template of a message in UTF-8 whose digits are 0."""
        # A cut may be within a character, which is left out. So a text of many bytes is not decoded whole.
        text = message[: _UTF8_BYTES_MAX * (MESSAGE_CHARACTERS_MAX + 1)].decode(errors="ignore")
        if len(text) > MESSAGE_CHARACTERS_MAX:
            return self._masked(text[:MESSAGE_CHARACTERS_MAX]) + ELLIPSIS
        return self._masked(text)

    def _masked(self, text: str) -> str:
        if len(self._known) > _WORDS_KNOWN_MAX:
            self._known.clear()
        found = " ".join(map(self._known.__getitem__, text.split(" ")))
        while _SPACED in found:
            found = found.replace(_SPACED, "<time>")
        return found


class _MaskedWords(dict[str, str]):
    """Texts without a space, masked."""

    def __missing__(self, word: str) -> str:
        found = _MASKED.sub(_placeholder, word) if "0" in word else word
        if len(word) <= _WORD_CHARACTERS_MAX:
            self[word] = found
        return found


def _placeholder(found: re.Match[str]) -> str:
    return f"<{found.lastgroup}>"
