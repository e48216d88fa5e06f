"""Every limit of the event model, the storage and the wire, with its unit and its reason. Imports nothing.

Relations between them are held by ``tests/test_limits.py``.
"""

from __future__ import annotations

TIME_MIN_US = -62_135_596_800_000_000
"""Earliest time, in microseconds since 1970: 0001-01-01T00:00:00Z, the first that RFC 3339 can write."""

TIME_MAX_US = 253_402_300_799_999_999
"""Latest time, in microseconds since 1970: 9999-12-31T23:59:59.999999Z."""

SOURCE_BYTES_MAX = 255
"""Longest source, in UTF-8 bytes. Sources are part of the key, and LMDB's keys have at most 511 bytes."""

SEQ_NUMBER_MIN, SEQ_NUMBER_MAX = -(2**31), 2**31 - 1
"""Least and greatest sequence number: int32, as in both generations of the API."""

MESSAGE_BYTES_MAX = 1 << 20
"""Longest message, in UTF-8 bytes: 1 MiB, sixteen times a Yamcs server's limit of a whole request."""

ATTACHED_BYTES_MAX = 256 << 10
"""Total UTF-8 bytes of type, extra (names and values), created_by and extensions of an event: 256 KiB."""

BODY_BYTES_MAX = 8 << 20
"""Largest request body, and largest element of a batch, in bytes: 8 MiB. The largest event fits: a byte of a
message takes at most 6 bytes of JSON (``\\u0000``)."""

INSTANCE_NAME_MAX = 128
"""Longest name of an instance, in characters: it is a directory's name, which may have 255 bytes."""

GROUP_EVENTS_MAX = 20_000
"""Events of one commit: with more of them, each waiting caller would wait too long."""

GROUP_BYTES_MAX = 8 << 20
"""Bytes of text of one commit: bounds the writer's memory."""

CHUNK_EVENTS_MAX = 10_000
"""Events of a chunk of ``append_many``, which is durable before the next chunk begins: bounds its memory."""

CHUNK_BYTES_MAX = 2 << 20
"""Bytes of text of such a chunk."""

GATHERED_BYTES_MAX = 1 << 20
"""Bytes of text of a chunk of a batch: a server may have 32 batches, each with a chunk of its own. Ten
thousand events of the usual length have less."""

QUEUED_BYTES_MAX = 32 << 20
"""Bytes of memory of the writer's queue, some 11,000 single events. While it is full, callers wait before
they add to it."""

CONFLICTS_KEPT_MAX = 1_000
"""Conflicts that an answer to ``append_many`` or a batch shows; further ones are only counted."""

PAGE_EVENTS_MAX = 1_000
"""``limit`` of one page over HTTP, as on a Yamcs server (``maxPageSize``)."""

PAGE_EVENTS_DEFAULT = 100
"""``limit`` when none is given, as on a Yamcs server."""

PAGE_BYTES_MAX = 4 << 20
"""Bytes of text of one page: of large events it has fewer, one at least, and a token for the rest."""

PAUSE_US_DEFAULT = 2_000_000
"""Longest pause within a stretch of a histogram when none is given: 2 s, a Yamcs server's ``mergeTime``."""

PAUSE_US_MAX = (2**31 - 1) * 1000
"""The longest that may be given: int32 of milliseconds, 24 days."""

INDEX_ENTRIES_DEFAULT, INDEX_ENTRIES_MAX = 1_000, 10_000
"""Stretches of one page of ``event-index``: as on a Yamcs server, and as many as make an answer of 1 MB."""

PATTERN_CHARACTERS_MAX = 1_000
"""Characters of ``q``: its time for a message is at most its length times the message's."""

BATCH_EVENTS_MAX = 2_500
"""Events that are written to a stream together: more do not fit the cache, of fewer each costs more."""

STREAMS_MAX = 8
"""Answers of any length that a server writes at once: each may hold one of its 64 threads for as long as its
client pleases, and with batches and polls they leave an eighth of these for all else. Two cores write no more
events a second in eight streams than in two."""

GZIP_BYTES_MIN = 1_024
"""Bytes of an answer from which on it is compressed for those who ask: less fits a packet as it is."""

READ_EVENTS_MAX = 1_000
"""Events that one read transaction fetches. It must be short: while it is open the file may grow."""

