"""Which jobs a run consists of; pure. The sizes of a full run are those of the issue: 1 million events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.contenders import EMBEDDED
from benchmarks.jobs import Job
from benchmarks.workload import Mix

_LOCKED = tuple(name for name in EMBEDDED if name != "raw lmdb append")
"""The contenders that take events in any order and from many threads."""
_POSTED = ("archive", "sqlite")
_REMEMBERED = ("archive", "sqlite", "rocksdb")
_MILLION = 1_000_000


@dataclass(frozen=True)
class Sizes:
    """How much of everything, in events (requests where one carries one event)."""

    bulk: int
    """Batches of 10,000, and the archive that is asked questions."""
    small: int
    """Batches of 100."""
    single: int
    """One by one."""
    own_commits: int
    """One by one, for the size on the medium."""
    posts: int
    warm_up: int
    """Requests before those are counted."""
    memory: int
    repeats: int
    rare_every: int = 50_000
    big_every: int = 1_000


FULL = Sizes(
    bulk=_MILLION, small=200_000, single=20_000, own_commits=200_000, posts=40_000, warm_up=20_000,
    memory=200_000, repeats=5,
)  # fmt: skip
QUICK = Sizes(
    bulk=60_000, small=10_000, single=1_000, own_commits=2_000, posts=3_000, warm_up=1_000,
    memory=20_000, repeats=1, rare_every=20_000,
)  # fmt: skip


def plan(
    sizes: Sizes,
    only: Sequence[str] = (),
    *,
    scale_millions: int = 0,
    yamcs: bool = False,
    batches: bool = False,
) -> list[Job]:
    """Return the jobs, contenders of one case behind each other.

    ``only`` names measures (empty: all); scale takes part when it is given millions, a Yamcs server and
    batches over HTTP when they are asked for.

    >>> {job.measure for job in plan(QUICK)} == {"ingest", "queries", "memory", "http"}
    True
    """
    jobs = [*_ingest(sizes), *_queries(sizes), *_memory(sizes), *_posts(sizes, yamcs)]
    jobs += [*_batches(sizes, yamcs, batches), *_scale(scale_millions)]
    return [job for job in jobs if not only or job.measure in only]


def _ingest(sizes: Sizes) -> list[Job]:
    jobs = []
    again, rare = sizes.repeats, sizes.rare_every
    for case, events, batch_events, threads, mix, contenders in (
        ("in order, batches of 10,000", sizes.bulk, 10_000, 1, Mix.IN_ORDER, EMBEDDED),
        ("late and retried, batches of 10,000", sizes.bulk, 10_000, 1, Mix.LATE, _LOCKED),
        ("shuffled, batches of 10,000", sizes.bulk, 10_000, 1, Mix.SHUFFLED, _LOCKED),
        ("in order, batches of 10,000, 32 threads", sizes.bulk, 10_000, 32, Mix.IN_ORDER, _LOCKED),
        ("in order, batches of 100", sizes.small, 100, 1, Mix.IN_ORDER, _LOCKED),
        ("in order, batches of 100, 32 threads", sizes.small, 100, 32, Mix.IN_ORDER, _LOCKED),
        ("in order, one by one", sizes.single, 1, 1, Mix.IN_ORDER, _LOCKED),
        ("in order, one by one, 32 threads", sizes.single, 1, 32, Mix.IN_ORDER, _LOCKED),
    ):
        jobs += [
            Job(measure="ingest", case=case, contender=contender, events=events, mix=mix,
                batch_events=batch_events, threads=threads, repeats=again, rare_every=rare)
            for contender in contenders
        ]  # fmt: skip
    jobs.append(
        Job(measure="ingest", case="in order, one call for all", contender="archive", events=sizes.bulk,
            stream=True, repeats=sizes.repeats, rare_every=sizes.rare_every)
    )  # fmt: skip
    jobs += [
        Job(measure="ingest", case="each event its own commit", contender=contender, events=sizes.own_commits,
            batch_events=1, rare_every=sizes.rare_every)
        for contender in ("archive", "sqlite")
    ]  # fmt: skip
    return jobs


def _queries(sizes: Sizes) -> list[Job]:
    return [
        Job(measure="queries", case="at rest", contender=contender, events=sizes.bulk,
            repeats=sizes.repeats, rare_every=sizes.rare_every)
        for contender in ("archive", "sqlite", "sqlite indexed", "rocksdb")
    ]  # fmt: skip


def _memory(sizes: Sizes) -> list[Job]:
    return [
        Job(measure="memory", case="messages of 1 MiB", contender=contender, events=sizes.memory,
            big_every=sizes.big_every)
        for contender in _REMEMBERED
    ]  # fmt: skip


def _posts(sizes: Sizes, yamcs: bool) -> list[Job]:
    return [
        Job(measure="http", case=f"POST, {connections} connections", contender=contender,
            events=sizes.posts + sizes.warm_up, batch_events=1, connections=connections,
            warm_up=sizes.warm_up, repeats=sizes.repeats)
        for connections in (8, 32, 64)
        for contender in ((*_POSTED, "yamcs") if yamcs else _POSTED)
    ]  # fmt: skip


def _batches(sizes: Sizes, yamcs: bool, batches: bool) -> list[Job]:
    """One request after another on one connection; the first is warm-up."""
    kinds = [(encoding, "archive") for encoding in ("ndjson", "protobuf", "msgpack") if batches]
    return [
        Job(measure="http", case=f"batch, {encoding}", contender=contender, events=sizes.bulk,
            batch_events=sizes.bulk // 10, connections=1, warm_up=1, encoding=encoding, repeats=sizes.repeats)
        for encoding, contender in [*kinds, *([("rows", "yamcs")] if yamcs else [])]
    ]  # fmt: skip


def _scale(millions: int) -> list[Job]:
    """The archive goes all the way; SQLite stops at 10 million, where its trend is plain."""
    jobs = [Job(measure="scale", case=f"{millions} million", contender="archive", events=millions * _MILLION)]
    peer = min(millions, 10)
    jobs.append(
        Job(measure="scale", case=f"{peer} million", contender="sqlite indexed", events=peer * _MILLION)
    )
    return jobs if millions else []
