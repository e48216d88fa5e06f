"""Limits of the event model, the storage, the filter and the API, each with its unit and one reason.

Imports nothing. The limits that only the server needs are in ``http/limits.py``. ``tests/test_limits.py``
checks the relations between all of them.
"""

from __future__ import annotations

# The event model

TIME_MIN_US = -62_135_596_800_000_000
"""Earliest time, in microseconds since 1970: 0001-01-01T00:00:00Z, the first that RFC 3339 can write."""

TIME_MAX_US = 253_402_300_799_999_999
"""Latest time, in microseconds since 1970: 9999-12-31T23:59:59.999999Z, the last that RFC 3339 can write."""

SOURCE_BYTES_MAX = 255
"""Longest source, in UTF-8 bytes: it is part of the key, and a key of LMDB has at most 511 bytes."""

SEQ_NUMBER_MIN, SEQ_NUMBER_MAX = -(2**31), 2**31 - 1
"""Least and greatest sequence number: an int32, as in both generations of the API."""

MESSAGE_BYTES_MAX = 1 << 20
"""Longest message, in UTF-8 bytes: 1 MiB, sixteen times as much as a Yamcs server accepts in a request."""

ATTACHED_BYTES_MAX = 256 << 10
"""Total length of an event's type, extra (names and values), created_by and extensions, in UTF-8 bytes: 256
KiB, so that a message and all that is attached to it fit into one read."""

BODY_BYTES_MAX = 8 << 20
"""Largest request body, and largest element of a batch, in bytes: 8 MiB. The largest event fits, because one
byte of a message takes at most 6 bytes of JSON (``\\u0000``)."""

INSTANCE_NAME_MAX = 128
"""Longest name of an instance, in characters: it names a directory, and such a name has at most 255 bytes."""

# Appending

GROUP_EVENTS_MAX = 20_000
"""Largest number of events in one commit: with more, each waiting caller would wait too long."""

GROUP_BYTES_MAX = 8 << 20
"""Largest text of one commit, in bytes: it bounds the writer's memory."""

CHUNK_EVENTS_MAX = 10_000
"""Largest number of events in a chunk of ``append_many``: it bounds the memory of a chunk, which is durable
before the next one begins."""

CHUNK_BYTES_MAX = 2 << 20
"""Largest text of a chunk of ``append_many``, in bytes, for the same reason."""

GATHERED_WAIT_S = 0.25
"""Longest time that an event of a slow iterable waits for others before it is handed over, in seconds; then
it waits for the commit. Shorter, iterables of some thousands of events a second would be cut into more
commits."""

GATHERED_BYTES_MAX = 1 << 20
"""Largest text of a chunk of a batch, in bytes: a server may read 32 batches, each with a chunk of its own.
Ten thousand events of the usual length have less."""

QUEUED_BYTES_MAX = 32 << 20
"""Largest memory of the writer's queue, in bytes: some 11,000 single events. While the queue is full, callers
wait before they add to it."""

CONFLICTS_KEPT_MAX = 1_000
"""Largest number of conflicts that an answer to ``append_many`` or a batch shows; the others are only
counted."""

CONFLICTS_KEPT_BYTES_MAX = 8 << 20
"""Largest text of the conflicts that an answer shows, in bytes: it shows fewer large ones, but at least
one."""

RUN_EVENTS_MIN = 4_000
"""Fewest new events in a run that are written as blocks at once; a shorter one goes
through the log."""

# Reading

READ_EVENTS_MAX = 1_000
"""Largest number of events that one read transaction fetches: it must be short, because the file may grow
while it is open."""

READ_BYTES_MAX = 2 << 20
"""Largest size of the records that one read transaction fetches, in bytes: it bounds the memory of messages
of 1 MiB."""

BATCH_EVENTS_MAX = 2_500
"""Largest number of events that are written to a stream together: more do not fit into the processor's cache,
and with fewer each event costs more."""

READERS_MAX = 1_024
"""Number of reader slots of an LMDB environment: LMDB's default of 126 is used up on busy servers
(frappe/mail#559)."""

