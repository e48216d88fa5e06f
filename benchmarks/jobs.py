"""The input and the outcome of a run: values that pass between the harness and its child processes; pure."""

from __future__ import annotations

import msgspec

from benchmarks.workload import Mix, Workload


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of one contender on one workload. It runs in a process of its own."""

    measure: str
    """The name of its module in :mod:`benchmarks.measures`."""
    case: str
    """The name of its conditions; contenders are compared within a measure and a case."""
    contender: str
    events: int
    mix: Mix = Mix.IN_ORDER
    rare_every: int = 50_000
    big_every: int = 0
    batch_events: int = 10_000
    threads: int = 1
    stream: bool = False
    """Whether one call gets all batches."""
    single: bool = False
    """Whether each event is stored by the call for single events, instead of in a batch of one."""
    connections: int = 0
    encoding: str = "json"
    wsgi: bool = False
    """Whether it is served by WSGI instead of ASGI."""
    authorization: str = ""
    """The header with which each request logs in; "" for none."""
    tls: bool = False
    """Whether the connections are encrypted."""
    warm_up: int = 0
    """Number of requests before the clock starts."""
    skip: int = 0
    """Number of events before its own, for runs after one another into one archive; a multiple of 10,000."""
    repeats: int = 1

    def workload(self) -> Workload:
        """Return the workload of the job, with the events that it skips."""
        count = self.skip + self.events
        return Workload(count, self.mix, rare_every=self.rare_every, big_every=self.big_every)

    def label(self) -> str:
        """Return its name in progress lines.

        >>> Job(measure="ingest", case="in order", contender="sqlite", events=1).label()
        'ingest, in order: sqlite'
        """
        return f"{self.measure}, {self.case}: {self.contender}"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one run."""

    figures: dict[str, float]
    """The figures, by name; a name ends with the unit."""
    digest: str = ""
    """The digest of all its answers; empty if there are none."""
    series: dict[str, list[float]] = {}
    """Figures at several sizes of a growing archive, by name."""
    notes: dict[str, str] = {}
    """Versions, and the meaning of "durable" for the contender."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one job, and their right digest."""

    job: Job
    outcomes: list[Outcome]
    expected_digest: str = ""
    failure: str = ""
    """The error of the first run that failed; no run followed it."""

    @property
    def right(self) -> bool:
        """Whether no run failed and every run gave the right answers."""
        return not self.failure and all(outcome.digest == self.expected_digest for outcome in self.outcomes)

    def values(self, figure: str) -> list[float]:
        """Return a figure of every run, in the order of the runs."""
        return [outcome.figures[figure] for outcome in self.outcomes if figure in outcome.figures]
