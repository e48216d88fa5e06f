"""OpenTelemetry's log records (OTLP over HTTP, protobuf and JSON) become events; pure.

1. The messages are those of the official package opentelemetry-proto, of the extra ``otel``: this module is
   loaded only where a request needs it. JSON is read as OTLP defines it: ids in hexadecimal, unknown fields
   ignored.
2. Every record becomes a valid event, whose texts are made to fit (:mod:`~yamcs_archive.fitting`).
3. A request has no id, and an exporter sends it again when the answer is lost. So the number of an event is
   made of all that its record says, and of how often the same request has said that before: then a repeated
   request adds nothing. Such numbers are negative, because the archive's own count on from the greatest.
4. Times keep their microseconds; records that differ in their nanoseconds alone are different events.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from zlib import crc32

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import DecodeError
from msgspec.structs import replace
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.fitting import TYPE_BYTES_MAX, bounded, cut, shortened, text_of
from yamcs_archive.limits import MESSAGE_BYTES_MAX
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON

_STEPS = (
    (21, Severity.SEVERE),
    (18, Severity.CRITICAL),
    (17, Severity.DISTRESS),
    (13, Severity.WARNING),
    (10, Severity.WATCH),
    (1, Severity.INFO),
)
"""The least SeverityNumber of each severity."""
_NAMED = (
    ("FATAL", Severity.SEVERE),
    ("CRIT", Severity.SEVERE),
    ("EMERG", Severity.SEVERE),
    ("ALERT", Severity.SEVERE),
    ("ERR", Severity.DISTRESS),
    ("WARN", Severity.WARNING),
)
"""Beginnings of the texts that say a severity where there is no number."""
_SPAN = 1 << 31
_ID_BYTES = {"traceId": 16, "spanId": 8, "trace_id": 16, "span_id": 8}


def decode_protobuf(body: bytes) -> list[Event]:
    """Return the events of a request in protobuf; InvalidInputError for a body that is none."""
    try:
        return list(_events(ExportLogsServiceRequest.FromString(body)))
    except DecodeError as error:
        raise InvalidInputError("body", body[:20].hex(), f"is no ExportLogsServiceRequest: {error}") from None


def decode_json(body: bytes) -> list[Event]:
    """Return the events of a request in OTLP's JSON; InvalidInputError for a body that is none."""
    document = dict(json.decode_object(body))
    try:
        for resource in _listed(document, "resourceLogs", "resource_logs"):
            for scope in _listed(resource, "scopeLogs", "scope_logs"):
                for record in _listed(scope, "logRecords", "log_records"):
                    _to_base64(record)
        return list(_events(ParseDict(document, ExportLogsServiceRequest(), ignore_unknown_fields=True)))
    except (ParseError, RecursionError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError("body", "JSON", f"is no ExportLogsServiceRequest: {error}") from None


def response(rejected: int, why: str) -> ExportLogsServiceResponse:
    """Return the answer to a request of which some records are not stored.

    >>> response(0, "").ByteSize()
    0
    """
    answer = ExportLogsServiceResponse()
    if rejected:
        answer.partial_success.rejected_log_records = rejected
        answer.partial_success.error_message = why
    return answer


def renumbered(event: Event) -> Event:
    """Return an event with the next number, because another one has its own; after -1 comes the least.

    >>> [renumbered(Event("a", seq_number=number)).seq_number for number in (-2, -1, None)]
    [-1, -2147483648, None]
    """
    number = event.seq_number
    return replace(event, seq_number=None if number is None else (number + 1) % _SPAN - _SPAN)


def _listed(parent: Any, *names: str) -> Iterator[dict[str, Any]]:
    for name in names:
        yield from parent.get(name) or ()


def _to_base64(record: dict[str, Any]) -> None:
    """Write the ids of a record, which are hexadecimal, as protobuf's JSON has bytes."""
    for name, size in _ID_BYTES.items():
        if text := record.get(name):
            try:
                found = bytes.fromhex(text)
            except (TypeError, ValueError):
                found = b""
            if len(found) != size:
                raise InvalidInputError(name, text, f"must be {size} bytes in hexadecimal")
            record[name] = base64.b64encode(found).decode()


def _events(request: ExportLogsServiceRequest) -> Iterator[Event]:
    seen: Counter[tuple[int, str, int]] = Counter()
    for resource in request.resource_logs:
        of_resource = dict(_flat(resource.resource.attributes))
        for scope in resource.scope_logs:
            of_scope = of_resource | _scope(scope.scope)
            source = _source(of_resource.get("service.name", ""), scope.scope.name)
            context = crc32(scope.scope.SerializeToString(deterministic=True))
            context = crc32(resource.resource.SerializeToString(deterministic=True), context)
            for record in scope.log_records:
                yield _event(record, source, of_scope, context, seen)


def _source(service: str, scope: str) -> str:
    """Return the service's name, or the scope's, if an SDK has made up that of the service."""
    return scope if scope and (not service or service.startswith("unknown_service")) else service or "otel"


def _scope(scope: InstrumentationScope) -> dict[str, str]:
    found = dict(_flat(scope.attributes))
    if scope.name:
        found["otel.scope.name"] = scope.name
    if scope.version:
        found["otel.scope.version"] = scope.version
    return found


def _event(
    record: LogRecord,
    source: str,
    context: Mapping[str, str],
    context_hash: int,
    seen: Counter[tuple[int, str, int]],
) -> Event:
    extra = dict(_flat(record.attributes))
    kind = record.event_name or extra.get("event.name") or None
    ours = {
        "log.level": record.severity_text,
        "trace_id": record.trace_id.hex(),
        "span_id": record.span_id.hex(),
        "trace_flags": f"{record.flags & 0xFF:02x}" if record.flags else "",
        "otel.dropped_attributes_count": str(record.dropped_attributes_count or ""),
    }
    for name, text in ours.items():
        if text:
            extra.setdefault(name, text)
    for name, text in context.items():
        extra.setdefault(name, text)
    short = shortened(source)
    if short != source:
        extra.setdefault("log.source", source)
    time_ns = record.time_unix_nano or record.observed_time_unix_nano
    number = None
    if time_ns:  # else each attempt has another time
        base = crc32(record.SerializeToString(deterministic=True), context_hash) % _SPAN
        place = time_ns // 1000, short, base
        number = (base + seen[place]) % _SPAN - _SPAN
        seen[place] += 1
    return Event(
        message=cut(_text(record.body), MESSAGE_BYTES_MAX),
        source=short,
        severity=_severity(record.severity_number, record.severity_text),
        type=None if kind is None else cut(kind, TYPE_BYTES_MAX).replace("\0", "\\0"),
        generation_time=time_ns // 1000 if time_ns else None,
        seq_number=number,
        reception_time=record.observed_time_unix_nano // 1000 or None,
        extra=bounded(extra),
    )


def _severity(number: int, text: str) -> Severity:
    """Return the severity of a SeverityNumber; of its text where there is no number.

    >>> [_severity(number, "").name for number in (1, 9, 10, 13, 17, 18, 21, 24)]
    ['INFO', 'INFO', 'WATCH', 'WARNING', 'DISTRESS', 'CRITICAL', 'SEVERE', 'SEVERE']
    >>> _severity(0, "warning").name
    'WARNING'
    """
    for least, severity in _STEPS:
        if number >= least:
            return severity
    said = text.upper()
    return next((severity for name, severity in _NAMED if said.startswith(name)), Severity.INFO)


def _flat(pairs: Any) -> Iterator[tuple[str, str]]:
    """Yield attributes as text; those of a map have its name before theirs."""
    pair: KeyValue
    for pair in pairs:
        if pair.value.WhichOneof("value") == "kvlist_value":
            for name, text in _flat(pair.value.kvlist_value.values):
                yield f"{pair.key}.{name}", text
        else:
            yield pair.key, _text(pair.value)


def _text(value: AnyValue) -> str:
    found = _plain(value)
    if isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    return "" if found is None else text_of(found)


def _plain(value: AnyValue) -> Any:
    """Return a value as JSON would have it; bytes in base64."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "bytes_value":
        return binascii.b2a_base64(value.bytes_value, newline=False).decode()
    return getattr(value, kind)


DECODERS = {
    "application/x-protobuf": decode_protobuf,
    JSON: decode_json,
    "application/protobuf": decode_protobuf,
}
"""The functions for bodies, by their media types; the first two are those that OTLP names."""