MAP_BYTES_DEFAULT = 64 << 30
"""Address space first reserved for an instance, in bytes: 64 GiB. It is not disk space, and doubles when
full."""

PAGE_EVENTS_MAX = 1_000
"""Largest ``limit`` of one page over HTTP, in events, as on a Yamcs server (``maxPageSize``)."""

PAUSE_US_DEFAULT = 2_000_000
"""Longest pause within a stretch of a histogram when none is given, in microseconds: 2 s, as the
``mergeTime`` of a Yamcs server."""

PAUSE_US_MAX = (2**31 - 1) * 1000
"""Longest such pause that may be given, in microseconds: the API's int32 of milliseconds, 24 days."""

PATTERN_CHARACTERS_MAX = 1_000
"""Longest ``q``, in characters: the time that it takes for a message is at most its length times the
message's."""

POLL_S_MAX = 300
"""Longest time that an answer may wait for new events, in seconds: proxies close connections that are silent
for longer."""

# Blocks

BLOCK_EVENTS_MAX = 5_000
"""Number of events in a full block: with more, it compresses little better, and reading one event takes
longer."""

BLOCK_TEXT_BYTES_MAX = 512 << 10
"""Largest text of a block, in bytes: a block that reaches it is full. A larger event makes a block of its
own."""

BLOCK_EVENTS_LIMIT = 1 << 16
"""Largest number of events in a block's header: a block with a larger one is damaged."""

BLOCK_FRAME_BYTES_MAX = 16 << 20
"""Largest frame that is written, in bytes before compression: more bytes are cut into several frames."""

BLOCK_FRAME_READ_BYTES_MAX = 1 << 30
"""Largest frame that is read, in bytes after decompression, once its checksum was found correct: 1 GiB.
Versions before the first release wrote frames of large late events above 16 MiB; they are read, and cut
anew."""

GROUP_BLOCKS_MAX = 256
"""Number of blocks in a full group of zone maps: with two levels of 256, a query of 100 million events reads
190 zone maps."""

RECENT_BLOCKS_MAX = 4
"""Number of decoded blocks in an open instance's block cache, for pages and single events: some 2 MB each."""

LATE_SHARE = 8
"""Denominator of the share of late events at which a block is rewritten: at 1/8. Until then they are stored
in its late part."""

# Young events and compaction

TABLE_EVENTS_MAX = 15_000
"""Most events of a memory table, unless one commit has more: then it is put into blocks. Replaying them takes
some 100 ms, and they fill three blocks."""
TABLE_BYTES_MAX = 8 << 20
"""Most bytes of memory of a memory table, likewise."""
TABLE_RECORDS_MAX = 8_000
"""Most records of the log of a memory table: after a kill, an opening takes some 6 to 12 us for each, however
few events it has."""
TABLES_BYTES_MAX = 64 << 20
"""Most bytes of memory of the growing memory tables of all instances of a process: beyond it the largest are
put into blocks."""
LATE_EVENTS_MAX = 100_000
"""Most late events that a checkpoint leaves out of blocks: replaying them takes some 50 ms. More are put into
the blocks that get the most of them."""
LATE_BYTES_MAX = 32 << 20
"""Bytes of memory of carried late events beyond which all of them are put into blocks."""
TABLE_EVENTS_LEFT_MAX = 256
"""Most young events that stay in the log at rest and at close: a single event each minute must not rewrite a
block of thousands."""
TABLE_BYTES_LEFT_MAX = 1 << 20
"""Most bytes of memory of those events: each opening reads them, and readers of other processes hold them."""

REST_AGE_US = 60_000_000
"""Age of the newest commit from which on an instance rests, in microseconds: then young events go into
blocks, and records of commits are packed."""

CARRIED_VALUES_MAX = 10_000
"""Largest number of values that a compaction carries to the new generation in one transaction: it bounds the
memory."""

CARRIED_BYTES_MAX = 16 << 20
"""Largest size of these values, in bytes, for the same reason."""

PACK_COMMITS_MAX = 1_000
"""Largest number of commits in a packed record: each takes 2.5 bytes there, and 63 as a record of its own."""

