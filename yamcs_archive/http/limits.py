"""Limits of the server alone, each with its unit and one reason. Imports nothing.

By default a server has 64 threads for pages, batches and streams. Some of these limits divide the threads,
the others bound the memory.
"""

from __future__ import annotations

# Pages and other answers

PAGE_EVENTS_DEFAULT = 100
"""``limit`` of a page when none is given, in events, as on a Yamcs server."""

PAGE_BYTES_MAX = 4 << 20
"""Largest text of one page, in bytes: a page of large events has fewer of them, at least one, and a token for
the rest."""

INDEX_ENTRIES_DEFAULT, INDEX_ENTRIES_MAX = 1_000, 10_000
"""Default and largest ``limit`` of a page of ``event-index``, in stretches: that of a Yamcs server, and as
many as make an answer of 1 MB."""

CHANGES_BYTES_MAX = 4 << 20
"""Text after which an answer of ``events:changes`` takes no further event or commit, in bytes: it bounds the
memory."""

EXCHANGE_EVENTS_DEFAULT = 20_000
"""Number of events after which an answer in the exchange form takes no further commit when no limit is given:
as many as a commit has at most, so that the answer has at most twice as many."""

EXCHANGE_EVENTS_MAX = 100_000
"""Largest ``limit`` of an answer in the exchange form, in events: it bounds the memory."""

GZIP_BYTES_MIN = 1_024
"""Smallest answer that is compressed on request, in bytes: a smaller one fits into a packet as it is."""

# Connections, and heads of requests

CONNECTIONS_MAX = 4_096
"""Largest number of connections at once: an idle one takes 9 KB, with TLS 50 KB (measured with a thousand).
One more ends the one that has waited longest for a request."""

CONNECTIONS_LIMIT = 1_000_000
"""Greatest limit of connections that can be chosen: the system's limits of open files end there."""

EVICTED_IDLE_S = 5
"""Least time that a connection has waited for a request when it ends for a new one, in seconds: clients that
ask often keep theirs."""

DESCRIPTORS_LEFT_MIN = 32
"""Number of the process's last file descriptors that no connection gets."""

DESCRIPTORS_OWN = 512
"""File descriptors that the process has besides those of connections, for its limit: some 150 instances."""

HEAD_BYTES_MAX = 512 << 10
"""Largest head of a request, in bytes, from its first line to its last header: a URL with the longest filter
fits. Chunk extensions and trailers have the same limit."""

HEAD_LINES_MAX = 128
"""Largest number of headers of a request: browsers and proxies send up to some 40."""

HEAD_S_MAX = 30
"""Longest time for a head, in seconds: from its first byte to its end; the first one from the connection."""

IDLE_S_MAX = 75
"""Longest time that a connection is kept without a request, in seconds: a client that polls once a minute
keeps its connection."""

PIPELINED_MAX = 64
"""Largest number of requests that a connection sends before the answer to the first: each takes some
KB. Few clients send any."""

HANDSHAKE_S_MAX = 10
"""Longest time for a TLS handshake, in seconds: it takes three messages of a client that wants to connect."""

HANDSHAKES_MAX = 256
"""Largest number of TLS handshakes under way at once: each takes 55 KB. One more ends the oldest."""

# Bytes that must move, so that nobody holds memory, a slot or a thread by doing nothing

RECEIVED_PERIOD_S, RECEIVED_BYTES_MIN = 30, 15_000
"""Seconds in which at least so many bytes of a body must come, while the server reads it: 500 bytes a second,
as slow as links are, and a pause of half a minute. It bounds how long a body holds memory or a thread."""

SENT_PERIOD_S, SENT_BYTES_MIN = 30, 15_000
"""Seconds in which a client must take at least so many bytes of what waits for it, or all of it: as for
bodies. It bounds how long a page holds memory, and a stream its slot."""

# Requests that hold a thread, or wait

STREAMS_MAX = 8
"""Largest number of answers of any length that are written at once. Each may hold one of the 64 threads as
long as its client likes; batches, streams and polls together leave an eighth of the threads. Two cores write
no more events a second in eight streams than in two."""

REPORTS_MAX = 2
"""Largest number of reports on passes at once, which are streams too: each takes a core, and up to some 200
MB where sources and templates are many."""

BATCHES_MAX = 32
"""Largest number of batches that are read at once: each holds one of the 64 threads, however slowly it
comes."""

POLLS_MAX = 4_096
"""Largest number of answers that wait for new events without a thread: each takes some KB of memory."""

THREAD_POLLS_MAX = 16
"""Largest number of answers that wait for new events with a thread each: with the batches they take three
quarters of the 64."""

PAGES_WAITING_MAX = 1_024
"""Largest number of requests that wait for one of the 64 threads: each takes some KB, and the last of them a
second if each page takes the usual few milliseconds."""

# Requests of one client

CLIENT_REQUESTS_MAX = 100_000
"""Greatest limit of one client's requests under way at once, and of those in a second: beyond it no limit is
meant."""

