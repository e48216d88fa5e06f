"""Objects of JSON, one in each line, and what ``extra`` keeps of their values. Pure."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from yamcs_archive.importers.logs.forms import Unfit


def object_of(text: str | bytes) -> dict[str, Any]:
    """Return the object that a line is. Raises Unfit for other text.

    NaN and infinities, which JSON does not have and some programs write, are taken.

    >>> object_of('{"a": [1, NaN]}')
    {'a': [1, nan]}
    """
    found: object
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        found = _lenient(text, error)
    except RecursionError:
        raise Unfit("is nested too deeply") from None
    if not isinstance(found, dict):
        raise Unfit("is not an object of JSON")
    return found


def _lenient(text: str | bytes, error: Exception) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise Unfit(f"is not JSON: {error}") from None


def text_of(value: object) -> str:
    """Return a value as text: a text as it is, anything else as JSON.

    >>> text_of("a"), text_of([1, None]), text_of(True)
    ('a', '[1,null]', 'true')
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return json.dumps(value)  # NaN too, which msgspec writes as null
    try:
        return msgspec.json.encode(value).decode()
    except (RecursionError, OverflowError, UnicodeEncodeError):
        try:  # an int of more than 64 bits, or half a surrogate pair
            return json.dumps(value, separators=(",", ":"))
        except (RecursionError, ValueError):
            raise Unfit("is nested too deeply, or has too large a number") from None
