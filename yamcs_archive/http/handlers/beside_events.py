"""The routes about what an archive of events does not have: empty answers, so that clients start quietly.

Open MCT and the official client ask a Yamcs server for its processors, its database of parameters, alarms
and links before they come to events, and report a 404 as an error. Here these lists have no elements,
whatever the processor is called. An unknown instance is still a 404.
"""

from __future__ import annotations

from yamcs_archive.access.permissions import Permission
from yamcs_archive.http.errors import forbidden
from yamcs_archive.http.query import fields_of_query
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.wire.pb import yamcs_archive_beside_events_pb2 as beside


def list_processors(request: Request) -> Response:
    """List no processors, of all instances or of the one in the query string."""
    name = fields_of_query(request.head.query, ("instance",)).text("instance")
    if name is not None:
        if not request.caller.allows(Permission.READ_EVENTS, name):
            raise forbidden(f"Missing system privilege '{Permission.READ_EVENTS}'")
        request.archive.instance(name)
    return request.answer(beside.EmptyList())


def list_nothing(request: Request) -> Response:
    """List no alarms, overrides, links or services of an instance."""
    request.instance()
    return request.answer(beside.EmptyList())


def list_mdb(request: Request) -> Response:
    """List no elements of the database of an instance."""
    request.instance()
    return request.answer(beside.EmptyMdbList(totalSize=0))


def list_queues(request: Request) -> Response:
    """List no command queues; in JSON with the empty list, which Open MCT reads without asking for it."""
    request.instance()
    return reply(request.codec.media, request.codec.message_with_lists(beside.ListQueuesResponse()))
