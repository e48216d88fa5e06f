"""A request as its handler sees it, and what all requests share; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from yamcs_archive.archive import Archive
from yamcs_archive.http.admission import Admission, Lease
from yamcs_archive.http.cors import Origins
from yamcs_archive.http.media_types import body_codec
from yamcs_archive.http.observation import Observation
from yamcs_archive.http.query import Fields
from yamcs_archive.http.refusal_log import RefusalLog
from yamcs_archive.http.request_and_response import Head, Response, reply
from yamcs_archive.instance import Instance
from yamcs_archive.wire.codec import Codec, FormMessage


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
    operations: bool = False
    """Routes of operation may be used."""


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
    lease: Lease
    """The memory that the answer may use."""
    given_up: Callable[[], bool]
    """Returns True once nobody waits for the answer any longer: reading for it should end."""

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
