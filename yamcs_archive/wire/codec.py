"""What a codec is: the bodies of one media type, read and written; pure.

1. A request chooses its codecs once, by its headers: one for its body, one for its answer. After that nothing
   asks for a media type again.
2. An answer is given to a codec as a protobuf message, or as a :class:`FormMessage` if it has events in it.
   So each answer, and each detail of an error, is described once for all media types.
3. Single events, pages and streams have methods of their own, because they are written most often; pages and
   streams are written many events at once (:mod:`~yamcs_archive.wire.bulk`).

:mod:`~yamcs_archive.wire.codecs` has the table of all codecs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from google.protobuf.message import Message

from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.results import Commit
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.batch import Part
from yamcs_archive.wire.pb.yamcs_archive_changes_pb2 import ChangesResponse
from yamcs_archive.wire.pb.yamcs_archive_today_pb2 import ListEventsResponse

JSON, PROTOBUF, MSGPACK, CSV = "application/json", "application/protobuf", "application/msgpack", "text/csv"

RequestFields = tuple[Mapping[str, Any], Callable[[Any, str], int]]
"""The fields of a request's body by name, and a function that reads a time, given its value and its name."""


class FormMessage(NamedTuple):
    """A message that has events in it, which are written in one form of the API.

    ``fields`` are those of the protobuf message ``type``, by name: events, numbers, texts, or lists of events
    or of further mappings. JSON has them in this order.
    """

    type: type[Message]
    fields: Mapping[str, Any]
    form: Form = Form.TODAY
    exact: bool = False
    """In the 2016 form the texts of times have microseconds, so that the events can be sent back."""


class Detail(NamedTuple):
    """The details in an error's answer: a message, and the URL of its type."""

    type_url: str
    message: FormMessage


class BatchCodec(Protocol):
    """Reads batches; writes streams, and pages of changes: what was stored after a cursor."""

    media: str
    """The media type."""
    whole_commits: bool
    """True if changes are written as commits with their times; else as events alone."""

    def decode_batch(self, chunks: Iterable[bytes], *, keeps_user: bool = False) -> Iterator[Part]:
        """Yield the events of a batch as its body comes; InvalidInputError with the position of a bad one.

        ``keeps_user``: an element in the form of an answer keeps the user who created the event.
        """

    def changes(self, commits: Sequence[Commit], cursor: str, form: Form, /) -> bytes:
        """Return a page of changes, and the cursor after it."""

    def stream(self, events: StoredVectors) -> bytes:
        """Return a part of a stream of events, in today's form, or in one that loses nothing."""


class Codec(BatchCodec, Protocol):
    """Reads and writes all bodies of the API in one media type."""

    whole_commits: bool = False

    def decode_event(self, body: bytes, *, keeps_user: bool = False) -> tuple[Form, Event]:
        """Return the event of a create request and the form that it is in; InvalidInputError.

        ``keeps_user`` is as for :meth:`decode_batch`.
        """

    def decode_request(self, body: bytes, message: Message) -> RequestFields:
        """Return the fields of any other request, whose message is given empty; InvalidInputError.

        An empty body has no fields. A field that the message does not have is refused.
        """

    def event(self, event: Event, form: Form) -> bytes:
        """Return one stored event."""

    def page(self, events: Sequence[Event], token: str | None, form: Form) -> bytes:
        """Return a page of events, and the token of the next page if there is one."""
        fields = {"event": list(events), "continuationToken": token}
        given = {name: value for name, value in fields.items() if value}
        return self.form_message(FormMessage(ListEventsResponse, given, form))

    def changes(self, commits: Sequence[Commit], cursor: str, form: Form, /) -> bytes:
        """Return a page of changes, and the cursor after it."""
        events = [event for commit in commits for event in commit.events]
        return self.form_message(FormMessage(ChangesResponse, {"events": events, "cursor": cursor}, form))

    def records(self, messages: Iterable[Message]) -> bytes:
        """Return a part of a stream of other messages."""

    def message(self, message: Message) -> bytes:
        """Return an answer; its empty lists are left out."""

    def message_with_lists(self, message: Message) -> bytes:
        """Return an answer; in JSON, its empty lists are written too."""

    def form_message(self, message: FormMessage) -> bytes:
        """Return an answer that has events in it."""

    def error(self, code: int, kind: str, text: str, detail: Detail | None = None) -> bytes:
        """Return the answer to a request that failed."""
