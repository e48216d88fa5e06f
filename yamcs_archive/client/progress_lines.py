"""Long work of a server: its answer tells the progress in lines of JSON, and the result in the last one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from yamcs_archive.client.answer_codec import check_media, error_of, object_of
from yamcs_archive.client.transport import Request, Transport

OPERATION_S = 86_400.0
"""Seconds that an operation may take: the server answers when it is done."""
LINES = "application/x-ndjson"
_OK = 200


def followed(
    transport: Transport, request: Request, instance: str, progress: Callable[[int, int], None]
) -> Mapping[str, Any]:
    """Send a request for work on an instance, and tell its progress; return the result, or raise its error.

    The progress is the number of events that are read, and that of all.
    """
    with transport.stream(request._replace(accept=LINES)) as (answer, pieces):
        if answer.status != _OK:
            raise error_of(transport, answer, request.path, instance)
        check_media(transport, answer, LINES)
        for line in _lines(pieces):
            match object_of(transport, answer._replace(body=line)):
                case {"progress": {"read": int(read), "events": int(events)}}:
                    progress(read, events)
                case {"result": dict(found)}:
                    return found
                case {"error": {"code": int(status)} as error}:
                    said = answer._replace(status=status, body=msgspec.json.encode(error))
                    raise error_of(transport, said, request.path, instance)
    raise transport.strange("it ends before the result")


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines in pieces of a body.

    >>> list(_lines(iter([b"a\\nb", b"c\\n"])))
    [b'a', b'bc']
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