CLIENTS_KNOWN_MAX = 10_000
"""Largest number of client addresses whose requests are counted: each takes some 300 bytes. Beyond it, those
that have asked least recently are forgotten."""

# Memory of bodies

LOGIN_BYTES_MAX = 16 << 10
"""Largest body of a login, in bytes: anybody may send one, and a name and a password are far shorter."""

QUICK_BODY_BYTES_MAX = 64 << 10
"""Largest body that an event loop reads itself, in bytes: that takes a fraction of a millisecond, in which
all other requests wait."""

BODIES_BYTES_MAX = 32 << 20
"""Largest size of the larger bodies of single requests together, until they are answered, in bytes: 4 of the
largest, or 32 messages of 1 MiB. Further bodies wait unread."""

PARTIAL_BODIES_BYTES_MAX = 64 << 20
"""Largest size of the smaller bodies together that have not come whole, in bytes: a thousand of the largest.
Those that come at once are not counted."""

BODY_WAIT_S = 10
"""Longest time that a large upload waits for memory before a 503, in seconds: it is reached only when other
uploads stall."""

INFLOW_BYTES_MAX = 2 << 20
"""Largest part of one batch, in bytes, that waits between the event loop, which receives it, and the thread
that reads it: it bounds the memory."""

INFLOWS_BYTES_MAX = 8 << 20
"""Largest size of these parts of all batches together, in bytes. The batches share it equally; only the
message that came last may exceed a share."""

# Memory of large answers

LARGE_TEXT_BYTES = 256 << 10
"""Text above which an answer counts as large and waits until there is room to make it, in bytes: a thousand
events of three times the usual length have less."""

LARGE_ANSWER_BYTES = 1 << 20
"""Size from which a finished answer counts against the budget until its client has read it, in bytes."""

MAKING_BYTES = 40 << 20
"""Memory that is reserved for making a large answer, in bytes. A page of 4 MiB in JSON takes less
(docs/performance.md, one page, in addition to some 32 MiB of an idle server); a page of nothing but escapes
takes more."""

ANSWERS_BYTES_MAX = 64 << 20
"""Largest memory of all large answers together, in bytes: room for one that is made, and some that are
written."""

ANSWER_WAIT_S = 2
"""Longest time that a large answer waits for memory before it is cut short, in seconds: it is reached only
when other clients do not read their answers."""

ANSWERS_WAITING_MAX = 32
"""Largest number of answers that wait for memory at once: each holds one of the 64 threads, and small answers
need the others."""

# Live updates

WEBSOCKETS_MAX = 1_000
"""Largest number of open WebSockets: each may have a queue in memory."""

WEBSOCKET_SEND_BYTES = 64 << 10
"""Bytes that the system may hold for one WebSocket, twice that with its own: else it takes some MB from the
queue before a client that reads nothing is noticed. With half of it, which is less than two segments of a
loopback interface, large events go at the pace of a timer."""

WEBSOCKET_FRAME_BYTES_MAX = 1 << 16
"""Largest frame from a client, in bytes, as on a Yamcs server: the largest filter fits, with a little
more."""

WEBSOCKET_MESSAGE_BYTES_MAX = 1 << 20
"""Largest frame that is received at all, in bytes: up to here the answer says what the limit is, beyond it
the connection ends."""

SUBSCRIPTIONS_MAX = 100
"""Largest number of subscriptions of one WebSocket: the filter of each is tried on every event."""

TIME_CALLS_MAX = 10
"""Largest number of calls of ``time`` of one WebSocket: each is sent a frame every second, and clients have
one for each instance that they show."""

TIME_PERIOD_S = 1
"""Time between two frames of a call of ``time``, in seconds, as on a Yamcs server."""

LIVE_QUEUE_BYTES_MAX = 4 << 20
"""Size of one WebSocket's queue above which the others wait for it, in bytes: it bounds the memory. An event
in several queues is in memory once."""

LIVE_EVENTS_MAX = 256
"""Largest number of events that are sent to all queues before full queues are waited for: it bounds how far a
queue exceeds its limit."""

LIVE_BYTES_MAX = 1 << 20
"""Text after which no further event is sent with these, in bytes: a quarter of a queue's limit."""

LIVE_PAUSE_S = 0.005
"""Pause between two reads of new events, in seconds: the events that come meanwhile are read and sent
together."""

LIVE_PATIENCE_S = 10
"""Longest time that live updates wait until a full queue is half empty, in seconds: a slower client is
disconnected, so that it does not hold up the others. That is some 800 events a second."""

WEBSOCKET_PING_S = 20
"""Time between two pings to a client, in seconds: proxies cut a connection that is silent for a minute."""

LIVE_SEND_S = 30
"""Longest time that a client may take to accept one frame, in seconds: after it, the client has stopped
reading."""

METRICS_INSTANCES_MAX = 100
"""Largest number of instances that ``/metrics`` tells one by one: each has some 50 lines, and every line is a
series that Prometheus stores."""
