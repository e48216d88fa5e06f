"""The route that streams a backup of an instance."""

from __future__ import annotations

from datetime import UTC, datetime

from yamcs_archive.errors import BadCursorError, InvalidInputError
from yamcs_archive.http import query
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response
from yamcs_archive.http.streaming import streamed

_MEDIA = "application/octet-stream"
_PARAMETERS = ("after",)


def stream_backup(request: Request) -> Response:
    """Answer a backup of everything, or of what was stored after the cursor of another one, as it is read."""
    values = query.parameters(request.head.query)
    for name in values:
        if name not in _PARAMETERS:  # a misspelt one would make a full backup
            raise InvalidInputError(name, values[name][-1], f"is not one of {', '.join(_PARAMETERS)}")
    after = values["after"][-1] if "after" in values else ""
    request.refuse_unless_all_sources()
    instance = request.instance()
    name = f"{instance.name}.{datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup"
    headers = (("content-disposition", f'attachment; filename="{name}"'),)
    if request.head_only:  # nothing is read: the length is known only at the end
        return Response(200, (("content-type", _MEDIA), *headers), iter(()))
    try:
        stream = instance.backup_stream(after or None, cancelled=request.given_up)
    except BadCursorError as error:  # it must name the parameter that the cursor came in
        raise BadCursorError("after", error.value, error.rule) from None
    return streamed(_MEDIA, stream, headers)
