"""The jobs of a run; pure. A full run has 1 million events, except in cases where that would take an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec

from benchmarks.contenders import COLUMNAR, EMBEDDED
from benchmarks.jobs import Job
from benchmarks.measures.logging import PACED
from benchmarks.workload import Mix

_ANY_ORDER = tuple(name for name in EMBEDDED if name != "raw lmdb append")
"""The contenders that accept events in any order."""
_LOCKED = tuple(name for name in _ANY_ORDER if name not in COLUMNAR)
"""Those that accept them from many threads and in small batches too."""
_POSTED = ("archive", "sqlite")
_YAMCS_CONNECTIONS = 32
"""A Yamcs server is measured in one case only: starting and warming it up takes three times as long."""
_REMEMBERED = ("archive", "sqlite", "rocksdb")
_MILLION = 1_000_000
_REPEATED = 0
"""Means the number of repeats, before it is known; other jobs run once."""


@dataclass(frozen=True)
class Sizes:
    """The sizes of the cases, in events; in requests if a request has one event."""

    bulk: int
    """For batches of 10,000, and for the archive of the queries."""
    small: int
    """For batches of 100."""
    one: int
    """For batches of 1."""
    single: int
    """Single appends."""
    own_commits: int
    """For commits of one event each, which measure the size on disk."""
    posts: int
    warm_up: int
    """Number of requests before the counted ones."""
    memory: int
    served: int
    """Number of messages of 1 MiB that are served."""
    streamed: int
    """For the memory of tables that are streamed."""
    big_every: int = 1_000

    @property
    def rare_every(self) -> int:
        """One event of this number is from the rare source, and one has the rare severity."""
        return max(10, min(50_000, self.bulk // 3))

    def scaled(self, bulk: int) -> Sizes:
        """Return sizes in the same proportions, for ``bulk`` events.

        >>> FULL.scaled(100_000).small
        20000
        """
        counts = ("small", "one", "single", "own_commits", "posts", "warm_up", "memory", "served", "streamed")
        shares = {name: max(_LEAST, getattr(self, name) * bulk // self.bulk) for name in counts}
        return replace(self, bulk=bulk, **shares)


_LEAST = 40
"""Least size of a case: more than the threads of any case."""
FULL = Sizes(
    bulk=_MILLION, small=200_000, one=5_000, single=10_000, own_commits=50_000, posts=15_000,
    warm_up=15_000, memory=200_000, served=500, streamed=10 * _MILLION,
)  # fmt: skip
QUICK = Sizes(
    bulk=60_000, small=10_000, one=500, single=1_000, own_commits=2_000, posts=3_000, warm_up=1_000,
    memory=20_000, served=60, streamed=300_000,
)  # fmt: skip
REPEATS, QUICK_REPEATS = 3, 1


def plan(
    sizes: Sizes,
    only: Sequence[str] = (),
    *,
    repeats: int = 1,
    scale_millions: int = 0,
    yamcs: bool = False,
    batches: bool = False,
) -> list[Job]:
    """Return the jobs; the contenders of one case follow each other.

    ``only`` names measures (empty: all). Scale is included if it has a number of millions, a Yamcs server and
    batches over HTTP if they are asked for.

    >>> sorted({job.measure for job in plan(QUICK)})
    ['files', 'http', 'ingest', 'logging', 'memory', 'queries', 'reading', 'serving', 'table_memory',
     'tables']
    """
    jobs = [*_ingest(sizes), *_queries(sizes), *_memory(sizes), *_posts(sizes, yamcs)]
    jobs += [*_batches(sizes, yamcs, batches), *_reading(sizes, yamcs), *_tables(sizes), *_logging(sizes)]
    jobs += _files(sizes)
    jobs += _scale(scale_millions)
    return [
        msgspec.structs.replace(job, repeats=repeats if job.repeats == _REPEATED else 1)
        for job in jobs
        if not only or job.measure in only
    ]


def _ingest(sizes: Sizes) -> list[Job]:
    jobs = []
    again, rare = _REPEATED, sizes.rare_every
    for case, events, batch_events, threads, mix, contenders in (
        ("in order, batches of 10,000", sizes.bulk, 10_000, 1, Mix.IN_ORDER, EMBEDDED),
        ("late and retried, batches of 10,000", sizes.bulk, 10_000, 1, Mix.LATE, _ANY_ORDER),
        ("shuffled, batches of 10,000", sizes.bulk, 10_000, 1, Mix.SHUFFLED, _ANY_ORDER),
        ("in order, batches of 10,000, 32 threads", sizes.bulk, 10_000, 32, Mix.IN_ORDER, _LOCKED),
        ("in order, batches of 100", sizes.small, 100, 1, Mix.IN_ORDER, _LOCKED),
        ("in order, batches of 100, 32 threads", sizes.small, 100, 32, Mix.IN_ORDER, _LOCKED),
        ("in order, batches of 1", sizes.one, 1, 1, Mix.IN_ORDER, _LOCKED),
        ("in order, batches of 1, 32 threads", sizes.one, 1, 32, Mix.IN_ORDER, _LOCKED),
    ):
        jobs += [
            Job(measure="ingest", case=case, contender=contender, events=events, mix=mix,
                batch_events=batch_events, threads=threads, repeats=again, rare_every=rare)
            for contender in contenders
        ]  # fmt: skip
    jobs += [
        Job(measure="ingest", case=case, contender=contender, events=sizes.single, batch_events=1,
            single=True, threads=threads, repeats=again, rare_every=rare)
        for case, threads in (("single append", 1), ("single append, 32 threads", 32))
        for contender in _LOCKED
    ]  # fmt: skip
    jobs.append(
        Job(measure="ingest", case="in order, one call for all", contender="archive", events=sizes.bulk,
            stream=True, repeats=_REPEATED, rare_every=sizes.rare_every)
    )  # fmt: skip
    jobs += [
        Job(measure="ingest", case="each event its own commit", contender=contender, events=sizes.own_commits,
            batch_events=1, single=True, rare_every=sizes.rare_every)
        for contender in ("archive", "sqlite")
    ]  # fmt: skip
    return jobs


def _queries(sizes: Sizes) -> list[Job]:
    return [
        Job(measure="queries", case="at rest", contender=contender, events=sizes.bulk,
            repeats=_REPEATED, rare_every=sizes.rare_every)
        for contender in ("archive", "sqlite", "sqlite indexed", "rocksdb", *COLUMNAR)
    ]  # fmt: skip


def _memory(sizes: Sizes) -> list[Job]:
    return [
        Job(measure="memory", case="messages of 1 MiB", contender=contender, events=sizes.memory,
            big_every=sizes.big_every)
        for contender in _REMEMBERED
    ] + [
        Job(measure="serving", case="messages of 1 MiB", contender="archive", events=sizes.served,
            big_every=1)
    ]  # fmt: skip


def _posts(sizes: Sizes, yamcs: bool) -> list[Job]:
    return [
        Job(measure="http", case=f"POST, {connections} connections", contender=contender,
            events=sizes.posts + sizes.warm_up, batch_events=1, connections=connections,
            warm_up=sizes.warm_up, repeats=_REPEATED)
        for connections in (8, 32, 64)
        for contender in ((*_POSTED, "yamcs") if yamcs and connections == _YAMCS_CONNECTIONS else _POSTED)
    ] + [
        Job(measure="http", case=f"POST under WSGI, {connections} connections", contender="archive",
            events=sizes.posts + sizes.warm_up, batch_events=1, connections=connections, wsgi=True,
            warm_up=sizes.warm_up, repeats=_REPEATED)
        for connections in (32, 64)
    ]  # fmt: skip


def _batches(sizes: Sizes, yamcs: bool, batches: bool) -> list[Job]:
    """Return jobs with one request after another on one connection; the first is warm-up."""
    kinds = [(encoding, "archive") for encoding in ("ndjson", "protobuf", "msgpack") if batches]
    return [
        Job(measure="http", case=f"batch, {encoding}", contender=contender, events=sizes.bulk,
            batch_events=sizes.bulk // 10, connections=1, warm_up=1, encoding=encoding, repeats=_REPEATED)
        for encoding, contender in [*kinds, *([("rows", "yamcs")] if yamcs else [])]
    ]  # fmt: skip


def _reading(sizes: Sizes, yamcs: bool) -> list[Job]:
    """Return the jobs of reading; a Yamcs server runs once, because filling it by rows takes minutes."""
    return [
        Job(measure="reading", case="over HTTP", contender=contender, events=sizes.bulk,
            batch_events=sizes.bulk // 10, connections=1, encoding="rows", rare_every=sizes.rare_every)
        for contender in (("archive", "yamcs") if yamcs else ("archive",))
    ]  # fmt: skip


def _tables(sizes: Sizes) -> list[Job]:
    return [
        Job(measure="tables", case="at rest", contender=contender, events=sizes.bulk,
            repeats=_REPEATED, rare_every=sizes.rare_every)
        for contender in ("archive", "duckdb", "sqlite")
    ] + [
        Job(measure="table_memory", case="streamed", contender="archive", events=sizes.streamed)
    ]  # fmt: skip


def _logging(sizes: Sizes) -> list[Job]:
    """Return the jobs of logging: calls without a pause, and calls with pauses, for a few seconds."""
    return [
        Job(measure="logging", case=case, contender=contender, events=events, repeats=_REPEATED)
        for case, events in (("without a pause", sizes.single * 5), (PACED, sizes.single // 2))
        for contender in ("null", "queue", "file", "archive")
    ]


def _files(sizes: Sizes) -> list[Job]:
    """Return the jobs of files; the large ones are for their memory."""
    ends = ("jsonl", "jsonl.zst", "csv", "msgpack", "parquet", "arrow")
    return [
        Job(measure="files", case=end, contender="archive", events=sizes.bulk, encoding=end,
            repeats=_REPEATED, rare_every=sizes.rare_every)
        for end in ends
    ] + [
        Job(measure="files", case=f"{end}, large", contender="archive", events=sizes.streamed, encoding=end)
        for end in ends
    ]  # fmt: skip


def _scale(millions: int) -> list[Job]:
    """Return the jobs of scale; SQLite stops at 10 million events, where its trend is plain."""
    jobs = [Job(measure="scale", case=f"{millions} million", contender="archive", events=millions * _MILLION)]
    peer = min(millions, 10)
    jobs.append(
        Job(measure="scale", case=f"{peer} million", contender="sqlite indexed", events=peer * _MILLION)
    )
    return jobs if millions else []
