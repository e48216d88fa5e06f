"""One line about a pruning, for the log and for the command line."""

from __future__ import annotations

from yamcs_archive.results import OddTimes, PruningResult
from yamcs_archive.times import format_rfc3339

_ODD_SHOWN_MAX = 5
"""Largest number of sources with improbable times that a line names."""


def prune_line(name: str, done: PruningResult) -> str:
    """Return a line about what was pruned from an instance.

    >>> odd = OddTimes("AOCS", 2, 0, 1_000_000, True)
    >>> print(prune_line("sim", PruningResult(2_000_000, 2, 100, (odd,), 1, 0, 0.1)))
    sim: pruned before 1970-01-01T00:00:02Z: 2 events, about 100 bytes, 0.1 s; improbable times: 2 of AOCS ...
    """
    horizon = "nothing" if done.horizon is None else f"before {format_rfc3339(done.horizon)}"
    line = f"{name}: pruned {horizon}: {done.events} events, about {done.size_bytes} bytes"
    line += f", {done.seconds:.1f} s"
    if done.odd_sources:
        shown = [odd_line(odd) for odd in done.odd_times[:_ODD_SHOWN_MAX]]
        more = done.odd_sources - len(shown)
        line += f"; improbable times: {', '.join(shown)}" + (f", and {more} more" if more else "")
    if done.damaged:
        line += f"; {done.damaged} could not be read"
    return line


def odd_line(odd: OddTimes) -> str:
    """Return the words about the improbable times of one source.

    >>> odd_line(OddTimes("AOCS", 1, 4_000_000_000_000_000, 4_000_000_000_000_000, False))
    '1 of AOCS, from 2096-10-02T07:06:40Z to 2096-10-02T07:06:40Z, stay'
    """
    span = f"from {format_rfc3339(odd.first_time)} to {format_rfc3339(odd.last_time)}"
    return f"{odd.events} of {odd.source}, {span}, {'went' if odd.pruned else 'stay'}"
