"""Which codec belongs to which media type: the table that a request's headers are looked up in; pure."""

from __future__ import annotations

from collections.abc import Mapping

from yamcs_archive.wire.codec import JSON, MSGPACK, PROTOBUF, BatchCodec, Codec
from yamcs_archive.wire.json_codec import JsonCodec
from yamcs_archive.wire.msgpack_codec import ExchangeCodec
from yamcs_archive.wire.protobuf_codec import ProtobufCodec

JSON_CODEC = JsonCodec()

CODECS: Mapping[str, Codec] = {JSON: JSON_CODEC, PROTOBUF: ProtobufCodec()}
"""Codecs of bodies and answers of every kind, by media type."""
BATCH_CODECS: Mapping[str, BatchCodec] = {**CODECS, MSGPACK: ExchangeCodec()}
"""Codecs of batches and of changes, by media type."""
