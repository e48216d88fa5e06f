"""A served archive, as a Python program holds it."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

import msgspec

from yamcs_archive import arguments
from yamcs_archive.client.answer_codec import object_of
from yamcs_archive.client.instance import RemoteInstance, answer_of, instance_names, quoted
from yamcs_archive.client.transport import Request, Transport
from yamcs_archive.credentials import Credentials, Login, Token
from yamcs_archive.errors import InvalidInputError

if TYPE_CHECKING:
    from yamcs_archive.reports import Diagnosis


class Client:
    """A served archive, at a URL without a user in it. Safe to use from many threads at once.

    ``user`` and ``password`` (HTTP Basic), or a bearer ``token``, are sent to that server alone, and shown
    nowhere. Proxies are those of the environment (``http_proxy``, ``https_proxy``, ``no_proxy``). A server
    may stay silent for ``timeout_s`` seconds (60). When a connection breaks, or the server is busy, requests
    that read are sent up to ``retries`` times again (2), and so are appends with a ``request_id``.

    For ``https``, an ``ssl_context`` says whom to trust and which certificate to show. Without one, these are
    the authorities of the system, or those in the file that ``SSL_CERT_FILE`` names, and the certificate in
    the files that ``YAMCS_ARCHIVE_CLIENT_CERTIFICATE`` and ``YAMCS_ARCHIVE_CLIENT_KEY`` name.

    Raises InvalidInputError for values that cannot be used. Nothing is sent before a method is called; each
    raises :class:`~yamcs_archive.errors.ServerUnavailableError` when there is no answer, and
    :class:`~yamcs_archive.errors.ServerRefusedError` when the server refuses or is no archive.

    >>> with Client(url) as client:
    ...     client.instances()
    ['simulator']
    """

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        credentials: Credentials | None = None,
        timeout_s: float = 60.0,
        retries: int = 2,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        """``credentials``, made before, take the place of ``user``, ``password`` and ``token``."""
        self._transport = Transport(
            arguments.text("url", url),
            _credentials(user, password, token) if credentials is None else credentials,
            retries=arguments.whole("retries", retries, 0, 100),
            read_s=arguments.seconds("timeout_s", timeout_s, 86_400),
            ssl_context=_ssl_context(ssl_context),
        )

    @property
    def url(self) -> str:
        """The server's URL, without a slash at its end."""
        return self._transport.url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that are kept; idempotent. The next call makes a new one."""
        self._transport.close()

    def end(self) -> None:
        """End the requests of other threads, and refuse all later ones; idempotent."""
        self._transport.end()

    def instances(self) -> list[str]:
        """Return the names of the instances, sorted.

        >>> client.instances()
        ['simulator']
        """
        return instance_names(self._transport)

    def rename(self, name: str, new_name: str) -> None:
        """Give an instance another name; see :meth:`Archive.rename`. The server must allow operations.

        >>> client.rename("simulator", "bench")
        >>> client.instances()
        ['bench']
        """
        new_name = arguments.text("new_name", new_name)
        found = self.instance(name, check=False)
        body = msgspec.json.encode({"name": new_name})
        path = f"/api/instances/{quoted(found.name)}:rename"
        found.ask(Request("POST", path, body, repeatable=False))

    def delete(self, name: str, *, confirm: str) -> None:
        """Delete an instance and all of its events; ``confirm`` must be its name once more.

        See :meth:`Archive.delete`. The server must allow operations.

        >>> client.delete("simulator", confirm="simulator")
        >>> client.instances()
        []
        """
        found = self.instance(name, check=False)
        path = f"/api/instances/{quoted(found.name)}?confirm={quoted(arguments.text('confirm', confirm))}"
        found.ask(Request("DELETE", path, repeatable=False))

    def diagnose(self, *, instances: Iterable[str] | None = None) -> Diagnosis:
        """Have the server examine itself; see :meth:`Archive.diagnose`. It must allow operations.

        Beside what that finds, the answer says whether the server is ready, and how far copies are behind.

        Raises UnknownInstanceError; ServerUnavailableError while another examination is under way.

        >>> client.diagnose().findings[0].subject
        'space'
        """
        # Few programs ask for it, and loading it takes some milliseconds; as in RemoteInstance.summary().
        from yamcs_archive.wire.reports import diagnosis_of  # noqa: PLC0415

        names = [] if instances is None else sorted(arguments.names("instances", instances))
        path = "/api/doctor"
        if names:
            path += "?" + "&".join(f"instance={quoted(name)}" for name in names)
        request = Request("POST", path, repeatable=False)
        answer = answer_of(self._transport, request)
        try:
            return diagnosis_of(object_of(self._transport, answer))
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.strange(f"it is no diagnosis: {error!r}") from None

    def instance(self, name: str, *, create: bool = False, check: bool = True) -> RemoteInstance:
        """Return the instance of that name; with ``create``, have the server create it if there is none.

        Raises :class:`~yamcs_archive.errors.UnknownInstanceError`; InvalidInputError for a name that cannot
        be part of a path. With ``check=False`` the server is not asked; the first call of a method does. For
        ``create`` the server must allow operations, and InvalidInputError is raised for a name that no
        instance can have.

        >>> client.instance("simulator")
        RemoteInstance('simulator', 'http://127.0.0.1:...')
        >>> client.instance("bench", create=True).count()
        0
        """
        name = arguments.text("name", name)
        if "/" in name or name in ("", ".", ".."):
            raise InvalidInputError("name", name, "is not the name of an instance")
        found = RemoteInstance(self._transport, name)
        if arguments.flag("create", create):
            # Sent again it does nothing, so it may be.
            found.ask(Request("PUT", f"/api/instances/{quoted(name)}"))
        elif check:
            found.ask(Request("GET", f"/api/instances/{quoted(found.name)}"))
        return found


def _ssl_context(given: object) -> ssl.SSLContext | None:
    if given is not None and not isinstance(given, ssl.SSLContext):
        raise InvalidInputError("ssl_context", type(given).__name__, "must be an ssl.SSLContext")
    return given


def _credentials(user: object, password: object, token: object) -> Credentials | None:
    if token is not None:
        if user is not None or password is not None:
            raise InvalidInputError("token", "…", "must be given without a user and a password")
        return Token(arguments.text("token", token))
    if user is None:
        if password is not None:
            raise InvalidInputError("password", "…", "must be given with a user")
        return None
    if not isinstance(password, str):
        raise InvalidInputError("password", "…", "must be text, beside user=")
    return Login(arguments.text("user", user), password)
