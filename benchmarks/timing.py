"""Clocks, percentiles, and the state of the machine before a clock starts."""

from __future__ import annotations

import gc
import os
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Return the least value that is not exceeded by at least ``share`` (0 to 1) of all values.

    >>> percentile([3, 1, 2, 4], 0.5), percentile([3, 1, 2, 4], 0.99)
    (2, 4)
    """
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, max(0, -int(-share * len(ranked) // 1) - 1))]


def latency_figures(latencies_ns: Sequence[int]) -> dict[str, float]:
    """Return median, 99th percentile and maximum in microseconds.

    >>> latency_figures([1000, 3000])
    {'latency_us_p50': 1.0, 'latency_us_p99': 3.0, 'latency_us_max': 3.0}
    """
    return {
        "latency_us_p50": percentile(latencies_ns, 0.5) / 1000,
        "latency_us_p99": percentile(latencies_ns, 0.99) / 1000,
        "latency_us_max": max(latencies_ns) / 1000,
    }


def quiet() -> None:
    """Sync dirty pages, and exclude the prepared events from garbage collection.

    Otherwise a contender would pay for the one that ran before it, and for the harness's own objects.
    """
    os.sync()
    gc.collect()
    gc.freeze()
