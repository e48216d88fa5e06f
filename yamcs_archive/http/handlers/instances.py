"""The routes that create, rename and delete an instance."""

from __future__ import annotations

from yamcs_archive.access.permissions import Permission
from yamcs_archive.errors import InvalidInputError, shown
from yamcs_archive.http import query
from yamcs_archive.http.errors import forbidden
from yamcs_archive.http.handlers.retention import object_in
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.json_scalars import as_text


def create_instance(request: Request) -> Response:
    """Create the instance in the path, unless it is there; sent again, it does nothing."""
    object_in(request.body, ())
    name = request.archive.instance(request.names["instance"], create=True).name
    return reply(JSON, json.encode({"name": name}))


def rename_instance(request: Request) -> Response:
    """Give an instance the name in the body."""
    given = object_in(request.body, ("name",))
    if "name" not in given:
        raise InvalidInputError("name", None, "must be given: the new name")
    name = as_text(given["name"], "name")
    if not request.caller.allows(Permission.MANAGE_ARCHIVE, name):
        raise forbidden(f"Missing system privilege '{Permission.MANAGE_ARCHIVE}' for instance {shown(name)}")
    request.archive.rename(request.names["instance"], name)
    return reply(JSON, json.encode({"name": name}))


def delete_instance(request: Request) -> Response:
    """Delete an instance whose name is given once more."""
    values = query.parameters(request.head.query)
    for field in values:
        if field != "confirm":
            raise InvalidInputError(field, values[field][-1], "is not one of confirm")
    name = request.names["instance"]
    request.archive.delete(name, confirm=values.get("confirm", [""])[-1])
    return reply(JSON, json.encode({}))