READ_BYTES_MAX = 2 << 20
"""Bytes of records that one read transaction fetches: bounds the memory of messages of 1 MiB."""

READERS_MAX = 1_024
"""Reader slots of an LMDB environment. Its default of 126 runs out on busy servers (frappe/mail#559)."""

MAP_BYTES_DEFAULT = 64 << 30
"""Bytes of address space first reserved for an instance: 64 GiB, not disk space. It doubles when full."""

BLOCK_EVENTS_MAX = 5_000
"""Events in a full block. With more, it compresses little better, and reading one event takes longer."""

BLOCK_TEXT_BYTES_MAX = 512 << 10
"""Bytes of text in a full block, if they are reached first. A larger event makes a block of its own."""

RECENT_BLOCKS_MAX = 4
"""Decoded blocks in an open instance's block cache, for pages and single events: some 2 MB each."""

BLOCK_EVENTS_LIMIT = 1 << 16
"""Largest count of events in a block's header; a block with a larger one is damaged."""

BLOCK_FRAME_BYTES_MAX = 16 << 20
"""Largest frame that is written, in bytes before compression; more bytes are cut into several frames."""

BLOCK_FRAME_READ_BYTES_MAX = 1 << 30
"""Largest frame that is read, in bytes when decompressed, after its checksum was found right: 1 GiB. Versions
before the first release wrote some above 16 MiB, of large late events; they are read, and cut anew."""

RUN_EVENTS_MIN = 256
"""Fewest new events in a run that are written as blocks at once; shorter runs become rows until sealed."""

ROWS_MAX = 100_000
"""Rows of an instance; beyond it the smallest keys are sealed, however young: rows take much space."""

ROWS_BYTES_MAX = 64 << 20
"""Bytes of pages of rows; beyond it rows are sealed likewise."""

SEAL_AGE_US = 60_000_000
"""Age of a commit at which its rows are sealed, in microseconds: 60 s. Events late by less cost no
rewriting."""

LATE_SHARE = 8
"""Rewrite a block once late events reach 1/8 of it; until then keep them in its late part."""

SEAL_ROWS_MAX = 8_192
"""Rows of one sealing step, which callers may have to wait for."""

BATCHES_MAX = 32
"""Batches that a server reads at once: each holds one of its 64 threads, however slowly it comes."""

POLLS_MAX = 4_096
"""Answers that may wait for something to be stored where they hold no thread: some KB of memory each."""

THREAD_POLLS_MAX = 16
"""Answers that may wait where each holds a thread: with the batches, three quarters of a server's 64."""

POLL_S_MAX = 300
"""Seconds that an answer may wait for something to be stored; proxies cut what is silent for longer."""

CHANGES_BYTES_MAX = 4 << 20
"""Bytes of text after which an answer of ``events:changes`` takes no further event, or commit: 4 MiB."""

EXCHANGE_EVENTS_DEFAULT = 20_000
"""Events after which an answer in the exchange form takes no further commit, when no limit is given: as many
as a commit has at most, so that memory is bounded by twice as many."""

EXCHANGE_EVENTS_MAX = 100_000
"""``limit`` of such an answer."""

BODIES_BYTES_MAX = 32 << 20
"""Bytes of larger bodies of single requests that a server holds at once, until they are answered: 4 of the
largest, and 32 messages of 1 MiB. The others wait unread."""

INFLOW_BYTES_MAX = 2 << 20
"""Bytes of a batch that wait between the event loop, which receives them, and the thread that reads them."""

INFLOWS_BYTES_MAX = 8 << 20
"""The same of all batches: of each the less the more there are, but for the message that came last."""

LARGE_TEXT_BYTES = 256 << 10
"""Bytes of text from which on an answer is large, and waits until there is room to make it: a thousand events
of three times the usual length are not."""

LARGE_ANSWER_BYTES = 1 << 20
"""Bytes from which on an answer that was made is weighed until its client has taken it."""

MAKING_BYTES = 40 << 20
"""Bytes that the making of a large answer is taken to need: a page of 4 MiB in JSON takes less
(docs/performance.md, one page, beside some 32 MiB of a server at rest), one that is all escapes more."""

