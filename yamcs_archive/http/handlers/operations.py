"""The routes of operation: what an operator does with an instance; off unless the server allows them.

Their answers are JSON in any case: no Yamcs client asks for them.
"""

from __future__ import annotations

from yamcs_archive.errors import UnavailableError
from yamcs_archive.http import query
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.verification import verification_fields


def verify_instance(request: Request) -> Response:
    """Read everything that an instance stores, in a process of its own, and answer what is wrong.

    One at a time for an instance. It ends when the client leaves, if the server notices that.
    """
    fields = query.fields_of_query(request.head.query, ("quick",))
    quick = fields.flag("quick")
    instance = request.instance()
    with request.services.admission.operations.alone("verify", instance.name):
        found = instance.verify(quick=quick, isolated=True, cancelled=request.given_up)
    if found is None:
        raise UnavailableError("the verification was ended: nobody waits for its answer")
    return reply(JSON, json.encode(verification_fields(found)))
