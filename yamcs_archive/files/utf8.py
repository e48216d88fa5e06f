"""Texts that should be UTF-8, and are not: refused with the byte, or kept with their bytes; pure."""

from __future__ import annotations

import base64

from yamcs_archive.errors import InvalidInputError

RAW = "rawBase64"
"""The name in ``extra`` of the bytes that were not UTF-8, as base64."""
_SHOWN_BYTES = 60


def decoded(raw: bytes, field: str, *, keep: bool) -> tuple[str, dict[str, str]]:
    """Return bytes as text, and what of ``extra`` keeps them if they are not UTF-8.

    Raises InvalidInputError, which names the byte, unless they are to be kept. Then U+FFFD takes the place of
    what cannot be read.

    >>> decoded(b"caf\\xe9", "line", keep=True)
    ('caf\\ufffd', {'rawBase64': 'Y2Fm6Q=='})
    >>> decoded(b"caf\\xe9", "line", keep=False)
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: line 'caf\\ufffd': is not UTF-8 at byte 4
    """
    try:
        return raw.decode(), {}
    except UnicodeDecodeError as error:
        if keep:
            return raw.decode(errors="replace"), {RAW: base64.b64encode(raw).decode()}
        shown = raw[:_SHOWN_BYTES].decode(errors="replace")
        raise InvalidInputError(field, shown, f"is not UTF-8 at byte {error.start + 1}") from None
