"""The WSGI adapter: from environ to the application and back. Holds no rules.

It waits for a pending answer on the server's thread. One commit stores the events of all requests that wait,
so give the server as many threads as requests should be committed together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application
from yamcs_archive.http.errors import BodyTooLargeError, CutOffError
from yamcs_archive.http.limits import THREAD_POLLS_MAX
from yamcs_archive.http.request_and_response import Head, Response, note_user
from yamcs_archive.http.routes import below, route_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_READ_BYTES = 64 << 10
BODY_ERROR = "yamcs_archive.body_error"
"""The key of an environ with the ArchiveError for which a server could not receive the body."""


class BodyUse(Enum):
    """What becomes of the body of a request."""

    NONE = auto()
    """It is not read: the request is refused by its head."""
    WHOLE = auto()
    """It will be in memory as a whole."""
    AS_IT_COMES = auto()
    """It is read a part at a time, however long it is."""


class WsgiApp:
    """A WSGI application; works under any WSGI server. See :func:`create_app`."""

    def __init__(self, application: Application) -> None:
        self.core = application

    def end_polls(self) -> None:
        """Answer all long polls now, with what there is: serving ends."""
        self.core.end_polls()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        response = self._answer(environ)
        start_response(response.reason, list(response.headers))
        if not isinstance(response.body, bytes):
            return response.body
        if environ["REQUEST_METHOD"] == "HEAD" and not response.length_known:
            return iter((b"",))  # not a list: a server would send its length
        return [response.body]

    def body_use(self, environ: WSGIEnvironment) -> BodyUse:
        """Return what becomes of the body of a request, so that a server can receive it before it calls."""
        try:
            route, _ = route_of(_head(environ, self.core.prefix))
        except ArchiveError:
            return BodyUse.NONE
        return BodyUse.AS_IT_COMES if route.streams else BodyUse.WHOLE

    def _answer(self, environ: WSGIEnvironment) -> Response:
        begun = self.core.begin(_head(environ, self.core.prefix))
        if isinstance(begun, Future):  # a password is being checked
            begun = begun.result()
        if begun.user:
            note_user(environ, begun.user)
        if isinstance(begun, Response):
            return begun
        if (failed := environ.get(BODY_ERROR)) is not None:
            return begun.refuse(failed)
        chunks = _chunks(environ, begun.content_length)
        try:
            body = chunks if begun.streams else _whole(chunks, begun.body_bytes_max)
        except ArchiveError as error:
            return begun.refuse(error)
        answer = begun.run(body)
        return answer if isinstance(answer, Response) else answer.wait()


def create_app(
    archive: Archive,
    polls_max: int = THREAD_POLLS_MAX,
    *,
    cors_origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] = (),
    operations: bool = False,
    access: AccessOptions | None = None,
) -> WsgiApp:
    """Return the WSGI application for an open archive, to put under a server or into another application.

    ``polls_max`` answers may wait for something to be stored (``events:changes``), each on a thread of the
    server, which must have more threads than that. Web pages of ``cors_origins`` (``https://ops.example``)
    may use the archive. ``allowed_hosts`` (``ops.example``, or ``.example`` for all below it) are the names
    by which clients know the server, in addition to ``localhost`` and IP addresses: a request with another
    name is a 403. ``operations`` allows the routes that delete or read everything (``:verify``), to everybody
    who can reach the server; without it each is a 403. ``access`` has the users file, from which each
    request's sender must be then, and what it says is permitted. Raises InvalidInputError for a value that is
    no origin or host, and for a users file that cannot be used.

    >>> app = create_app(Archive.open(directory))
    >>> environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz"}
    >>> b"".join(app(environ, lambda status, headers: print(status)))
    200 OK
    b'{\\n  "status": "ok"\\n}'
    """
    application = Application(
        archive,
        polls_max,
        cors_origins=cors_origins,
        allowed_hosts=allowed_hosts,
        operations=operations,
        access=access,
    )
    return WsgiApp(application)


def _head(environ: WSGIEnvironment, prefix: str) -> Head:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    # PEP 3333: the text has the path's bytes, as latin-1.
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    mounted_at = str(environ.get("SCRIPT_NAME", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    return Head(
        environ["REQUEST_METHOD"],
        below(mounted_at or prefix, path),
        environ.get("QUERY_STRING", ""),
        headers,
        environ.get("REMOTE_ADDR", ""),
        environ.get("wsgi.url_scheme", "http"),
    )


def _whole(chunks: Iterable[bytes], bytes_max: int) -> bytes:
    """Read a whole body, a part beyond the limit at most; an ArchiveError to refuse the request with."""
    parts: list[bytes] = []
    received = 0
    for part in chunks:
        parts.append(part)
        received += len(part)
        if received > bytes_max:
            raise BodyTooLargeError()
    return b"".join(parts)


def _chunks(environ: WSGIEnvironment, length: int | None) -> Iterator[bytes]:
    """Yield the body as it comes: as long as Content-Length says, or to the end of a chunked one."""
    stream: Any = environ.get("wsgi.input")
    if length is None and not (environ.get("HTTP_TRANSFER_ENCODING") or environ.get("wsgi.input_terminated")):
        return
    received = 0
    while length is None or received < length:
        part = stream.read(_READ_BYTES if length is None else min(_READ_BYTES, length - received))
        if not part:
            break
        received += len(part)
        yield part
    if length is not None and received < length:
        raise CutOffError(received, length)
