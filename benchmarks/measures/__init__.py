"""The measures: one module each. ``run(job, directory) -> Outcome`` measures; ``reference(job) -> str``
returns the digest that the outcome of every contender must have.

If there is a ``prepare(job, directory)``, it runs once for each contender before its first run, in a process
of its own, and every run finds its files in the directory.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = (
    *("ingest", "queries", "memory", "serving", "http", "reading", "logging", "scale"),
    *("tables", "table_memory", "files"),
)


def module(name: str) -> ModuleType:
    """Return the module of a measure.

    >>> module("ingest").__name__
    'benchmarks.measures.ingest'
    """
    if name not in NAMES:
        raise KeyError(name)
    return import_module(f"benchmarks.measures.{name}")
