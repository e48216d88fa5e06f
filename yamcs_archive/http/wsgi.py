"""The WSGI adapter: from environ to the core and back. Holds no rules.

It waits for a pending answer on the server's thread, so give the server as many threads as requests
shall be committed together: one commit serves all that wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from yamcs_archive.archive import Archive
from yamcs_archive.http.application import Core
from yamcs_archive.http.errors import CutOffError
from yamcs_archive.http.messages import Call, Head, Response
from yamcs_archive.http.routes import below
from yamcs_archive.limits import THREAD_POLLS_MAX

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_READ_BYTES = 64 << 10


class WsgiApp:
    """A WSGI application over an open archive; works under any WSGI server.

    >>> archive = Archive.open(directory)
    >>> statuses = []
    >>> environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz"}
    >>> b"".join(WsgiApp(archive)(environ, lambda status, headers: statuses.append(status)))
    b'{\\n  "status": "ok"\\n}'
    >>> statuses
    ['200 OK']
    """

    def __init__(
        self,
        archive: Archive,
        polls_max: int = THREAD_POLLS_MAX,
        *,
        cors_origins: Iterable[str] = (),
        allowed_hosts: Iterable[str] = (),
    ) -> None:
        self._core = Core(archive, polls_max, cors_origins=cors_origins, allowed_hosts=allowed_hosts)

    def end_polls(self) -> None:
        """Let every answer that waits for something to be stored leave now: serving ends."""
        self._core.end_polls()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        response = self._answer(environ)
        start_response(response.reason, list(response.headers))
        if not isinstance(response.body, bytes):
            return response.body
        if environ["REQUEST_METHOD"] == "HEAD" and not response.length_known:
            return iter((b"",))  # not a list: a server would send its length
        return [response.body]

    def _answer(self, environ: WSGIEnvironment) -> Response:
        begun = self._core.begin(_head(environ))
        if isinstance(begun, Response):
            return begun
        if begun.stream is not None:
            return begun.stream(_chunks(environ, None))
        body = _body(environ, begun)
        if isinstance(body, Response):
            return body
        answer = begun.run(body)
        return answer if isinstance(answer, Response) else answer.wait()


def create_app(
    archive: Archive,
    polls_max: int = THREAD_POLLS_MAX,
    *,
    cors_origins: Iterable[str] = (),
    allowed_hosts: Iterable[str] = (),
) -> WsgiApp:
    """Return the WSGI application for an open archive, to put under a server or into another application.

    ``polls_max`` answers may wait for something to be stored (``events:changes``), each on a thread of the
    server's: let it have more threads than that. Pages of ``cors_origins`` (``https://ops.example``) may use
    it from a browser. ``allowed_hosts`` (``ops.example``, or ``.example`` for all below it) are the names by
    which clients know the server, beside ``localhost`` and IP addresses: a request for another one is
    a 403. Raises InvalidInputError for a value that is no origin or host.

    >>> create_app(Archive.open(directory)).__class__.__name__
    'WsgiApp'
    """
    return WsgiApp(archive, polls_max, cors_origins=cors_origins, allowed_hosts=allowed_hosts)


def _head(environ: WSGIEnvironment) -> Head:
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    # PEP 3333: the path's bytes stand in the text as latin-1.
    path = str(environ.get("PATH_INFO", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    mounted_at = str(environ.get("SCRIPT_NAME", "")).encode("latin-1", "replace").decode("utf-8", "replace")
    return Head(environ["REQUEST_METHOD"], below(mounted_at, path), environ.get("QUERY_STRING", ""), headers)


def _body(environ: WSGIEnvironment, call: Call) -> bytes | Response:
    """Read a whole body; never beyond the limit."""
    parts: list[bytes] = []
    got = 0
    try:
        for part in _chunks(environ, call.body_bytes_max + 1):
            parts.append(part)
            got += len(part)
            if got > call.body_bytes_max:
                return call.too_large()
    except CutOffError:
        return call.cut_off(got, int(environ["CONTENT_LENGTH"]))
    return b"".join(parts)


def _chunks(environ: WSGIEnvironment, bytes_max: int | None) -> Iterator[bytes]:
    """Yield the body as it comes: what Content-Length says, or to the end of a chunked one."""
    stream: Any = environ.get("wsgi.input")
    said = environ.get("CONTENT_LENGTH")
    wanted: int | None = bytes_max
    if said:
        wanted = int(said)  # the core has seen that it is a number
    elif not (environ.get("HTTP_TRANSFER_ENCODING") or environ.get("wsgi.input_terminated")):
        return
    got = 0
    while wanted is None or got < wanted:
        part = stream.read(_READ_BYTES if wanted is None else min(_READ_BYTES, wanted - got))
        if not part:
            break
        got += len(part)
        yield part
    if said and got < int(said):
        raise CutOffError(got, int(said))
