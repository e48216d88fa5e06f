"""The codecs of answers to OpenTelemetry's exporters: errors are google.rpc.Status messages; pure."""

from __future__ import annotations

from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON, Codec, Detail
from yamcs_archive.wire.json_codec import JsonCodec
from yamcs_archive.wire.protobuf_codec import ProtobufCodec
from yamcs_archive.wire.protobuf_scan import varint

PROTOBUF = "application/x-protobuf"
"""What OTLP calls it."""
_MESSAGE = b"\x12"
"""Field 2 of a Status, a text: its message. OTLP does not use the code."""


class OtlpJsonCodec(JsonCodec):
    """Answers in JSON."""

    def error(self, code: int, kind: str, text: str, detail: Detail | None = None) -> bytes:  # noqa: ARG002  # a Codec has it
        """Return a Status, whose message begins with the type of the error."""
        return json.encode({"message": f"{kind}: {text}"})


class OtlpProtobufCodec(ProtobufCodec):
    """Answers in protobuf.

    >>> OtlpProtobufCodec().error(404, "NotFoundException", "no")
    b'\\x12\\x15NotFoundException: no'
    """

    media = PROTOBUF

    def error(self, code: int, kind: str, text: str, detail: Detail | None = None) -> bytes:  # noqa: ARG002  # a Codec has it
        """Return a Status, whose message begins with the type of the error."""
        message = f"{kind}: {text}".encode(errors="replace")
        return _MESSAGE + varint(len(message)) + message


def otlp_codec(media: str) -> Codec:
    """Return the codec of the answer to a request with a body of that media type.

    >>> otlp_codec("application/json").media, otlp_codec("application/x-protobuf").media
    ('application/json', 'application/x-protobuf')
    """
    return OtlpJsonCodec() if media == JSON else OtlpProtobufCodec()
