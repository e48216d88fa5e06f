"""The routes of operation: what an operator does with an instance; off unless the server allows them.

Their answers are JSON in any case: no Yamcs client asks for them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait

from yamcs_archive.errors import UnavailableError
from yamcs_archive.http import query
from yamcs_archive.http.errors import error_reply
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.http.streaming import streamed
from yamcs_archive.results import Verification
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.codecs import JSON_CODEC
from yamcs_archive.wire.verification import verification_fields

_LINES = "application/x-ndjson"
TELL_S = 1.0
"""Seconds between two lines of progress."""


def verify_instance(request: Request) -> Response:
    """Read everything that an instance stores, in a process of its own, and answer what is wrong.

    One at a time for an instance. It ends when the client leaves, if the server notices that.
    """
    fields = query.fields_of_query(request.head.query, ("quick", "progress"))
    quick = fields.flag("quick")
    if fields.flag("progress"):
        return streamed(_LINES, _with_progress(request, quick))
    instance = request.instance()
    with request.services.admission.operations.alone("verify", instance.name):
        found = instance.verify(quick=quick, isolated=True, cancelled=request.given_up)
    if found is None:
        raise _nobody_waits()
    return reply(JSON, json.encode(verification_fields(found)))


def _nobody_waits() -> UnavailableError:
    return UnavailableError("the verification was ended: nobody waits for its answer")


def _with_progress(request: Request, quick: bool) -> Iterator[bytes]:
    """Yield a line about each second, and the last one: what was found, or the error.

    What fails within the first second is raised, and is an answer like any other.
    """
    instance = request.instance()
    ended: Future[Verification | None] = Future()
    far: dict[str, int] = {"read": 0}
    left = threading.Event()

    def tell(read: int, all_: int) -> None:
        far.update(read=read, events=all_)

    def verify() -> None:
        try:
            found = instance.verify(
                quick=quick,
                isolated=True,
                progress=tell,
                cancelled=lambda: left.is_set() or request.given_up(),
            )
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(found)

    with request.services.admission.operations.alone("verify", instance.name):
        thread = threading.Thread(target=verify, name=f"archive-verify-{instance.name}", daemon=True)
        thread.start()
        try:
            begun = False
            while not wait([ended], TELL_S).done:
                begun = True
                yield json.encode_line({"progress": dict(far)})
            yield _last_line(ended, begun)
        finally:
            left.set()  # the client has left, if it has not ended
            thread.join()


def _last_line(ended: Future[Verification | None], begun: bool) -> bytes:
    try:
        found = ended.result()
        if found is None:
            raise _nobody_waits()
    except Exception as error:
        if not begun:
            raise
        body = error_reply(error, JSON_CODEC).body
        said = body if isinstance(body, bytes) else b"".join(body)
        return json.encode_line({"error": json.decode_object(said)})
    return json.encode_line({"result": verification_fields(found)})
