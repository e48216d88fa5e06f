"""A request as its handler sees it, and what a route is; no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from yamcs_archive.archive import Archive
from yamcs_archive.http.media_types import media_type
from yamcs_archive.http.messages import PROTOBUF, Head, Pending, Response, Work
from yamcs_archive.http.openapi.operation import Operation
from yamcs_archive.http.refusal_log import Refusals
from yamcs_archive.http.weighing import Hold
from yamcs_archive.instance import Instance
from yamcs_archive.wire.form import Form


@dataclass(slots=True)
class Request:
    """A request with its body; ``form`` is what it turned out to be in, for the errors that follow."""

    archive: Archive
    head: Head
    names: Mapping[str, str]
    body: bytes
    media: str
    hold: Hold
    """What the answer holds in memory beside others."""
    chunks: Iterable[bytes] = ()
    """The body of a route that streams, as it comes."""
    form: Form = Form.TODAY
    live: bool = False
    """The server carries WebSockets."""
    given_up: Callable[[], bool] | None = None
    """Says True once nobody waits for the answer any longer: reading for it is to end."""
    refusals: Refusals | None = None
    """The refusals of other requests at present."""

    @property
    def binary(self) -> bool:
        """True when the body is protobuf; everything else is read as JSON."""
        return media_type(self.head.headers) == PROTOBUF

    @property
    def head_only(self) -> bool:
        """True for a HEAD: the answer is sent without its body."""
        return self.head.method == "HEAD"

    def instance(self) -> Instance:
        """The instance that the path names; UnknownInstanceError, also for names that none can have."""
        return self.archive.instance(self.names["instance"])


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path."""

    method: str
    handler: Callable[[Request], Response | Pending]
    operation: Operation
    """What the description of the API says about it."""
    streams: bool = False
    """The body may have any length and is read as it comes."""
    unbounded: bool = False
    """The answer may have any length and is written as it is read."""
    forms: bool = False
    """The query string may choose the form of the answer."""
    work: Work = Work.PAGE
    """What the handler asks of whoever runs it."""
