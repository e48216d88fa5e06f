"""The sizes at which the code takes another path: one table of thresholds, and events of any such size.

1. A threshold is given by the name of its module and its constant, and its value is read from there, so that
   the tests follow a changed value. ``tests/test_sizes.py`` reads the constants of the code, and fails for
   one that is in no table here.
2. Each threshold is tried one below, at it and one above.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from importlib import import_module
from itertools import chain
from pathlib import Path

from yamcs_archive import Event, Severity

PACKAGE = Path(__file__).parents[1] / "yamcs_archive"

EVENTS = (
    "chunked_append._STEP_EVENTS",
    "limits.BATCH_EVENTS_MAX",
    "limits.BLOCK_EVENTS_MAX",
    "limits.CARRIED_VALUES_MAX",
    "limits.CHUNK_EVENTS_MAX",
    "limits.CONFLICTS_KEPT_MAX",
    "http.limits.EXCHANGE_EVENTS_DEFAULT",
    "limits.GROUP_EVENTS_MAX",
    "http.limits.LIVE_EVENTS_MAX",
    "limits.PACK_EVENTS_MAX",
    "http.limits.PAGE_EVENTS_DEFAULT",
    "limits.PAGE_EVENTS_MAX",
    "limits.READ_EVENTS_MAX",
    "limits.REQUESTS_SWEPT_MAX",
    "limits.RUN_EVENTS_MIN",
    "limits.TABLE_EVENTS_LEFT_MAX",
    "storage.format.block._PICKED_SHARE",
    "storage.write.validation._COLUMN_EVENTS_MIN",
    "storage.maintain.compaction._CHECKED_AT_ONCE",
    "storage.maintain.compaction._LAST_ROUND_VALUES_MAX",
    "storage.write.key_lookup._LOOKS_MAX",
    "storage.write.key_lookup._SCATTERED",
    "storage.format.integers._SAMPLE",
    "storage.format.messages.CHUNK_MESSAGES",
    "storage.format.messages._BISECTED_MAX",
    "storage.format.block_pick.ONE_BY_ONE_MAX",
    "storage.read.picked_vectors._PACKED_MIN",
    "storage.write.outcomes._VECTOR_EVENTS_MIN",
    "storage.read.range_reader._FIRST_YOUNG",
    "storage.write.validation._TIMES_MIN",
    "storage.write.validation._TOGETHER",
    "storage.young.memory_table._SORTED_SHARE",
    "storage.young.memory_table._VECTOR_EVENTS_MIN",
    "storage.write.plain_append.PLAIN_EVENTS_MAX",
    "storage.format.event_columns._BYTE_CODES_MAX",
    "storage.format.event_columns._VECTOR_EVENTS_MIN",
    "storage.format.messages._BUILT_SHARE",
    "event_vectors._PICKED_SHARE",
    "wire.columns.varints._FEW_VALUES",
    "wire.columns.byte_columns.Memo._ENTRIES_MAX",
)
"""Numbers of events of a batch, a read or a block at which the code takes another path."""

MANY_EVENTS = ("limits.BLOCK_EVENTS_LIMIT", "http.limits.EXCHANGE_EVENTS_MAX", "limits.TABLE_EVENTS_MAX")
"""The same, for the long tests only."""

COMMITS = (
    "storage.young.arrivals._SEARCHED_PARTS_MAX",
    "limits.PACK_COMMITS_MAX",
    "storage.maintain.commit_packing.PACK_RECORDS_MIN",
    "storage.read.event_count._RECORDS_MAX",
    "storage.maintain.commit_packing._RECORDS_READ_MAX",
)
"""Numbers of commits."""

BLOCKS = (
    "limits.GROUP_BLOCKS_MAX",
    "limits.RECENT_BLOCKS_MAX",
    "storage.format.compression._TOGETHER_MIN",
    "storage.write.writer_cache._BLOCKS_CACHED_MAX",
    "storage.write.writer_cache._NEW_TIMES_CACHED_MAX",
    "storage.write.writer_cache._TIMES_CACHED_MAX",
    "storage.maintain.repair._BLOCKS_READ_MAX",
    "storage.maintain.repair._COUNTED_AT_ONCE",
    "storage.maintain.stored_forms._READ_MAX",
    "storage.maintain.text_filters.CHANGING_BLOCKS",
    "storage.maintain.text_filters._AT_ONCE",
    "storage.maintain.text_filters._KEYS_AT_ONCE",
    "storage.maintain.text_filters._VALUES_AT_ONCE",
)
"""Numbers of blocks."""

SOURCES = (
    "storage.read.event_count._SOURCES_FEW",
    "storage.format.block_part_encoder.SMALL_TABLE_MAX",
    "storage.read.query._COMPARED_MAX",
    "storage.format.zone_maps._NAMES_MAX",
    "storage.format.zone_maps._SEARCHED_MAX",
)
"""Numbers of sources, of stored events or of a query."""

TEXTS = (
    "limits.BLOCK_TEXT_BYTES_MAX",
    "http.limits.CHANGES_BYTES_MAX",
    "limits.CHUNK_BYTES_MAX",
    "limits.CONFLICTS_KEPT_BYTES_MAX",
    "limits.GATHERED_BYTES_MAX",
    "limits.GROUP_BYTES_MAX",
    "http.limits.LARGE_TEXT_BYTES",
    "limits.MESSAGE_BYTES_MAX",
    "http.limits.PAGE_BYTES_MAX",
    "limits.READ_BYTES_MAX",
    "storage.format.messages._LISTED_BYTES_MAX",
    "storage.format.messages._ROOM_KEPT_BYTES_MAX",
    "storage.format.text_search._ROOM_KEPT_BYTES_MAX",
    "storage.write.validation._MESSAGE_CHARACTERS",
    "storage.write.block_steps.TOGETHER_BYTES",
    "storage.write.commit_log.SEGMENT_BYTES_MAX",
    "storage.disk.log_files.SEGMENT_STEP_BYTES",
    "storage.disk.log_files._ALLOCATED_MIN_BYTES",
    "limits.TABLE_BYTES_LEFT_MAX",
    "limits.TABLE_BYTES_MAX",
    "limits.TABLE_RECORDS_MAX",
    "storage.disk.log_files._ALLOCATED_STEP_BYTES",
    "limits.TABLES_BYTES_MAX",
    "storage.maintain.scheduler._PLANS_MAX",
    "wire.framing._OUTPUT_BYTES",
    "wire.msgpack._FEED_BYTES",
    "wire.framing._PIECE_BYTES_MAX",
    "wire.framing._PIECE_BYTES_MIN",
)
"""Bytes of text, of one event or of several together."""

OTHERS = (
    # Bounds of single values; tests/test_event.py and the tests of each way in try them.
    "limits.ATTACHED_BYTES_MAX",
    "limits.SEQ_NUMBER_MAX",
    "limits.SEQ_NUMBER_MIN",
    "limits.SOURCE_BYTES_MAX",
    "columns.TABLE_TEXT_MAX",
    "storage.write.validation._PLAIN_ATTACHED_MAX",
    "wire.columns.byte_columns.Memo._CHARACTERS_MAX",
    "limits.INSTANCE_NAME_MAX",
    # Bounds of a request's parameters, and of requests and clients at once.
    "http.limits.ANSWERS_WAITING_MAX",
    "http.limits.BATCHES_MAX",
    "limits.FILTER_DEPTH_MAX",
    "limits.FILTER_PROGRAM_MAX",
    "limits.FILTER_TERMS_MAX",
    "http.limits.INDEX_ENTRIES_DEFAULT",
    "http.limits.INDEX_ENTRIES_MAX",
    "limits.PATTERN_CHARACTERS_MAX",
    "limits.FILTER_CHARACTERS_MAX",
    "limits.FILTER_REGEX_BYTES_MAX",
    "http.limits.POLLS_MAX",
    "limits.READERS_MAX",
    "http.limits.REPORTS_MAX",
    "http.limits.STREAMS_MAX",
    "limits.REQUEST_ID_BYTES_MAX",
    "limits.REQUEST_USER_BYTES_MAX",
    "limits.REQUEST_IDS_MAX",
    "http.limits.SUBSCRIPTIONS_MAX",
    "http.limits.TIME_CALLS_MAX",
    "http.limits.METRICS_INSTANCES_MAX",
    "http.limits.THREAD_POLLS_MAX",
    "http.limits.WEBSOCKETS_MAX",
    "http.limits.WEBSOCKET_SEND_BYTES",
    "http.limits.WEBSOCKET_FRAME_BYTES_MAX",
    "http.limits.WEBSOCKET_MESSAGE_BYTES_MAX",
    "http.limits.HEAD_BYTES_MAX",
    "http.limits.HEAD_LINES_MAX",
    "http.limits.LOGIN_BYTES_MAX",
    "http.limits.CLIENTS_KNOWN_MAX",
    "http.limits.CLIENT_REQUESTS_MAX",
    "http.limits.CONNECTIONS_LIMIT",
    "http.limits.CONNECTIONS_MAX",
    "http.limits.DESCRIPTORS_LEFT_MIN",
    "http.limits.DESCRIPTORS_OWN",
    "http.limits.HANDSHAKES_MAX",
    "http.limits.PAGES_WAITING_MAX",
    "http.limits.PIPELINED_MAX",
    "http.limits.RECEIVED_BYTES_MIN",
    "http.limits.SENT_BYTES_MIN",
    "limits.BODY_BYTES_MAX",
    "wire.msgpack.HELD_BYTES_MAX",
    # Bounds of a server, a queue, a map, or a file of an archive.
    "http.limits.ANSWERS_BYTES_MAX",
    "http.limits.BODIES_BYTES_MAX",
    "http.limits.PARTIAL_BODIES_BYTES_MAX",
    "limits.CARRIED_BYTES_MAX",
    "http.limits.GZIP_BYTES_MIN",
    "http.limits.INFLOWS_BYTES_MAX",
    "http.limits.INFLOW_BYTES_MAX",
    "http.limits.LARGE_ANSWER_BYTES",
    "http.limits.LIVE_BYTES_MAX",
    "http.limits.LIVE_QUEUE_BYTES_MAX",
    "http.limits.MAKING_BYTES",
    "limits.MAP_BYTES_DEFAULT",
    "limits.QUEUED_BYTES_MAX",
    "http.limits.QUICK_BODY_BYTES_MAX",
    "limits.BLOCK_FRAME_BYTES_MAX",
    "client.transport._ANSWER_BYTES_MAX",
    "client.transport._READ_BYTES",
    "client.websocket._FRAME_BYTES",
    "client.websocket._FRAME_BYTES_MAX",
    "client.websocket._WAITING_BYTES_MAX",
    "storage.disk.file_system.NEARLY_FULL_BYTES",
    "limits.BLOCK_FRAME_READ_BYTES_MAX",
    "wire.commits.EVENTS_MAX",
    "storage.disk.lmdb_open._FREE_MAPS",
    "storage.disk.lmdb_open._LEFT_FREE_BYTES",
    "storage.disk.lmdb_open._MAP_SPARE_BYTES",
    "storage.write.damage_log._KNOWN_MAX",
    # The pieces in which a verification reads; tests/storage/test_verification.py makes them small.
    "storage.maintain.arrival_check._RECORDS_AT_ONCE",
    "storage.maintain.arrival_check._WINDOW_COMMITS_MAX",
    "storage.maintain.arrival_check._WINDOW_RUNS_MAX",
    "storage.maintain.faults.FAULTS_KEPT_MAX",
    "storage.maintain.request_check._REQUESTS_AT_ONCE",
    "storage.maintain.zone_map_check._BLOCKS_AT_ONCE",
    "storage.maintain.quick_check._ENDS",
    # What is told of a verification in a process of its own, and how often.
    "storage.maintain.isolated_verification._PIPE_BYTES",
    "storage.maintain.isolated_verification._TELL_EVENTS",
    # The pieces in which pruning deletes; tests/storage/test_pruning.py makes them small.
    "limits.PRUNED_BLOCKS_MAX",
    "limits.PRUNED_RECORDS_MAX",
    "limits.KEEP_DAYS_MAX",
    "limits.ODD_SOURCES_MAX",
    "storage.maintain.retention._PAGE_BYTES",
    "storage.maintain.retention._YOUNG_BYTES",
    # The pieces of a backup and of a restore; tests/storage/test_backup.py makes them small.
    "limits.BACKUP_CHUNK_BYTES",
    "limits.BACKUP_FRAME_BYTES_MAX",
    "limits.BACKUP_PAIRS_BYTES_MAX",
    "limits.BACKUP_PAIRS_MAX",
    "limits.RESTORE_BYTES_MAX",
    "limits.RESTORE_ROWS_MAX",
    "limits.LATE_EVENTS_MAX",
    "storage.write.rows_of_version_1._ROWS_AT_ONCE",
    "storage.disk.log_files._TRIES",
    "storage.format.log_segments._ALIGNED",
    "storage.format.meta.ROWS_VERSION",
    "storage.disk.log_files._MODE",
    "storage.format.log_segments._FORM",
    "storage.young.views._TAIL_BYTES",
    # Reads of a block; tests/storage/test_sent_again.py.
    "storage.write.writer_cache._READS_MAX",
    "limits.LATE_BYTES_MAX",
    "storage.backup.snapshot._TRIES",
    "storage.disk.environment._TRIES_MIN",
    "storage.maintain.young_check._TRIES",
    "storage.write.validation._PLAIN_SOURCE_CHARACTERS",
    # The layout of a log, and what an event takes in a table; tests/storage/test_commit_log.py.
    *(
        f"storage.format.log_segments.{name}"
        for name in ("ARCHIVE_BYTES", "END_BYTES", "FRAME_BYTES", "HEADER_BYTES")
    ),
    "storage.format.commits.COMMIT_KEY_BYTES",
    "storage.write.commit_log._ALIGNED",
    *(f"storage.young.arrivals.{name}_BYTES" for name in ("_EVENT", "_TEXT")),
    *(f"storage.young.memory_table.{name}" for name in ("_INDEX_BYTES", "_SOURCE_BYTES")),
    "storage.format.backup_frames._READ_BYTES",
    "storage.disk.file_length._HEAD_BYTES",
    "storage.disk.reader_gate._READERS_CHECKED_MIN",
    "storage.format.zone_maps._SEARCHED_BYTES_MAX",
    "storage.write.source_cache._SOURCES_CACHED_MAX",
    # The pieces in which a salvage reads; tests/storage/test_salvage.py makes them small.
    "storage.salvage.events.WINDOW_BYTES_MAX",
    "storage.salvage.events.WINDOW_EVENTS_MAX",
    "storage.salvage.commits._DECODED_MAX",
    *(f"storage.maintain.isolated_verification.{name}" for name in ("_PIPE_BYTES", "_TELL_EVENTS")),
    "storage.salvage.losses.KEYS_KEPT_MAX",
    "storage.disk.lmdb_pages._VALUE_BYTES_MAX",
    # What is kept of queries that found few events; tests/storage/test_few_found.py.
    *(
        f"storage.read.few_found.{name}"
        for name in ("ANSWERS_MAX", "CHARACTERS_MAX", "FEW_MAX", "SOURCES_MAX")
    ),
    # The pieces in which trigrams are hashed; tests/storage/test_text_filters.py tries sizes around them.
    "storage.format.text_filters._PIECE_TRIGRAMS",
    # The parts in which logs and tables are read and written; their tests make them small, or cut anywhere.
    *(f"importers.logs.log_reader.{name}" for name in ("PART_BYTES", "PART_EVENTS", "REJECTED_MAX")),
    *(f"importers.logs.numbering.{name}" for name in ("COUNTED_MAX", "_REPEATED_MAX", "_TRIES")),
    "importers.logs.lines.KEPT_BYTES",
    "wire.tables.GROUP_BYTES",
    # Ratios, numbers of tries, and bounds of output for people.
    "limits.LATE_SHARE",
    "storage.maintain.scheduler._REST_SHARE",
    "storage.maintain.compaction._ROUNDS_MAX",
    "storage.disk.lmdb_open._OPEN_TRIES",
    "importers.yamcs._TRIES",
    "importers.yamcs._SHOWN_MAX",
    "wire.live_client._SHOWN_MAX",
    "client.answer_codec._NOT_FOUND",
    "client.answer_codec._SERVER_FAULT",
    "client.answer_codec._WORDS_MAX",
    "client.instance._OK",
    "client.transport._IDLE_MAX",
    "client.transport._REDIRECTS_MAX",
    "client.transport._RETRIES",
    "wire.json._SHOWN_BYTES_MAX",
    "archive.administration._STEM_CHARACTERS_MAX",
    "client.answer_codec._NOT_IMPLEMENTED",
    "client.event_streams._OK",
    "backups.KEEP_MAX",
    "backups.RATE_MAX",
    "backups._TRIES",
    "storage.maintain.page_check._LONGER_MAX",
    *(f"storage.{name}._TRIES" for name in ("maintain.page_check", "disk.file_length")),
    # Fields, widths and marks of a format.
    *(f"importers.logs.{name}._DIGITS_MAX" for name in ("cosmos", "journald", "pattern", "yamcs_csv")),
    *(f"importers.logs.clock.{name}" for name in ("_DAYS_KEPT", "_EPOCH_DAY", "_YEAR_DAYS")),
    *(f"importers.logs.log_reader.{name}" for name in ("_SHOWN_BYTES", "_SOURCE_HASH_CHARACTERS")),
    *(f"importers.logs.numbering.{name}" for name in ("_SPAN", "_STRIDE")),
    "importers.logs.journal_export._LENGTH_BYTES",
    "importers.logs.syslog._PRIORITY_MAX",
    "importers.logs.time_format._EXCEL_DAYS",
    "wire.otlp._SPAN",
    *(
        f"storage.disk.lmdb_pages.{name}"
        for name in ("BRANCH", "LEAF", "OVERFLOW", "HEAD_BYTES", "PAGE_BYTES_DEFAULT")
    ),
    *(f"storage.disk.lmdb_pages.{name}" for name in ("BIG_VALUE", "_KINDS", "_MAGIC", "_NO_PAGE")),
    *(f"storage.disk.lmdb_pages.{name}" for name in ("_SUB_DATABASE", "_VERSION")),
    *(
        f"storage.disk.lmdb_pages.{name}"
        for name in ("HEADS", "NODE_HEAD_BYTES", "_ADDRESSES_END", "_DEPTH_MAX")
    ),
    "storage.maintain.page_check._FREE_FLAGS",
    "storage.format.commits._NUMBERS_END",
    *(f"client.instance.{name}" for name in ("_EVENTS", "_OLD_EVENTS", "_TOKEN")),
    "client.backing_up._OK",
    "client.progress_lines._OK",
    "storage.backup.digests._DIGEST_BYTES",
    "storage.backup.digests._LENGTH_BYTES",
    "storage.format.backup_frames.BACKUP_FORMAT",
    "storage.format.backup_frames.FOOT_BYTES",
    "storage.format.backup_frames._MAGIC_BYTES",
    "storage.format.content_hash._DIGEST_BYTES",
    "storage.format.content_hash._LANES",
    "storage.format.checksum.CHECKSUM_BYTES",
    "storage.write.submissions._EVENT_OVERHEAD_BYTES",
    "storage.format.commits._PACKED",
    "storage.format.commits.LINEAGE_BYTES",
    "storage.format.commits._SINGLE",
    "storage.disk.directory.LAYOUT_VERSION",
    "storage.format.compression.LEVEL",
    "storage.format.compression._HASH_BITS",
    "storage.format.compression._MATCH_BYTES_MIN",
    "storage.disk.generations._NAME_BYTES_MAX",
    "storage.format.integers._DIVIDED",
    "storage.format.keys.TIME_BYTES",
    "storage.format.keys._KEY_BYTES_MIN",
    "storage.format.keys._NUMBER_SIGN",
    "storage.format.keys._TIME_SIGN",
    "storage.format.commits.COMMIT_KEY_BYTES",
    *(f"storage.format.log_segments.{name}_BYTES" for name in ("ARCHIVE", "END", "FRAME", "HEADER")),
    *(f"storage.format.text_filters.{name}" for name in ("BITMAP_BYTES", "_BITS", "_CASE_BIT", "_TRIGRAM")),
    *(f"storage.format.text_filters.{name}" for name in ("_BEYOND", "_HASH_SHIFT")),
    "limits.LATE_BYTES_MAX",
    *(f"storage.write.placement.{name}" for name in ("_CHECKPOINTS_LEFT", "_EVENT_BYTES")),
    "limits.TABLE_RECORDS_MAX",
    "storage.backup.snapshot._TRIES",
    "storage.disk.log_files._ALLOCATED_STEP_BYTES",
    "storage.maintain.young_check._TRIES",
    "storage.write.commit_log._ALIGNED",
    "storage.write.validation._PLAIN_SOURCE_CHARACTERS",
    *(f"storage.young.arrivals.{name}_BYTES" for name in ("_EVENT", "_TEXT")),
    *(f"storage.young.memory_table.{name}_BYTES" for name in ("_INDEX", "_SOURCE")),
    "storage.format.text_search._CASE_BIT",
    "storage.format.text_search._CLUES_MAX",
    "storage.format.text_search._LEAST_LEAD",
    "storage.format.messages._COMMA",
    "storage.format.messages._ROOMS_KEPT_MAX",
    "storage.format.meta.FORMAT_VERSION",
    "storage.format.block_part_encoder.CHECKSUMS_BYTES",
    "storage.format.block_part_encoder.LATE",
    "storage.format.block_part_encoder.MAIN",
    "storage.write.validation._ARRAY_HEAD_BYTES",
    "storage.write.validation._UINT64_TAG",
    "storage.write.validation._UTF8_BYTES_MAX",
    "storage.format.requests.DIGEST_BYTES",
    "storage.format.rows._ARRAY32_BYTES",
    "storage.format.zone_maps._HASH_BYTES",
    "wire.framing._VARINT_BYTES_MAX",
    "wire.columns.protobuf_decoder._BEYOND_BYTES",
    *(f"wire.columns.protobuf_decoder.{name}" for name in ("_MESSAGE", "_NANOS", "_NUMBER", "_SECONDS")),
    *(
        f"wire.columns.protobuf_decoder.{name}"
        for name in ("_SEVERITY", "_SOURCE", "_TIME", "_TYPE", "_VARINT_BYTES_MAX")
    ),
    *(f"wire.protobuf_scan.{name}" for name in ("END_GROUP", "EXTENSION_MAX", "EXTENSION_MIN", "FIXED32")),
    *(f"wire.protobuf_scan.{name}" for name in ("FIXED64", "LENGTH", "START_GROUP", "VARINT")),
    *(
        f"wire.protobuf_scan.{name}"
        for name in ("_FIELD_NUMBER_MAX", "_GROUP_DEPTH_MAX", "_VARINT_BYTES_MAX")
    ),
    *(f"wire.columns.varints.{name}" for name in ("_INT64", "_SMALL_BITS", "_WORD_BITS")),
    *(f"wire.columns.timestamps.{name}" for name in ("_LONGEST", "_MINUTE_CHARACTERS", "_POINT_AT")),
    *(f"wire.columns.timestamps.{name}" for name in ("_SHORTEST", "_TIMESTAMP_BYTES_MAX")),
    "wire.columns.element_decoder._ARRAY32_BYTES",
    "wire.columns.encoder._NUMBER_AND_SEVERITY_BYTES",
    "wire.yamcs_event._HASH_BYTES",
    "wire.protobuf._NUMBER",
    "wire.protobuf._REQUEST_NUMBER",
    "wire.protobuf.SEVERITY_FIELD",
    "wire.page_token._CHECKSUM_BYTES",
    "storage.format.keys._TAIL_BYTES",
    *(f"storage.disk.machine.{name}" for name in ("SYNCS", "_SYNCED_BYTES", "_UNLIMITED_BYTES")),
    *(f"storage.disk.machine.{name}" for name in ("_TIMEX_BYTES", "_TIME_ERROR")),
    "storage.disk.environment._BLOCK_BYTES",
    "storage.disk.lmdb_open._MODE",
    "storage.disk.lmdb_open._PAGE_BYTES",
    # Of LMDB's lock file; tests/storage/test_lock_file.py compares it with the one that LMDB makes.
    *(f"storage.disk.lock_file.{name}" for name in ("LOCK_BYTES", "_HEAD_BYTES", "_KEEP_SIZE")),
    *(f"storage.disk.lock_file.{name}" for name in ("_PAGE_BYTES", "_READER_BYTES", "_UNNAMED")),
    "storage.disk.file_identity._FOLDER",
    *(f"storage.disk.file_system.{name}" for name in ("_EXT4_BLOCKS", "_EXT4_SHARE")),
    # Sizes of values in memory and in frames; tests/storage/test_queue.py and test_large.py hold them.
    "columns._INT_BYTES",
    "columns._SLOTS_BYTES",
    "storage.write.submissions._IDS_BYTES",
    "storage.write.submissions._SUBMISSION_BYTES",
    "storage.format.block_part_encoder._BEFORE_BYTES_MAX",
    "storage.format.block_part_encoder._CHARACTER_BYTES_MAX",
    "storage.format.block_part_encoder._COLUMN_BYTES_MAX",
    "storage.format.block_part_encoder._ELSE_BYTES_MAX",
    "storage.format.block_part_encoder._EVENT_BYTES_MAX",
)
"""Constants that have nothing to do with the size of a batch, grouped by subject."""

ROOMS = (
    "limits",
    "http/limits",
    "columns",
    "event_vectors",
    "chunked_append",
    "backups",
    "instance",
    "archive",
    "storage",
    "wire",
    "client",
    "importers",
    "mirror",
)
"""The folders and modules through which events pass: each of their integer constants is in a table."""

_TIMES = frozenset({"S", "US", "MS", "NS"})
"""The units of time; a constant with one of them in its name is a duration, not a size of a batch."""


def value(name: str) -> int:
    """Return the value of a constant.

    >>> value("storage.write.outcomes._VECTOR_EVENTS_MIN") > 0
    True
    """
    parts = name.split(".")
    depth = next(
        depth
        for depth in range(1, len(parts))
        if PACKAGE.joinpath(*parts[:depth]).with_suffix(".py").exists()
    )
    found: object = import_module(".".join(["yamcs_archive", *parts[:depth]]))
    for part in parts[depth:]:
        found = getattr(found, part)
    assert type(found) is int
    return found


def around(names: Iterable[str], *further: int) -> list[int]:
    """Return each threshold, one below and one above, from 1 on, rising."""
    values = {*map(value, names), *further}
    return sorted({at + off for at in values for off in (-1, 0, 1)} - {0, -1})


def constants() -> Iterator[str]:
    """Yield the names of all integer constants of these folders and modules, except for durations."""
    for path in _modules():
        room = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        module = import_module(f"yamcs_archive.{room.removesuffix('.__init__')}")
        for within, body in _bodies(ast.parse(path.read_text())):
            for name in _assigned(body):
                holder = getattr(module, within) if within else module
                if type(getattr(holder, name, None)) is int and not _TIMES & set(name.split("_")):
                    yield ".".join(filter(None, (room, within, name)))


def bare_sizes() -> Iterator[str]:
    """Yield the places where a length is compared with a bare number beyond 2."""
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                numbers = [side.value for side in sides if isinstance(side, ast.Constant)]
                if any(map(_is_size, sides)) and any(type(n) is int and n > 2 for n in numbers):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {ast.unparse(node)}"


def _is_size(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "len"
    return isinstance(node, ast.Attribute) and node.attr in ("size", "count")


def _modules() -> Iterator[Path]:
    for room in ROOMS:
        path = PACKAGE / room
        yield from (
            sorted(set(path.rglob("*.py")) - set(path.rglob("pb/*")))
            if path.is_dir()
            else (path.with_suffix(".py"),)
        )


def _bodies(tree: ast.Module) -> Iterator[tuple[str, list[ast.stmt]]]:
    yield "", tree.body
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            yield node.name, node.body


def _assigned(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets = [statement.target]
        for node in chain.from_iterable(map(ast.walk, targets)):
            if isinstance(node, ast.Name) and node.id.isupper():
                yield node.id


SEVERITIES = (Severity.INFO, Severity.WATCH, Severity.WARNING, Severity.DISTRESS, Severity.CRITICAL)


@cache
def made(
    size: int, sources: int, *, time: int = 0, order: str = "rising", numbered: bool = True
) -> Sequence[Event]:
    """Return ``size`` different events of ``sources`` sources, from ``time`` on (microseconds since 1970).

    ``order``: times that rise (``rising``), seven events of each time (``equal``), or the latter in no order
    (``mixed``). With two sources, one event in a hundred has more than the common fields.
    """
    numbers = list(range(size))
    if order == "mixed":
        random.Random(size).shuffle(numbers)
    return tuple(
        Event(
            f"Step {n}",
            source=f"S{n % sources}",
            severity=SEVERITIES[n % len(SEVERITIES)],
            type=None if n % 3 else f"T{n % 7}",
            generation_time=time + (n if order == "rising" else n // 7),
            seq_number=n // sources if numbered else None,
            extra={"step": f"{n}"} if sources == 2 and n % 100 == 99 else {},
        )
        for n in numbers
    )
