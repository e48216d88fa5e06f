"""A request as its handler sees it, and what all requests share; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import Message

from yamcs_archive.access.callers import Caller
from yamcs_archive.access.permissions import Permission, Sources
from yamcs_archive.archive import Archive
from yamcs_archive.http.access.options import UNKNOWN_URL, PublicUrl
from yamcs_archive.http.access.proxies import NO_PROXIES, Proxies
from yamcs_archive.http.admission import Admission, Lease
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.errors import forbidden
from yamcs_archive.http.media_types import body_codec
from yamcs_archive.http.observation import Observation
from yamcs_archive.http.query import EventQuery, Fields
from yamcs_archive.http.refusal_log import RefusalLog
from yamcs_archive.http.request_and_response import Head, Response, reply
from yamcs_archive.instance import Instance
from yamcs_archive.wire.codec import Codec, FormMessage

if TYPE_CHECKING:
    from yamcs_archive.http.access.authentication import Authentication  # needs the extra


@dataclass(frozen=True, slots=True)
class Services:
    """What all requests to an application share."""

    archive: Archive
    origins: Origins
    admission: Admission
    refusals: RefusalLog
    observation: Observation
    live: bool
    """The adapter carries WebSockets."""
    guest: Caller
    """Everybody, if there are no users."""
    authentication: Authentication | None = None
    """The users; None: there are none, and nobody logs in."""
    proxies: Proxies = NO_PROXIES
    """The proxies that say who their clients are."""
    own: PublicUrl = UNKNOWN_URL
    """The URL by which users reach the server, as far as it is known."""


@dataclass(slots=True)
class Request:
    """A request with its body."""

    services: Services
    head: Head
    names: Mapping[str, str]
    """The names in the path."""
    body: bytes
    chunks: Iterable[bytes]
    """The body of a route that streams, as it comes."""
    codec: Codec
    """Writes the answer."""
    caller: Caller
    """Who sends it."""
    lease: Lease
    """The memory that the answer may use."""
    given_up: Callable[[], bool]
    """Returns True once nobody waits for the answer any longer: reading for it should end."""
    check_still_permitted: Callable[[], None]
    """Raises HttpError if the sender may not do this any longer: its body took a while to come."""

    @property
    def archive(self) -> Archive:
        """The archive that the request asks."""
        return self.services.archive

    @property
    def head_only(self) -> bool:
        """True for a HEAD: the answer is sent without its body."""
        return self.head.method == "HEAD"

    def instance(self) -> Instance:
        """The instance that the path names; UnknownInstanceError, also for names that none can have."""
        return self.archive.instance(self.names["instance"])

    def readable(self) -> Sources | None:
        """The sources of the instance that the caller may read; None: all of them."""
        return self.caller.sources(Permission.READ_EVENTS, self.names["instance"])

    def readable_of(self, asked: frozenset[str] | None) -> frozenset[str] | None:
        """Return the names of those of some sources (None: all) that the caller may read; None for all."""
        allowed = self.readable()
        if allowed is None:
            return asked
        return frozenset(filter(allowed, self.instance().sources() if asked is None else asked))

    def permitted(self, asked: EventQuery) -> EventQuery:
        """Return a query for those events of another one that the caller may read."""
        if self.readable() is None:
            return asked
        return asked._replace(
            selected={**asked.selected, "sources": self.readable_of(asked.selected["sources"])}
        )

    def refuse_unless_all_sources(self) -> None:
        """Raise HttpError unless the caller may read all sources of the instance."""
        if self.readable() is not None:
            raise forbidden("this has the events of all sources, and you may read those of some only")

    def fields(self, message: Message) -> Fields:
        """Return the fields of the body, which are those of ``message``; an empty body has none.

        Raises InvalidInputError for a body that cannot be read.
        """
        return Fields(*body_codec(self.head.headers).decode_request(self.body, message))

    def answer(self, message: Message | FormMessage) -> Response:
        """Return the answer with that message."""
        codec = self.codec
        if isinstance(message, FormMessage):
            return reply(codec.media, codec.form_message(message))
        return reply(codec.media, codec.message(message))
