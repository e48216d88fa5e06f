"""The measures: one module each, with ``run(job, directory) -> Outcome``, and ``reference(job) -> str``, the
digest that the outcome of every contender must have.

``prepare(job, directory)``, where there is one, is run once for each contender before its first run, in a
process of its own, and every run finds what it left in the directory.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

NAMES = ("ingest", "queries", "memory", "serving", "http", "reading", "scale")


def module(name: str) -> ModuleType:
    """Return the module of a measure.

    >>> module("ingest").__name__
    'benchmarks.measures.ingest'
    """
    if name not in NAMES:
        raise KeyError(name)
    return import_module(f"benchmarks.measures.{name}")
