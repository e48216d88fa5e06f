"""Which media type an answer has, and how errors look: the one place that maps errors to statuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage

from yamcs_archive.errors import (
    ArchiveError,
    BadCursorError,
    ConflictError,
    CursorGoneError,
    DamagedError,
    ExpiredError,
    FilterError,
    InvalidInputError,
    MirrorError,
    NumbersExhaustedError,
    OtherHistoryError,
    OutcomeUnknownError,
    OutOfSpaceError,
    ReadOnlyError,
    RequestIdError,
    UnavailableError,
    UnknownInstanceError,
)
from yamcs_archive.http.messages import JSON, PROTOBUF, Response
from yamcs_archive.results import AppendCounts
from yamcs_archive.wire import json, protobuf
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.pb import yamcs_archive_2016_pb2 as v2016
from yamcs_archive.wire.pb import yamcs_archive_changes_pb2 as changes
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint


class HttpError(ArchiveError):
    """A request that fails in the HTTP layer itself: status, type as clients see it, further headers."""

    def __init__(self, status: int, kind: str, text: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.status, self.kind, self.headers = status, kind, headers


class CutOffError(HttpError):
    """The body ended before its Content-Length, or its last chunk: the client went away, or counted wrong."""

    def __init__(self, got: int, said: int | None) -> None:
        missing = "its last chunk is missing" if said is None else f"content-length says {said}"
        super().__init__(400, "BadRequestException", f"the body ends after {got} bytes, {missing}")


STATUS_BY_ERROR: tuple[tuple[type[ArchiveError], int, str], ...] = (
    (UnknownInstanceError, 404, "NotFoundException"),
    (BadCursorError, 400, "BadRequestException"),
    (InvalidInputError, 400, "BadRequestException"),
    (NumbersExhaustedError, 400, "BadRequestException"),
    (ConflictError, 409, "ConflictException"),
    (ExpiredError, 409, "ExpiredException"),
    (RequestIdError, 409, "RequestIdException"),
    (OtherHistoryError, 409, "OtherHistoryException"),
    (CursorGoneError, 410, "CursorGoneException"),
    (ReadOnlyError, 405, "ReadOnlyException"),
    (OutcomeUnknownError, 503, "OutcomeUnknownException"),
    (OutOfSpaceError, 507, "OutOfSpaceException"),
    (UnavailableError, 503, "ServiceUnavailableException"),
    (DamagedError, 500, "DamagedBlockException"),
    (ArchiveError, 500, "InternalServerErrorException"),
)
"""Most special first: the first type that an error is decides."""


def reply(media: str, body: bytes, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Response:
    """Return a response with a body of that media type."""
    return Response(status, (("content-type", media), ("content-length", str(len(body))), *headers), body)


def error_reply(error: BaseException, media: str, form: Form = Form.TODAY) -> Response:
    """Return the answer for an error, in JSON or protobuf; events in its detail in the request's form.

    >>> print(error_reply(UnknownInstanceError("nosuch", []), JSON).body.decode())
    {
      "code": 404,
      "type": "NotFoundException",
      "msg": "No instance named 'nosuch' (there are: none yet)"
    }
    """
    headers: tuple[tuple[str, str], ...] = ()
    if isinstance(error, HttpError):
        status, kind, headers = error.status, error.kind, error.headers
    else:
        status, kind = next(
            ((status, kind) for known, status, kind in STATUS_BY_ERROR if isinstance(error, known)),
            (500, "InternalServerErrorException"),
        )
    text = _text_of(error)
    if status == 503:  # Service Unavailable
        headers += (("retry-after", "1"),)
    refusal = (f"{status} {kind}", text) if status in (503, 507) else None
    if media == PROTOBUF:
        message = today.ExceptionMessage(code=status, type=kind, msg=text)
        detail = _detail_message(error, form)
        if detail is not None:
            message.detail.CopyFrom(detail)
        return replace(reply(media, message.SerializeToString(), status, headers), refusal=refusal)
    document: dict[str, Any] = {"code": status, "type": kind, "msg": text}
    described = _detail_object(error, form)
    if described is not None:
        document["detail"] = described
    return replace(reply(JSON, json.encode(document), status, headers), refusal=refusal)


def _text_of(error: BaseException) -> str:
    if isinstance(error, FilterError):
        return error.problem  # as a Yamcs server says it; place and reason are in the detail
    if isinstance(error, ReadOnlyError) and not isinstance(error, MirrorError):
        return f"cannot {error.action}: this server serves the archive read-only"
    return str(error) if isinstance(error, ArchiveError) else f"internal error: {type(error).__name__}"


_FILTER_TYPE_URL = "/yamcs.api.FilterSyntaxException"
_SPAN = ("beginLine", "beginColumn", "endLine", "endColumn")


def _span(error: FilterError) -> dict[str, Any]:
    return {**dict(zip(_SPAN, error.span, strict=True)), "reason": error.reason}


def _detail_object(error: BaseException, form: Form) -> dict[str, Any] | None:
    if isinstance(error, ConflictError):
        return {
            "@type": _type_url(form, "Conflict"),
            "stored": json.shown(error.stored, form, exact=True),
            "offered": json.shown(error.offered, form, exact=True),
        }
    if isinstance(error, CursorGoneError):
        return {"@type": f"/{changes.DESCRIPTOR.package}.CursorGone", "oldest": error.oldest}
    if isinstance(error, OtherHistoryError) and error.commit is not None:
        return {"@type": f"/{changes.DESCRIPTOR.package}.OtherHistory", "commit": error.commit}
    if isinstance(error, FilterError):
        return {"@type": _FILTER_TYPE_URL, **_span(error)}
    if isinstance(error, OutcomeUnknownError) and error.events:
        return {
            "@type": _type_url(form, "OutcomeUnknown"),
            "event": json.shown(error.events[0], form, exact=True),
        }
    if isinstance(error, ArchiveError) and isinstance(error.counts, AppendCounts):
        return {"@type": _type_url(form, "BatchResponse"), "position": error.position} | counts_object(
            error.counts, form
        )
    return None


def counts_object(counts: AppendCounts, form: Form) -> dict[str, Any]:
    """Return what became of a batch as JSON shows it, events in a form.

    >>> counts_object(AppendCounts(stored=2), Form.TODAY)
    {'stored': 2, 'duplicates': 0, 'expired': 0, 'conflictCount': 0, 'conflicts': []}
    """
    return {
        "stored": counts.stored,
        "duplicates": counts.duplicates,
        "expired": counts.expired,
        "conflictCount": counts.conflict_count,
        "conflicts": [
            {
                "position": conflict.position,
                "stored": json.shown(conflict.stored, form, exact=True),
                "offered": json.shown(conflict.offered, form, exact=True),
            }
            for conflict in counts.conflicts
        ],
    }


def counts_message(counts: AppendCounts, form: Form, position: int | None = None) -> bytes:
    """Return what became of a batch as the message ``BatchResponse`` of a form.

    >>> today.BatchResponse.FromString(counts_message(AppendCounts(stored=2), Form.TODAY)).stored
    2
    """
    message = (v2016 if form is Form.V2016 else today).BatchResponse(
        stored=counts.stored,
        duplicates=counts.duplicates,
        expired=counts.expired,
        conflictCount=counts.conflict_count,
        position=position,
    )
    refused = [
        protobuf.encode_fields(
            [
                (2, protobuf.encode_event(conflict.stored, form, exact=True)),
                (3, protobuf.encode_event(conflict.offered, form, exact=True)),
            ]
        )
        + b"\x08"
        + varint(conflict.position)
        for conflict in counts.conflicts
    ]
    whole: bytes = message.SerializeToString()
    return whole + protobuf.encode_fields((5, one) for one in refused)


def _detail_message(error: BaseException, form: Form) -> AnyMessage | None:
    if isinstance(error, ConflictError):
        both = error.stored, error.offered
        stored, offered = (protobuf.encode_event(event, form, exact=True) for event in both)
        return AnyMessage(
            type_url=_type_url(form, "Conflict"), value=protobuf.encode_fields([(1, stored), (2, offered)])
        )
    if isinstance(error, CursorGoneError):
        gone = changes.CursorGone(oldest=error.oldest).SerializeToString()
        return AnyMessage(type_url=f"/{changes.DESCRIPTOR.package}.CursorGone", value=gone)
    if isinstance(error, OtherHistoryError) and error.commit is not None:
        other = changes.OtherHistory(commit=error.commit).SerializeToString()
        return AnyMessage(type_url=f"/{changes.DESCRIPTOR.package}.OtherHistory", value=other)
    if isinstance(error, FilterError):
        value = today.FilterSyntaxException(**_span(error)).SerializeToString()
        return AnyMessage(type_url=_FILTER_TYPE_URL, value=value)
    if isinstance(error, OutcomeUnknownError) and error.events:
        event = protobuf.encode_event(error.events[0], form, exact=True)
        return AnyMessage(
            type_url=_type_url(form, "OutcomeUnknown"), value=protobuf.encode_fields([(1, event)])
        )
    if isinstance(error, ArchiveError) and isinstance(error.counts, AppendCounts):
        counts = counts_message(error.counts, form, error.position)
        return AnyMessage(type_url=_type_url(form, "BatchResponse"), value=counts)
    return None


def _type_url(form: Form, name: str) -> str:
    package = (v2016 if form is Form.V2016 else today).DESCRIPTOR.package
    return f"/{package}.{name}"