ANSWERS_BYTES_MAX = 64 << 20
"""Bytes that large answers may hold together: one that is made, and some that are written."""

ANSWER_WAIT_S = 2
"""Seconds that a large answer waits for memory before it is cut short; reached only when other clients do not
read their answers."""

ANSWERS_WAITING_MAX = 32
"""Answers that wait so at once: each holds one of 64 threads for pages, and the others are for small ones."""

BODY_WAIT_S = 10
"""Seconds that a large upload waits for memory before a 503; reached only when other uploads stall."""

QUICK_BODY_BYTES_MAX = 64 << 10
"""Bytes of a body that an event loop reads itself: a fraction of a millisecond, for which
the others wait."""

WEBSOCKETS_MAX = 1_000
"""WebSockets that a server holds open: each may have some queue in memory."""

WEBSOCKET_FRAME_BYTES_MAX = 1 << 16
"""Bytes of a frame from a client, as on a Yamcs server: the largest filter and little more."""

SUBSCRIPTIONS_MAX = 100
"""Subscriptions of one WebSocket: the filter of each is tried on every event."""

LIVE_QUEUE_BYTES_MAX = 4 << 20
"""Bytes that may wait for one WebSocket before the others wait for it; events that several wait for are in
memory once."""

LIVE_EVENTS_MAX = 256
"""Events that are given out together, at most: then it is seen who is slow."""

LIVE_BYTES_MAX = 1 << 20
"""Bytes of text after which no further one is given out with them: a quarter of what may wait."""

LIVE_PAUSE_S = 0.005
"""Seconds between two looks at what is new: what came meanwhile is read and sent together."""

LIVE_PATIENCE_S = 10
"""Seconds that live updates wait until a queue that was full is half empty; who is slower is cut off, so
that the others are not held up. It is some 800 events a second."""

LIVE_SEND_S = 30
"""Seconds in which a client must take one frame; else it has stopped reading."""

CONFLICTS_KEPT_BYTES_MAX = 8 << 20
"""Bytes of text of the conflicts that an answer shows: of large ones it shows fewer, but at least one."""

GROUP_BLOCKS_MAX = 256
"""Blocks of a group of zone maps: with two levels of 256 a query of 100 million events reads 190 of them."""

CARRIED_VALUES_MAX = 10_000
"""Values that a compaction carries to the new generation in one transaction: bounds its memory."""

CARRIED_BYTES_MAX = 16 << 20
"""Bytes of such values."""

PACK_COMMITS_MAX = 1_000
"""Commits in a packed record: 2.5 bytes for each instead of 63 as a record of its own."""

PACK_EVENTS_MAX = 8_192
"""Events of the commits in a packed record: a reader of it holds them all at once."""

FILTER_CHARACTERS_MAX = 1 << 16
"""Characters of a filter: 64 Ki, as many bytes as a Yamcs server takes as a whole request."""

FILTER_DEPTH_MAX = 64
"""Deepest nesting of a filter's parentheses: far more than people write, and a fraction of the interpreter's
stack."""

FILTER_TERMS_MAX = 2_000
"""Terms of a filter: each may be tried on each event of a scan."""

FILTER_PROGRAM_MAX = 4_096
"""Steps of the programs of all regular expressions of a filter, which bound its time: at worst 10 us for each
byte of text were measured (1 ms for an event, 10 s for a message of 1 MiB). People write some hundreds."""

FILTER_REGEX_BYTES_MAX = 1 << 20
"""Bytes that one regular expression may take in memory, its automaton included."""

REQUEST_ID_BYTES_MAX = 200
"""Longest request id, in UTF-8 bytes; a UUID has 36. With the user's name and a position it makes a key, and
LMDB's keys have at most 511 bytes."""

REQUEST_USER_BYTES_MAX = 255
"""Longest user name of a request with an id, in UTF-8 bytes, for the same reason."""

REQUEST_AGE_US = 86_400_000_000
"""Age at which a request id expires, in microseconds: 24 hours. Retries come within minutes."""

REQUEST_IDS_MAX = 1_000_000
"""Request ids of an instance: some 80 MB. While there are as many, requests with new ids are refused."""

REQUESTS_SWEPT_MAX = 10_000
"""Request ids checked for their age in one transaction, which holds the writer for some milliseconds."""
