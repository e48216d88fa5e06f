"""Makes what other programs log fit into events: long texts are cut, with a mark; pure.

1. A text that is cut ends with its length, a source with a hash, so that it is still its own.
2. Nothing is left out in silence: what has no room is counted.
3. What UTF-8 cannot hold (lone surrogates) is escaped as Python writes it.
"""

from __future__ import annotations

import json
from hashlib import blake2b
from itertools import chain

from yamcs_archive.limits import ATTACHED_BYTES_MAX, SOURCE_BYTES_MAX

TYPE_BYTES_MAX = 1_000
"""Longest type that is made of a log record, in UTF-8 bytes: names of functions and events are shorter."""
EXTRA_BYTES_MAX = ATTACHED_BYTES_MAX - 2 * TYPE_BYTES_MAX
"""Longest ``extra`` that is made of a log record: beside it there is room for type and user."""
_VALUE_BYTES_MIN = 200
"""Room below which an attribute is left out: less of it would say nothing."""
_OMITTED_BYTES = 100
"""Room that is kept for the number of attributes left out."""


def text_of(value: object) -> str:
    """Return a value as text: JSON for what has parts, else as ``str`` writes it.

    >>> text_of(3), text_of({"a": [1, None]}), text_of(b"x")
    ('3', '{"a": [1, null]}', "b'x'")
    """
    try:
        if isinstance(value, dict | list | tuple):
            return json.dumps(value, ensure_ascii=False, default=str)
        return str(value)
    except Exception:  # a class of the program may raise anything, and a circle is an error too
        return _repr(value)


def _repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} that cannot be shown>"


def cut(text: str, bytes_max: int) -> str:
    """Return a text that UTF-8 can hold, of that many bytes at most; one that was cut ends with a mark.

    >>> cut("abc", 5), cut("a" * 100, 40)
    ('abc', 'aaaaaaaaaaaaaaaaaaaa… (cut: 100 bytes)')
    >>> cut("\\ud800", 100)
    '\\\\ud800'
    """
    if len(text) <= bytes_max and text.isascii():
        return text
    data = text.encode(errors="backslashreplace")
    if len(data) <= bytes_max:
        return data.decode()
    mark = f"… (cut: {len(data)} bytes)"
    return data[: bytes_max - len(mark.encode())].decode(errors="ignore") + mark


def shortened(name: str, bytes_max: int = SOURCE_BYTES_MAX) -> str:
    """Return a name that a source can have; one that was cut ends with a hash, so that it is still its own.

    >>> shortened("AOCS", 255), shortened("a" * 300, 40)
    ('AOCS', 'aaaaaaaaaaaaaaaaaaaaa…8b397aa4c75429a2')
    """
    if len(name) <= bytes_max and name.isascii() and "\0" not in name:
        return name
    data = name.replace("\0", "\\0").encode(errors="backslashreplace")
    if len(data) <= bytes_max:
        return data.decode()
    mark = "…" + blake2b(data, digest_size=8).hexdigest()
    return data[: bytes_max - len(mark.encode())].decode(errors="ignore") + mark


def bounded(extra: dict[str, str]) -> dict[str, str]:
    """Return the pairs as an event can have them, together within the limit; the first ones come first.

    >>> bounded({"a": "b"})
    {'a': 'b'}
    >>> found = bounded({"big": "x" * 300_000, "code.line.number": "12"})
    >>> found["big"][-21:], found["code.line.number"]
    ('… (cut: 300000 bytes)', '12')
    """
    try:
        joined = "".join(chain(extra, extra.values()))
    except TypeError:  # not all of them are text
        extra = {text_of(name): text_of(value) for name, value in extra.items()}
        joined = "".join(chain(extra, extra.values()))
    if joined.isascii() and len(joined) <= EXTRA_BYTES_MAX:
        return extra
    found: dict[str, str] = {}
    left = EXTRA_BYTES_MAX - _OMITTED_BYTES
    # Long texts share what the short ones leave.
    most = left
    room = left - sum(len(cut(name, _VALUE_BYTES_MIN).encode()) for name in extra)
    lengths = sorted(len(text.encode(errors="backslashreplace")) for text in extra.values())
    for longer, length in zip(range(len(lengths), 0, -1), lengths, strict=True):
        if length > (share := room // longer):
            most = max(share, _VALUE_BYTES_MIN)
            break
        room -= length
    omitted = 0
    for name, text in extra.items():
        short, value = cut(name, _VALUE_BYTES_MIN), cut(text, most)
        size = len(short.encode()) + len(value.encode())
        if size > left or short in found:
            omitted += 1
            continue
        found[short] = value
        left -= size
    if omitted:
        found["log.omitted"] = f"{omitted} attributes, for which there was no room"
    return found
