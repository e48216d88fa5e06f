"""Reads the headers that name media types and codings: Content-Type, Accept, Accept-Encoding; pure.

1. Names are compared in lower case, and parameters may follow them. Between quotes a comma or a semicolon
   separates nothing (RFC 9110, 5.6 and 12.4.2).
2. An element that breaks the grammar is ignored; the others count.
3. The answer is JSON unless the client says otherwise: another media type is chosen only if it is named
   itself, with a quality above JSON's. A wildcard counts for JSON alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from yamcs_archive.wire.codec import JSON, MSGPACK, BatchCodec, Codec
from yamcs_archive.wire.codecs import BATCH_CODECS, CODECS, JSON_CODEC
from yamcs_archive.wire.tables import ENDINGS

_WORD = r"[!#$%&'*+.^_`|~0-9a-z-]+"
_NAME = re.compile(rf"{_WORD}(/{_WORD})?")
_PARAMETER = re.compile(rf'({_WORD})\s*=\s*({_WORD}|"(?:[^"\\]|\\.)*")', re.DOTALL)
_QUALITY = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
_ELEMENTS = re.compile(r'(?:[^",]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
"""An element of a list; a quote that is not closed reaches to the end."""
_PARTS = re.compile(r'(?:[^";]|"(?:[^"\\]|\\.)*"?)+', re.DOTALL)
_ALIASES = {
    "application/x-msgpack": MSGPACK,
    "application/vnd.msgpack": MSGPACK,
    "x-gzip": "gzip",
}
"""Other names of media types and codings that are known here."""


def media_type(headers: Mapping[str, str]) -> str:
    """Return the media type of a request's body, in lower case and without parameters; "" for none.

    >>> media_type({"content-type": 'Application/Protobuf; proto="a;b"'}), media_type({})
    ('application/protobuf', '')
    """
    text = headers.get("content-type", "")
    return _media_type(text) if len(text) <= _CACHED_CHARACTERS_MAX else _media_type.__wrapped__(text)


_CACHED_MAX, _CACHED_CHARACTERS_MAX = 256, 200
"""Number of remembered values of a header, and characters of the longest: a client repeats the same ones."""


@lru_cache(_CACHED_MAX)
def _media_type(text: str) -> str:
    name = text.partition(";")[0].strip(" \t").lower()
    return _ALIASES.get(name, name) if _NAME.fullmatch(name) else ""


def qualities(text: str) -> dict[str, float]:
    """Return the names of a list with their qualities (1 if none is given); for a name the greatest one.

    >>> qualities('application/protobuf, text/*;q=0.5, x; a="1, 2;q=0"; q=0, bad;q=2')
    {'application/protobuf': 1.0, 'text/*': 0.5, 'x': 0.0}
    """
    found: dict[str, float] = {}
    for element in _ELEMENTS.findall(text):
        name, quality = _read(element)
        if name:
            found[name] = max(quality, found.get(name, 0.0))
    return found


_known = lru_cache(_CACHED_MAX)(qualities)


def _read(element: str) -> tuple[str, float]:
    """Return a name and its quality; an empty name if the element breaks the grammar."""
    parts = [part.strip(" \t").lower() for part in _PARTS.findall(element)]
    name = _ALIASES.get(parts[0], parts[0]) if parts else ""
    quality = 1.0
    for part in parts[1:]:
        if not part:
            continue
        match = _PARAMETER.fullmatch(part)
        if match is None:
            return "", 0.0
        if match[1] == "q":
            if not _QUALITY.fullmatch(match[2]):
                return "", 0.0
            quality = float(match[2])
    return (name, quality) if _NAME.fullmatch(name) else ("", 0.0)


def preferred(accept: str, others: tuple[str, ...]) -> str:
    """Return which media type an Accept asks for: JSON, or another one of ``others``.

    JSON's quality is that of its own name, else that of ``application/*``, else that of ``*/*``. Among others
    with equal quality the first wins.

    >>> preferred("application/protobuf, */*;q=0.1", ("application/protobuf",))
    'application/protobuf'
    >>> preferred("application/protobuf, */*", ("application/protobuf",))
    'application/json'
    """
    if len(accept) <= _CACHED_CHARACTERS_MAX:
        return _preferred(accept, others)
    return _preferred.__wrapped__(accept, others)


@lru_cache(_CACHED_MAX)
def _preferred(accept: str, others: tuple[str, ...]) -> str:
    given = qualities(accept)
    chosen, most = JSON, next((given[name] for name in (JSON, "application/*", "*/*") if name in given), 0.0)
    for other in others:
        if given.get(other, 0.0) > most:
            chosen, most = other, given[other]
    return chosen


_OTHERS, _OTHERS_OF_CHANGES = tuple(CODECS), tuple(BATCH_CODECS)


def answer_codec(headers: Mapping[str, str], *, posted: bool = True) -> Codec:
    """Return the codec of an answer: by Accept, without it that of the body.

    ``posted``: the request may have a body. The answer to a GET, which has none, depends on Accept alone.

    >>> answer_codec({"accept": "*/*"}).media, answer_codec({"content-type": "application/protobuf"}).media
    ('application/json', 'application/protobuf')
    """
    accept = headers.get("accept")
    if accept is not None:
        return CODECS[preferred(accept, _OTHERS)]
    return body_codec(headers) if posted else JSON_CODEC


def table_media(headers: Mapping[str, str], *others: str) -> str | None:
    """Return the media type of a table, if Accept prefers one to JSON and to ``others``; else None.

    >>> table_media({"accept": "application/vnd.apache.parquet, */*;q=0.5"})
    'application/vnd.apache.parquet'
    >>> table_media({"accept": "*/*"}) is None
    True
    """
    found = preferred(headers.get("accept", ""), (*others, *ENDINGS))
    return found if found in ENDINGS else None


def body_codec(headers: Mapping[str, str]) -> Codec:
    """Return the codec of a request's body: JSON's for a media type that has none.

    >>> body_codec({"content-type": "text/plain"}).media
    'application/json'
    """
    return CODECS.get(media_type(headers), JSON_CODEC)


def batch_reader(headers: Mapping[str, str]) -> BatchCodec:
    """Return the codec of a batch's body: JSON's, line by line, for a media type that has none."""
    return BATCH_CODECS.get(media_type(headers), JSON_CODEC)


def changes_writer(headers: Mapping[str, str]) -> BatchCodec:
    """Return the codec of a page of changes, by Accept: the exchange form may be asked for as well.

    >>> changes_writer({"accept": "application/x-msgpack"}).media
    'application/msgpack'
    """
    return BATCH_CODECS[preferred(headers.get("accept", ""), _OTHERS_OF_CHANGES)]


def stream_writer(headers: Mapping[str, str]) -> BatchCodec:
    """Return the codec of a stream of events: that of any other answer, but msgpack may be asked for as well.

    >>> stream_writer({"accept": "application/msgpack"}).media, stream_writer({}).media
    ('application/msgpack', 'application/json')
    """
    accept = headers.get("accept")
    return body_codec(headers) if accept is None else BATCH_CODECS[preferred(accept, _OTHERS_OF_CHANGES)]


def takes_gzip(headers: Mapping[str, str]) -> bool:
    """Return whether the client names gzip with a quality above zero.

    >>> takes_gzip({"accept-encoding": "br, X-GZip;q=0.5"}), takes_gzip({"accept-encoding": "gzip;q=0, *"})
    (True, False)
    """
    text = headers.get("accept-encoding")
    if not text:
        return False
    given = _known(text) if len(text) <= _CACHED_CHARACTERS_MAX else qualities(text)
    return given.get("gzip", 0.0) > 0


def content_encoding(headers: Mapping[str, str]) -> str:
    """Return how a request's body is encoded: "gzip" for either of its names, "identity" for none.

    >>> content_encoding({"content-encoding": "X-GZIP"}), content_encoding({})
    ('gzip', 'identity')
    """
    text = headers.get("content-encoding", "").strip(" \t").lower() or "identity"
    return _ALIASES.get(text, text)
