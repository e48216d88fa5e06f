"""The fast path: thousands of events at once between bytes and columns, by numpy and functions written in C.

It changes no answer, so the folder may be deleted (tests/http/test_without_columns.py). What it does not take
(a rare field, the 2016 form, a fault) goes event by event through ``json``, ``protobuf`` and ``csv`` of the
folder above, which hold the rules. Only :mod:`yamcs_archive.wire.bulk` imports it.

``decoder`` (JSON and msgpack) and ``protobuf_decoder`` read batches; ``encoder`` writes streams and pages,
``file_encoder`` the records of files.
Below them: ``event_fields`` (columns of bytes, and how they become one text), ``timestamps`` (many RFC 3339
texts and protobuf timestamps), ``varints`` (many integers).
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
