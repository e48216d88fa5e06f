"""Streams of events from a server: how one is asked for, and goes on with another one when it breaks off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar
from urllib.parse import quote, urlencode

import msgspec

from yamcs_archive.client.answer_codec import check_media, error_of
from yamcs_archive.client.queries import Query
from yamcs_archive.client.transport import Request, Transport
from yamcs_archive.errors import InvalidInputError, ServerUnavailableError
from yamcs_archive.event import EventKey

_OK = 200

Came = TypeVar("Came")
"""What a stream brings: events one by one, or many at once."""
Found = TypeVar("Found")


@contextmanager
def event_stream(
    transport: Transport, instance: str, query: Query, media: str, *parameters: tuple[str, str]
) -> Iterator[Iterator[bytes]]:
    """Ask for the events of a query, oldest first; give the pieces of the answer's body.

    ``parameters`` are added to the query string. An InvalidInputError within the block says that the body is
    not what it should be, which is the server's fault.
    """
    asked = urlencode(parameters)
    joint = "&" if query.parameters else "?"
    path = f"/api/stream-archive/{quote(instance, safe='')}:streamEvents{query.parameters}"
    path += f"{joint}{asked}" if asked else ""
    request = Request("POST", path, msgspec.json.encode(query.body()), accept=media)
    with transport.stream(request) as (answer, pieces):
        if answer.status != _OK:
            raise error_of(transport, answer, path, instance)
        check_media(transport, answer, media)
        try:
            yield pieces
        except InvalidInputError as error:
            raise transport.strange(f"it streams what is no event: {error}") from None


def continued(
    query: Query,
    read: Callable[[Query], Iterator[Came]],
    last_key: Callable[[Came], EventKey],
    chosen: Callable[[Query, Came], Found | None],
) -> Iterator[Found]:
    """Yield what is chosen of all that ``read`` brings for a query; None is nothing.

    A stream that breaks off is followed by another one, which begins after the last event that came. If it
    broke off before any new one came, the ServerUnavailableError is raised.
    """
    while True:
        last: Came | None = None
        try:
            for last in read(query):
                found = chosen(query, last)
                if found is not None:
                    yield found
            return
        except ServerUnavailableError:
            key = None if last is None else last_key(last)
            if key is None or (query.after_key is not None and key <= query.after_key):
                raise
            query = replace(query, after_key=key)
