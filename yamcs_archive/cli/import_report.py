"""The outcomes of an import from a server, as lines."""

from __future__ import annotations

from collections.abc import Iterator

from yamcs_archive.importers.yamcs import Imported


def totals(name: str, done: Imported) -> str:
    """Return the line with all counts.

    >>> totals("sim", Imported(read=2, stored=2))
    'sim: 2 read, 2 stored, 0 duplicates, 0 conflicts, 0 expired, 0 refused'
    """
    return (
        f"{name}: {done.read} read, {done.stored} stored, {done.duplicates} duplicates,"
        f" {done.conflict_count} conflicts, {done.expired} expired, {done.refused_count} refused"
    )


def faults(done: Imported, *, conflicts: int = 0, refused: int = 0) -> Iterator[str]:
    """Yield lines about the first events that were not stored, after as many as were shown already."""
    for conflict in done.conflicts[conflicts:]:
        yield f"conflict at {conflict.stored.key}:"
        yield f"  here   {conflict.stored.message!r}"
        yield f"  there  {conflict.offered.message!r}"
    for reason in done.refused[refused:]:
        yield f"refused: {reason}"
