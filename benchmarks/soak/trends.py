"""Decides whether something grows: the last third of a run beside the second; the first is the beginning."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple


class Bound(NamedTuple):
    """How much more the last third may have than the second."""

    share: float
    """As a share of what the second has."""
    more: float
    """In the unit of the values: less than that counts as noise."""


def growth(values: Sequence[float], bound: Bound) -> str:
    """Return what is wrong with a row of values; empty if they do not grow.

    >>> growth([50, 100, 100, 101, 100, 102], Bound(0.1, 5))
    ''
    >>> growth([50, 60, 70, 80, 90, 100], Bound(0.1, 5))
    'it grew from 75 to 95'
    """
    third = len(values) // 3
    if third < 1:
        return ""
    before, after = median(values[third : 2 * third]), median(values[2 * third :])
    if after - before <= max(bound.share * before, bound.more):
        return ""
    return f"it grew from {before:g} to {after:g}"
