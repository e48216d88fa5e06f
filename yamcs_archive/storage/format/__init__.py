"""Events <-> the bytes that are stored; pure: no LMDB, no files, no clock.

One module for each kind of stored value, named after it: ``block`` (with ``block_part_encoder`` to write a
part, ``block_part_decoder`` to read one, and ``block_pick`` to read a few of its events), ``zone_maps``,
``commits`` (and cursors), ``requests``, ``source_states``, ``meta``; for the commit log ``log_segments``,
``log_records`` and ``event_columns``; for backups ``backup_frames`` and ``content_hash``; and ``rows`` of
version 1. The others are what these are made of: ``keys``, columns of ``integers`` and of ``messages`` (with
``text_search``), zstd (``compression``), ``checksum``. In memory, events are ``Columns`` as they come in and
``StoredVectors`` where blocks are made or read.

``docs/format.md`` specifies every byte; ``tests/golden`` reads it with a second, independent reader. Start
with ``keys``, ``block`` and ``log_records``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
