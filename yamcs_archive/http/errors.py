"""Errors as answers: the one place that maps errors to statuses, texts and details."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message

from yamcs_archive.errors import (
    ArchiveError,
    ConflictError,
    CursorGoneError,
    DamagedError,
    ExpiredError,
    FilterError,
    InstanceExistsError,
    InvalidInputError,
    MirrorError,
    MissingPackageError,
    NumbersExhaustedError,
    OtherHistoryError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ReadOnlyError,
    RequestIdError,
    UnavailableError,
    UnknownInstanceError,
)
from yamcs_archive.http.request_and_response import Headers, Response, reply
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.results import AppendCounts
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import Codec, Detail, FormMessage
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_changes_pb2 as changes
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.verification import key_fields


class HttpError(ArchiveError):
    """A request that fails before the archive is asked: status, type in the answer, further headers."""

    def __init__(self, status: int, kind: str, text: str, headers: Headers = ()) -> None:
        super().__init__(text)
        self.status, self.kind, self.headers = status, kind, headers


class CutOffError(HttpError):
    """A body that ends before its last byte: the client went away, or its Content-Length is wrong.

    ``content_length`` is None for a body in chunks, the last of which is missing.
    """

    def __init__(self, received: int, content_length: int | None) -> None:
        missing = (
            "its last chunk is missing" if content_length is None else f"content-length says {content_length}"
        )
        super().__init__(400, "BadRequestException", f"the body ends after {received} bytes, {missing}")


class BodyTooLargeError(HttpError):
    """A body that is larger than a single request may be."""

    def __init__(self, bytes_max: int = BODY_BYTES_MAX) -> None:
        super().__init__(
            413,
            "PayloadTooLargeException",
            f"the body is larger than {bytes_max} bytes, the limit for the body of this request;"
            " events:batch takes any number of events",
        )


def forbidden(text: str) -> HttpError:
    """Return the error of a request that its sender may not send."""
    return HttpError(403, "ForbiddenException", text)


class UnauthorizedError(HttpError):
    """A request whose sender is not known. Its answer is the plain text of a Yamcs server."""

    def __init__(self, text: str) -> None:
        super().__init__(401, "UnauthorizedException", text)
        self.why = ""
        """What is wrong, for the log; "" if that says it already."""


MISSING_AUTHENTICATION = "Missing authentication"


def unauthorized(text: str = "401 Unauthorized") -> UnauthorizedError:
    """Return the error of wrong credentials; it says nothing about what is wrong with them."""
    return UnauthorizedError(text)


STATUS_BY_ERROR: tuple[tuple[type[BaseException], int, str], ...] = (
    (UnknownInstanceError, 404, "NotFoundException"),
    (InvalidInputError, 400, "BadRequestException"),
    (NumbersExhaustedError, 400, "BadRequestException"),
    (ConflictError, 409, "ConflictException"),
    (ExpiredError, 409, "ExpiredException"),
    (RequestIdError, 409, "RequestIdException"),
    (InstanceExistsError, 409, "InstanceExistsException"),
    (OtherHistoryError, 409, "OtherHistoryException"),
    (CursorGoneError, 410, "CursorGoneException"),
    (ReadOnlyError, 405, "ReadOnlyException"),
    (MissingPackageError, 501, "NotImplementedException"),
    (OutcomeUnknownError, 503, "OutcomeUnknownException"),
    (OutOfSpaceError, 507, "OutOfSpaceException"),
    (UnavailableError, 503, "ServiceUnavailableException"),
    (DamagedError, 500, "DamagedBlockException"),
    (MemoryError, 503, "ServiceUnavailableException"),
    (BaseException, 500, "InternalServerErrorException"),
)
"""The first row with a type of the error decides, so special types come first."""


def error_reply(error: BaseException, codec: Codec, form: Form = Form.TODAY) -> Response:
    """Return the answer to a request that failed; events in its detail are in that form.

    >>> from yamcs_archive.wire.codecs import JSON_CODEC
    >>> print(error_reply(UnknownInstanceError("nosuch", []), JSON_CODEC).body.decode())
    {
      "code": 404,
      "type": "NotFoundException",
      "msg": "No instance named 'nosuch' (there are: none yet)"
    }
    """
    headers: Headers = ()
    if isinstance(error, UnauthorizedError):
        response = reply("text/plain; charset=UTF-8", str(error).encode(), error.status, error.headers)
        response.refusal = ("401 Unauthorized", error.why) if error.why else None
        return response
    if isinstance(error, HttpError):
        status, kind, headers = error.status, error.kind, error.headers
    else:
        if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
            error = MemoryError()
        _, status, kind = next(row for row in STATUS_BY_ERROR if isinstance(error, row[0]))
    text = _text_of(error)
    if status == 503:  # Service Unavailable
        headers += (("retry-after", "1"),)
    response = reply(codec.media, codec.error(status, kind, text, _detail(error, form)), status, headers)
    if status in (429, 503, 507):
        response.refusal = f"{status} {kind}", text
    return response


def _text_of(error: BaseException) -> str:
    if isinstance(error, FilterError):
        return error.problem  # the text of a Yamcs server; place and reason are in the detail
    if isinstance(error, ReadOnlyError) and not isinstance(error, MirrorError):
        return f"cannot {error.action}: this server serves the archive read-only"
    if isinstance(error, MissingPackageError):
        return f"this server cannot do that without the package {error.package}; install it there"
    if isinstance(error, MemoryError):
        return "this server has no memory left for the request; try again later, or ask for less at once"
    return str(error) if isinstance(error, ArchiveError) else f"internal error: {type(error).__name__}"


_NO_THREAD = "can't start new thread"
"""The text of CPython's error where there is no memory for a thread, or the system allows no more."""
_SPAN = ("beginLine", "beginColumn", "endLine", "endColumn")


