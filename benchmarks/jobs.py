"""What one run is, and what it found: values that pass between the harness and its child processes; pure."""

from __future__ import annotations

import msgspec

from benchmarks.workload import Mix, Workload


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One measure of one contender on one workload; it is run in a process of its own."""

    measure: str
    """The module in :mod:`benchmarks.measures` that does it."""
    case: str
    """Says what is special about it; contenders are compared within a measure and case."""
    contender: str
    events: int
    mix: Mix = Mix.IN_ORDER
    rare_every: int = 50_000
    big_every: int = 0
    batch_events: int = 10_000
    threads: int = 1
    stream: bool = False
    """Hand over all batches in one call."""
    single: bool = False
    """Store each event by the call that is meant for one, instead of in a batch of one."""
    connections: int = 0
    encoding: str = "json"
    wsgi: bool = False
    """Serve by WSGI instead of ASGI."""
    warm_up: int = 0
    """Requests before the clock starts."""
    repeats: int = 1

    def workload(self) -> Workload:
        """Return the events that it is run on."""
        return Workload(self.events, self.mix, rare_every=self.rare_every, big_every=self.big_every)

    def label(self) -> str:
        """Return its name in progress lines.

        >>> Job(measure="ingest", case="in order", contender="sqlite", events=1).label()
        'ingest, in order: sqlite'
        """
        return f"{self.measure}, {self.case}: {self.contender}"


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What one run found."""

    figures: dict[str, float]
    """By name; the unit is the end of the name."""
    digest: str = ""
    """Of all that it answered; empty where there is nothing to answer."""
    series: dict[str, list[float]] = {}
    """Figures that go along a growing archive."""
    notes: dict[str, str] = {}
    """Versions, and when an append counts as durable."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """All runs of one job, and the digest that they should have."""

    job: Job
    outcomes: list[Outcome]
    expected_digest: str = ""
    failure: str = ""
    """What the first run that failed said; no run followed it."""

    @property
    def right(self) -> bool:
        """True when every run ended well and answered what it should."""
        return not self.failure and all(outcome.digest == self.expected_digest for outcome in self.outcomes)

    def values(self, figure: str) -> list[float]:
        """Return a figure of every run, in the order in which they were made."""
        return [outcome.figures[figure] for outcome in self.outcomes if figure in outcome.figures]
