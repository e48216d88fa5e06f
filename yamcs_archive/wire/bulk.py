"""Many events at once <-> bytes: by column where the folder ``columns`` is there, else event by event; pure.

The folder is an optimisation. It may be deleted: every answer stays the same, byte for byte, and only takes
longer. So this is the one module that imports it, and callers take these functions from here.

1. ``encode_…`` write events: streams and pages in today's form, and records of files that lose nothing; pages
   from a list of events, all else from :class:`~yamcs_archive.event_vectors.StoredVectors`.
2. ``decode_…`` return None for what they decline; then the caller decodes element by element, by the rules.
   What they return is in today's form.
"""

from __future__ import annotations

try:
    from yamcs_archive.wire.columns import (
        element_decoder,
        encoder,
        file_encoder,
        protobuf_decoder,
        timestamps,
    )
except ModuleNotFoundError as error:
    if not (error.name or "").startswith("yamcs_archive.wire.columns"):
        raise  # the folder is there, but something that it needs is not
    from yamcs_archive.wire import event_by_event

    element_decoder = encoder = file_encoder = protobuf_decoder = timestamps = event_by_event  # type: ignore[misc]  # it has the functions of all

decode_json_lines = element_decoder.decode_json_lines
decode_msgpack_maps = element_decoder.decode_msgpack_maps
decode_protobuf_messages = protobuf_decoder.decode_protobuf_messages
encode_csv_records = file_encoder.encode_csv_records
encode_csv_rows = encoder.encode_csv_rows
encode_json_lines = file_encoder.encode_json_lines
encode_json_page = encoder.encode_json_page
encode_json_stream = encoder.encode_json_stream
encode_msgpack_maps = file_encoder.encode_msgpack_maps
encode_protobuf_page = encoder.encode_protobuf_page
encode_protobuf_stream = encoder.encode_protobuf_stream
parse_times = timestamps.parse_many
