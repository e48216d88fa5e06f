"""The routes of operation: what an operator does with an instance; off unless the server allows them.

Their answers are JSON in any case: no Yamcs client asks for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from yamcs_archive.archive import Archive
from yamcs_archive.errors import DamagedError
from yamcs_archive.http import query
from yamcs_archive.http.progress_lines import LINES, nobody_waits, progress_lines
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.http.streaming import streamed
from yamcs_archive.instance import Instance
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.verification import verification_fields

_WHAT = "verification"


def verify_instance(request: Request) -> Response:
    """Read everything that an instance stores, in a process of its own, and answer what is wrong.

    One at a time for an instance. It ends when the client leaves, if the server notices that.
    """
    fields = query.fields_of_query(request.head.query, ("quick", "progress"))
    quick = fields.flag("quick")
    if fields.flag("progress"):
        return streamed(LINES, _with_progress(request, quick))
    with (
        _to_verify(request) as instance,
        request.services.admission.operations.alone("verify", instance.name),
    ):
        found = instance.verify(quick=quick, isolated=True, cancelled=request.given_up)
    if found is None:
        raise nobody_waits(_WHAT)
    return reply(JSON, json.encode(verification_fields(found)))


@contextmanager
def _to_verify(request: Request) -> Iterator[Instance]:
    """Yield the instance; one that cannot be opened for writing, because its log is damaged, for reading."""
    try:
        instance = request.instance()
    except DamagedError:
        with Archive.open(request.archive.path, readonly=True) as archive:
            yield archive.instance(request.names["instance"])
    else:
        yield instance


def _with_progress(request: Request, quick: bool) -> Iterator[bytes]:
    with (
        _to_verify(request) as instance,
        request.services.admission.operations.alone("verify", instance.name),
    ):
        yield from progress_lines(
            lambda tell, cancelled: instance.verify(
                quick=quick, isolated=True, progress=tell, cancelled=cancelled
            ),
            request.given_up,
            verification_fields,
            _WHAT,
        )
