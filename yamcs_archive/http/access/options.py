"""What an application is told about its users and about the proxies before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from yamcs_archive.credentials import check_url
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.access.proxies import Proxies

if TYPE_CHECKING:
    from yamcs_archive.http.access.authentication import Authentication

_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True)
class AccessOptions:
    """Who may use an application. Without any of them, everybody who can reach it."""

    users: Path | None = None
    """The users file; None: nobody logs in, and everybody may do everything but operations."""
    insecure: bool = False
    """There are no users, and not only this machine can reach the server: other checks are stricter."""
    trust_proxy: Sequence[str] = ()
    """Addresses and networks of proxies whose headers count: where a client is, and who it is."""
    user_header: str | None = None
    """The header in which a trusted proxy names the user."""
    public_url: str | None = None
    """The URL by which users reach the server through a proxy."""

    def authentication(self, proxies: Proxies, *, holds_threads: bool = False) -> Authentication | None:
        """Return the users; None if there is no users file. Raises InvalidInputError if it cannot be used.

        ``holds_threads``: a request whose password is checked holds a thread.
        """
        if self.users is None:
            if self.user_header is not None:
                rule = "needs a users file, which says what each user may do"
                raise InvalidInputError("user_header", self.user_header, rule)
            return None
        try:
            from yamcs_archive.http.access.authentication import Authentication  # noqa: PLC0415  # needs PyJWT
        except ModuleNotFoundError as error:
            if error.name != "jwt":
                raise
            rule = "needs the package PyJWT, which the extra server brings"
            raise InvalidInputError("users", str(self.users), rule) from None
        from yamcs_archive.http.access.password_checks import THREAD_CHECKS_WAITING_MAX  # noqa: PLC0415

        most = THREAD_CHECKS_WAITING_MAX if holds_threads else None
        return Authentication(self.users, proxies, checks_waiting_max=most)


class PublicUrl(NamedTuple):
    """The parts of a public URL; all are empty if it is not known."""

    origin: str | None = None
    """Scheme, host and port, as a browser writes them."""
    hosts: tuple[str, ...] = ()
    """Its host."""
    prefix: str = ""
    """Its path, without a slash at the end."""
    is_secure: bool = False


UNKNOWN_URL = PublicUrl()


def public_url(url: str | None) -> PublicUrl:
    """Return the parts of a public URL; InvalidInputError if it is none.

    >>> public_url("https://Ops.example:443/archive/")
    PublicUrl(origin='https://ops.example', hosts=('ops.example',), prefix='/archive', is_secure=True)
    """
    if url is None:
        return UNKNOWN_URL
    parts = urlsplit(check_url(url, "public_url"))
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    default = parts.port in (None, _DEFAULT_PORTS[parts.scheme])
    origin = f"{parts.scheme}://{shown}" + ("" if default else f":{parts.port}")
    return PublicUrl(origin, (shown,), parts.path.rstrip("/"), parts.scheme == "https")
