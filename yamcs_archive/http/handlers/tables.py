"""Answers that are tables: any route that reads events, in the Arrow stream format or in Parquet.

1. Accept chooses the form, ``columns`` and ``extra_columns`` of the query string the columns, also in a POST.
2. Tables keep what the other forms do not (ERROR, the order of ``extra``), so there is one form of them,
   whatever the generation of the API.
3. What only a whole answer knows is in its headers: the token of the next page, the events left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from yamcs_archive.columns import Columns
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.frames.batches import batches
from yamcs_archive.frames.columns import COMMIT, Selection
from yamcs_archive.frames.schema import schema_of
from yamcs_archive.http import query
from yamcs_archive.http.query import EventQuery
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Head, Headers, Response, reply
from yamcs_archive.http.streaming import streamed
from yamcs_archive.wire.tables import ENDINGS, encode_table

if TYPE_CHECKING:
    import pyarrow

TOKEN_HEADER = "continuation-token"  # noqa: S105  # the name of a header


def table_of(request: Request, media: str, asked: EventQuery, *, file: bool = False) -> Response:
    """Answer all events of a query as a table, as they are read; ``file``: for saving under a name."""
    selection = selection_of(request.head)
    found = asked.record_batches(request.instance(), selection, request.given_up)
    headers: Headers = ()
    if file:
        name = f"event_export_{datetime.now(UTC):%Y-%m-%d_%H-%M-%S}.{ENDINGS[media]}"
        headers = (("content-disposition", f'attachment; filename="{name}"'),)
    if request.head_only:  # nothing is read: the length is known only at the end
        return Response(200, (("content-type", media), *headers), iter(()))
    return streamed(media, encode_table(media, schema_of(selection), found), headers)


def table_page(
    request: Request, media: str, events: Sequence[Event], token: str | None, headers: Headers
) -> Response:
    """Answer a page of events as a table, in the order of the page."""
    selection = selection_of(request.head)
    if COMMIT in selection.columns:
        raise InvalidInputError(
            "columns", COMMIT, "is not known in a page; streamEvents and exportEvents have it"
        )
    body = b"".join(encode_table(media, schema_of(selection), _batches_of(events, selection)))
    if token is not None:
        headers = (*headers, (TOKEN_HEADER, token))
    return reply(media, body, headers=headers)


def _batches_of(events: Sequence[Event], selection: Selection) -> Iterator[pyarrow.RecordBatch]:
    return batches([StoredVectors.of(Columns.of(events), commit=0)] if events else [], selection)


def selection_of(head: Head) -> Selection:
    """Return the columns that a query string names; InvalidInputError for a wrong one.

    >>> selection_of(Head("GET", "/", "columns=time,level&extra_columns=torque")).names
    ('time', 'level', 'torque')
    """
    given = query.parameters(head.query)
    columns = [name for found in given.get("columns", []) for name in found.split(",") if name]
    extra = [key for key in given.get("extra_columns", []) if key]
    # "all" is a word of CSV exports, and means the same here.
    return Selection.of(None if columns in ([], ["all"]) else columns, extra)
