"""What a group of appends does to the accounts of its sources: counts, greatest numbers and times; pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from yamcs_archive.storage.format.sources import SourceState
from yamcs_archive.storage.write.outcomes import Group


def account(group: Group, state: Callable[[str], SourceState], changed: dict[str, SourceState]) -> set[str]:
    """Put the source states that follow from a group into ``changed``; return those that saw refusals."""
    for source, (count, number, time) in group.tally().items():
        old = state(source)
        changed[source] = SourceState(
            old.events + count,
            number if old.greatest_number is None else max(number, old.greatest_number),
            time if old.greatest_time is None else max(time, old.greatest_time),
            old.duplicates,
            old.conflicts,
            old.expired,
        )
    seen = set()
    for outcome in group.outcomes:
        names = outcome.columns.source
        for field, positions in (
            ("duplicates", [position for position, _ in outcome.duplicates]),
            ("conflicts", outcome.conflicts.positions),
            ("expired", outcome.expired),
        ):
            for position in positions:
                source = names[position]
                old = state(source)
                changed[source] = msgspec.structs.replace(old, **{field: getattr(old, field) + 1})
                seen.add(source)
    return seen