PACK_EVENTS_MAX = 8_192
"""Largest number of events of the commits in a packed record: a reader of it holds them all at once."""

# Backups

RESTORE_ROWS_MAX = 100_000
"""Most events outside of blocks that a restore stores one by one, before they are put into blocks."""

BACKUP_FRAME_BYTES_MAX = (1 << 30) + (64 << 20)
"""Largest payload of a frame of a backup, in bytes: the largest block that is read, and its chunks."""

BACKUP_PAIRS_MAX = 5_000
"""Largest number of records of sources, requests or commits in a frame of a backup."""

BACKUP_PAIRS_BYTES_MAX = 2 << 20
"""Size of such a frame before compression from which on no further record is added, in bytes."""

BACKUP_CHUNK_BYTES = 256 << 10
"""Size of the pieces in which a backup is handed on, in bytes: a call for each frame would cost more."""

RESTORE_BYTES_MAX = 64 << 20
"""Largest size of the values of one transaction of a restore, in bytes: each one is synced."""

# Filters

FILTER_CHARACTERS_MAX = 1 << 16
"""Longest filter, in characters: 64 Ki, the number of bytes that a Yamcs server accepts as a whole
request."""

FILTER_DEPTH_MAX = 64
"""Deepest nesting of a filter's parentheses: far more than people write, and a fraction of the interpreter's
stack."""

FILTER_TERMS_MAX = 2_000
"""Largest number of terms of a filter: each may be tried on each event of a scan."""

FILTER_PROGRAM_MAX = 4_096
"""Largest number of steps in the programs of all regular expressions of a filter: it bounds their time. The
worst that was measured is 10 us for each byte of text (1 ms for an event, 10 s for a message of 1 MiB).
People write some hundreds of steps."""

FILTER_REGEX_BYTES_MAX = 1 << 20
"""Largest memory of one regular expression, in bytes, its automaton included: it bounds the memory of a
filter."""

# Request ids

REQUEST_ID_BYTES_MAX = 200
"""Longest request id, in UTF-8 bytes: with the user's name and a position it makes a key, and a key of LMDB
has at most 511 bytes. A UUID has 36."""

REQUEST_USER_BYTES_MAX = 255
"""Longest user name of a request with an id, in UTF-8 bytes, for the same reason."""

REQUEST_AGE_US = 86_400_000_000
"""Age at which a request id expires, in microseconds: 24 hours. Retries come within minutes."""

REQUEST_IDS_MAX = 1_000_000
"""Largest number of request ids of an instance: some 80 MB. At the limit, requests with new ids are
refused."""

REQUESTS_SWEPT_MAX = 10_000
"""Largest number of request ids whose age is checked in one transaction, which holds the writer for some
milliseconds."""

# Retention

DAY_US = 86_400_000_000
"""A day, in microseconds."""

YEAR_US = 366 * DAY_US
"""Longest time after the newest commit at which the archive's clock is believed, in microseconds: a clock
that was reset to a time far ahead must not take all events."""

KEEP_DAYS_MAX = 1_000_000
"""Largest number of days to keep: some 2,700 years, so that the time before is a time of ours still."""

ODD_AFTER_US = DAY_US
"""Longest time after the archive's clock at which a generation time is ordinary, in microseconds: clocks of
different zones and a little drift are, a clock in 2099 is not."""

ODD_BEFORE_US = 978_307_200_000_000
"""Least generation time that is ordinary, in microseconds since 1970: 2001-01-01T00:00:00Z. A clock that was
never set counts from 1958, 1970, 1980 or 2000."""

ODD_SOURCES_MAX = 1_000
"""Largest number of sources that a report of pruning names."""

PRUNED_BLOCKS_MAX = 64
"""Largest number of blocks that one transaction of pruning deletes: appends wait for it."""

PRUNED_RECORDS_MAX = 1_000
"""Largest number of commit records that one transaction of pruning deletes."""

PRUNE_EVERY_US = 3_600_000_000
"""Time between two runs of pruning on a schedule, in microseconds."""
