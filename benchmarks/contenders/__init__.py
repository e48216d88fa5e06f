"""The contenders: one module each, imported by name, so that a missing package affects only its contender."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

from benchmarks.contenders.base import Contender
from benchmarks.jobs import Job


class _Place(NamedTuple):
    module: str
    factory: str
    package: str | None
    """The package that it needs, beside the project itself."""


_PLACES = {
    "archive": _Place("archive", "ArchiveContender", None),
    "raw lmdb": _Place("raw_lmdb", "RawLmdb", None),
    "raw lmdb append": _Place("raw_lmdb", "RawLmdbAppend", None),
    "sqlite": _Place("sqlite", "Sqlite", None),
    "sqlite indexed": _Place("sqlite", "SqliteIndexed", None),
    "rocksdb": _Place("rocksdb", "RocksDb", "rocksdict"),
    "duckdb": _Place("duckdb", "DuckDb", "duckdb"),
    "parquet": _Place("parquet", "Parquet", "pyarrow"),
}
EMBEDDED = tuple(_PLACES)
"""The contenders that run in the caller's process."""
COLUMNAR = ("duckdb", "parquet")
"""Those that are made for large batches and for analysis: they run in these cases only."""


_SERVER = "uvicorn"


def missing_package(job: Job) -> str | None:
    """Return the package that the job needs and that is not installed, or None if it can run.

    >>> missing_package(Job(measure="ingest", case="", contender="sqlite", events=1)) is None
    True
    """
    package = _PLACES[job.contender].package if job.contender in _PLACES else None
    if job.measure in ("http", "reading", "serving") and job.contender in _PLACES:
        package = _SERVER
    return package if package is not None and find_spec(package) is None else None


def factory(name: str) -> Callable[..., Contender[Any]]:
    """Return the class of an embedded contender; its argument is the directory of the store.

    >>> factory("sqlite").__name__
    'Sqlite'
    """
    place = _PLACES[name]
    found: Callable[..., Contender[Any]] = getattr(
        import_module(f"benchmarks.contenders.{place.module}"), place.factory
    )
    return found