def _detail(error: BaseException, form: Form) -> Detail | None:
    """Return what an error's answer has in addition to its text; None if the text says everything."""
    messages = v2016 if form is Form.V2016 else today
    if isinstance(error, ConflictError):
        return _described(messages.Conflict, {"stored": error.stored, "offered": error.offered}, form)
    if isinstance(error, OutcomeUnknownError) and error.events:
        return _described(messages.OutcomeUnknown, {"event": error.events[0]}, form)
    if isinstance(error, ArchiveError) and isinstance(error.counts, AppendCounts):
        message = counts_message(error.counts, form)
        return _described(message.type, {"position": error.position, **message.fields}, form)
    if isinstance(error, CursorGoneError):
        return _described(changes.CursorGone, {"oldest": error.oldest}, form)
    if isinstance(error, OtherHistoryError) and error.commit is not None:
        return _described(changes.OtherHistory, {"commit": error.commit}, form)
    if isinstance(error, DamagedError) and error.first is not None:
        keys = {"first": error.first, "last": error.last}
        shown = {name: key_fields(key) for name, key in keys.items() if key is not None}
        number = {} if error.events is None else {"events": error.events}
        return _described(changes.DamagedBlock, {**shown, **number}, form)
    if isinstance(error, FilterError):
        fields = {**dict(zip(_SPAN, error.span, strict=True)), "reason": error.reason}
        # The type that a Yamcs server names.
        return Detail("/yamcs.api.FilterSyntaxException", FormMessage(today.FilterSyntaxException, fields))
    return None


def _described(kind: type[Message], fields: dict[str, Any], form: Form) -> Detail:
    return Detail(f"/{kind.DESCRIPTOR.full_name}", FormMessage(kind, fields, form, exact=True))


def counts_message(counts: AppendCounts, form: Form) -> FormMessage:
    """Return the answer that says what became of a batch.

    >>> counts_message(AppendCounts(stored=2), Form.TODAY).fields["stored"]
    2
    """
    fields = {
        "stored": counts.stored,
        "duplicates": counts.duplicates,
        "expired": counts.expired,
        "conflictCount": counts.conflict_count,
        "conflicts": [
            {"position": conflict.position, "stored": conflict.stored, "offered": conflict.offered}
            for conflict in counts.conflicts
        ],
    }
    kind = (v2016 if form is Form.V2016 else today).BatchResponse
    return FormMessage(kind, fields, form, exact=True)
