"""Events -> CSV that loses nothing: the records of the archive's own files; pure.

1. RFC 4180 with a heading: fields are quoted where they have to be, quotes within are doubled, records end
   with carriage return and line feed. Blanks at either end of a text belong to it, and it is quoted then.
2. An absent text is an empty field, an empty one is ``\"\"``: that is how a type that is there differs from
   none. Messages are always quoted.
3. Names and texts of the fields are those of the JSON objects; ``extra`` is a JSON object, ``extensions`` is
   base64.

The CSV of the API, which is that of a Yamcs server and shows less, is in ``csv``.
"""

from __future__ import annotations

import base64

import msgspec

from yamcs_archive.event import Event
from yamcs_archive.times import format_rfc3339

HEADINGS = (
    "generationTime",
    "receptionTime",
    "source",
    "seqNumber",
    "severity",
    "type",
    "message",
    "createdBy",
    "extra",
    "extensions",
)
"""The columns, in their order."""
END = b"\r\n"
_SPECIAL = frozenset(',;\t"\r\n')


def heading() -> bytes:
    r"""Return the first record, which has the names of the columns.

    >>> heading()[:30], heading()[-4:]
    (b'generationTime,receptionTime,s', b'ns\r\n')
    """
    return ",".join(HEADINGS).encode() + END


def record(event: Event) -> bytes:
    """Return the record of a complete event.

    >>> event = Event('a "b" c', source="S", type="", generation_time=0, seq_number=3, reception_time=0)
    >>> record(event).decode().split(",", 2)[2].strip()
    'S,3,INFO,"","a ""b"" c",,,'
    """
    fields = (
        format_rfc3339(event.generation_time or 0),
        format_rfc3339(event.reception_time or 0),
        field(event.source),
        str(event.seq_number),
        event.severity.name,
        field(event.type),
        quoted(event.message),
        field(event.created_by),
        extra_field(event.extra),
        extensions_field(event.extensions),
    )
    return ",".join(fields).encode() + END


def field(text: str | None) -> str:
    r"""Return a text, or its absence, as a field.

    >>> field("a"), field("a;b"), field(" a"), field(""), field(None)
    ('a', '"a;b"', '" a"', '""', '')
    """
    if text is None:
        return ""
    if not text or not _SPECIAL.isdisjoint(text) or text[0] <= " " or text[-1] <= " ":
        return quoted(text)
    return text


def quoted(text: str) -> str:
    """Return a text between quotes.

    >>> quoted('a "b" c')
    '"a ""b"" c"'
    """
    return '"' + text.replace('"', '""') + '"'


def extra_field(extra: dict[str, str]) -> str:
    """Return ``extra`` as a field.

    >>> extra_field({"a": "b"}), extra_field({})
    ('"{""a"":""b""}"', '')
    """
    return quoted(msgspec.json.encode(extra).decode()) if extra else ""


def extensions_field(extensions: bytes) -> str:
    """Return extensions as a field.

    >>> extensions_field(bytes.fromhex("a00601"))
    'oAYB'
    """
    return base64.b64encode(extensions).decode()
