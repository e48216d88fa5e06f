"""Which codec belongs to which media type: the table that a request's headers are looked up in; pure."""

from __future__ import annotations

from collections.abc import Mapping

from yamcs_archive.wire.codec import JSON, MSGPACK, PROTOBUF, BatchReader, ChangesWriter, Codec
from yamcs_archive.wire.exchange_codec import ExchangeCodec
from yamcs_archive.wire.json_codec import JsonCodec
from yamcs_archive.wire.protobuf_codec import ProtobufCodec

JSON_CODEC, _PROTOBUF_CODEC, _EXCHANGE_CODEC = JsonCodec(), ProtobufCodec(), ExchangeCodec()

CODECS: Mapping[str, Codec] = {JSON: JSON_CODEC, PROTOBUF: _PROTOBUF_CODEC}
"""Codecs of bodies and answers of every kind, by media type."""
BATCH_READERS: Mapping[str, BatchReader] = {**CODECS, MSGPACK: _EXCHANGE_CODEC}
CHANGES_WRITERS: Mapping[str, ChangesWriter] = {**CODECS, MSGPACK: _EXCHANGE_CODEC}


def codec_of(media: str) -> Codec:
    """Return the codec of a media type: JSON's for an unknown one.

    >>> codec_of("text/plain").media, codec_of("application/protobuf").media
    ('application/json', 'application/protobuf')
    """
    return CODECS.get(media, JSON_CODEC)
