"""Dependencies point one way: every import of the package is read, and none may point upward.

(benchmarks)                  <- above all, and not installed
__main__
   |
  cli ------ server           <- ways in and out; uvicorn only in server
   |   \\       |
   |importers http            <- importers: histories that are kept elsewhere
   | mirror     |             <- mirror: a copy that follows a served archive
   | files      |             <- files: one module for each form of files of events
   | logging    |             <- logging: a handler for Python's log records
   |   |        |
   | client     |             <- client: a served archive over HTTP, with the methods of the library
    \\  |      / |
      wire    archive, aio    <- wire: bytes <-> Event; archive: what users hold; aio: the same for asyncio
        |          |
        |  instance, salvaging  <- with chunked_append and gathering (many events)
        |  diagnosing           <- the examination of an archive
        |       backups         <- files that are copies; of instances here or served elsewhere
        |          |
        |       storage       <- lmdb and zstd only here; its folders are levels, as in STORAGE
        |          |
        |       filter        <- the filter language; re2 only here
        |       frames        <- events <-> Arrow; pyarrow is loaded only here
        |       pass_report   <- what the events of a pass show (printable: text for terminals)
        |      arguments      <- the checks of what else callers give
         \\       /
      columns   coercion      <- many events as columns (event_vectors: stored ones); callers' values
             |
   event, results   options   <- results: what the library answers with
    activity, reports         <- what monitors and operators ask
               \\  /
    user_paths, whole_files, times, time_units, scalars, limits, credentials, missing_packages, errors
    fitting, wall_clock, notebook                    <- fitting: long texts, made fit for an event
                                                     <- credentials: of a served archive, and its URL
    text_bounds                                          <- where texts are in JSON, found by numpy
    signal_safe_numpy                                    <- how event_vectors, storage and wire load numpy

Within storage:

    store                     <- the engine on LMDB
      |
    event_store               <- what the library asks of an engine
      |
    salvage                   <- a damaged instance, read without LMDB, becomes a new one
    backup                    <- an instance as a stream of bytes, and back again
      |
    maintain                  <- what happens to stored events later
      |
    write                     <- the one writer
      |
    read                      <- the many readers
      |
    disk                      <- the files, and LMDB's rules
      |
    young                     <- what the log has and LMDB does not, in memory; pure
      |
    format                    <- events <-> bytes; pure: no lmdb
      |
    failpoints, interrupts    <- leaves: known everywhere, and knowing nothing of the engine
"""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tests.child import ROOT

PACKAGE = ROOT / "yamcs_archive"
LOWEST = {
    "errors",
    "limits",
    "missing_packages",
    "notebook",
    "scalars",
    "time_units",
    "times",
    "user_paths",
    "wall_clock",
    "whole_files",
}
NUMPY = {"signal_safe_numpy"}
MODEL = LOWEST | {
    *(
        "activity",
        "coercion",
        "event",
        "options",
        "columns",
        "event_vectors",
        "joined_vectors",
        "reports",
        "results",
    )
}
STORAGE = [
    "storage.failpoints",
    "storage.interrupts",
    "storage.format",
    "storage.young",
    "storage.disk",
    "storage.read",
    "storage.write",
    "storage.maintain",
    "storage.salvage",
    "storage.backup",
    "storage.event_store",
    "storage.lmdb_store",
]
"""The folders and modules of the storage engine, lowest first."""
ENGINE = {"storage", *STORAGE}
BELOW = {
    "errors": set[str](),
    "limits": set[str](),
    "missing_packages": set[str](),
    "scalars": set[str](),
    "whole_files": {"errors"},
    "time_units": set[str](),
    "times": {"errors", "limits", "scalars", "time_units"},
    "user_paths": {"errors"},
    "wall_clock": set[str](),
    "signal_safe_numpy": set[str](),
    "credentials": {"errors"},
    "activity": set[str](),
    "reports": {"activity"},
    "event": LOWEST,
    "notebook": {"errors", "times"},
    "coercion": LOWEST | {"event"},
    "options": LOWEST,
    "columns": LOWEST | {"event"},
    "event_vectors": NUMPY | {"columns", "event"},
    "joined_vectors": NUMPY | {"event_vectors"},
    "text_bounds": NUMPY,
    "filter": LOWEST | {"event"},
    "printable": set[str](),
    "pass_report": LOWEST | NUMPY | {"event", "event_vectors", "printable", "results", "text_bounds"},
    "frames": LOWEST
    | NUMPY
    | {"arguments", "coercion", "columns", "event", "event_vectors", "joined_vectors", "text_bounds"},
    "access": LOWEST,
    "storage": NUMPY,
    "storage.failpoints": set[str](),
    "storage.interrupts": {"errors"},
    "storage.format": MODEL | NUMPY,
    "storage.young": MODEL | NUMPY | {*STORAGE[:3]},
    "storage.disk": MODEL | NUMPY | {*STORAGE[:4]},
    "storage.read": MODEL | NUMPY | {"filter", *STORAGE[:5]},
    "storage.write": MODEL | NUMPY | {*STORAGE[:6]},
    "storage.maintain": MODEL | NUMPY | {*STORAGE[:7]},
    "storage.salvage": MODEL | NUMPY | {*STORAGE[:8]},
    "storage.backup": MODEL | NUMPY | {*STORAGE[:8]},
    "storage.event_store": MODEL | NUMPY | {*STORAGE[:10]},
    "storage.lmdb_store": MODEL | NUMPY | {*STORAGE[:11]},
    "results": LOWEST | {"event"},
    "chunked_append": MODEL | ENGINE,
    "gathering": LOWEST | {"event", "storage", "storage.interrupts"},
    "arguments": LOWEST,
    "backups": MODEL | ENGINE | {"arguments"},
    "instance": MODEL
    | ENGINE
    | {"arguments", "backups", "chunked_append", "filter", "frames", "gathering"}
    | {"pass_report"},
    "salvaging": MODEL | ENGINE,
    "diagnosing": MODEL | ENGINE | {"instance"},
    "archive": MODEL | ENGINE | {"arguments", "backups", "diagnosing", "instance", "salvaging"},
    "aio": MODEL | {"archive", "filter", "instance", "pass_report"},
    "wire": LOWEST
    | NUMPY
    | {"fitting", "pass_report"}
    | {"frames", "activity", "coercion", "event", "event_vectors", "columns", "reports", "results"},
    "client": MODEL
    | ENGINE
    | {"arguments", "backups", "credentials", "filter", "frames", "gathering", "pass_report", "wire"},
    "files": LOWEST | NUMPY | {"event", "columns", "event_vectors", "wire", "frames"},
    "fitting": {"limits"},
    "logging": MODEL | {"fitting", "arguments", "credentials", "instance", "archive", "client"},
    "importers": LOWEST
    | {"event", "results", "chunked_append", "instance", "wire", "client", "credentials", "columns"}
    | {"files"},
    "http": MODEL
    | {"access", "arguments", "frames", "instance", "archive", "wire", "filter", "credentials"}
    | {"missing_packages", "pass_report"},
    "server": LOWEST | {"options", "archive", "http", "mirror", "credentials"},
    "mirror": MODEL | {"instance", "archive", "client", "credentials"},
    "cli": MODEL
    | {"access", "arguments", "backups", "credentials", "filter", "frames", "instance", "archive"}
    | {"wire", "server", "files", "importers", "mirror", "client", "pass_report", "printable"},
    "__init__": MODEL
    | {"aio", "backups", "filter", "frames", "instance", "archive", "client", "logging", "pass_report"},
    "__main__": {"cli"},
}
"""What each room may import."""
ONLY_IN = {
    "lmdb": {
        "storage.disk",
        "storage.read",
        "storage.write",
        "storage.maintain",
        "storage.backup",
        "storage.salvage",
    },
    "zstandard": {"storage.format", "files"},
    "numpy": ENGINE
    | NUMPY
    | {"wire", "event_vectors", "joined_vectors", "files", "frames", "pass_report", "text_bounds"},
    "pyarrow": {"client", "frames", "http", "instance", "wire"},
    "pandas": {"frames"},
    "polars": {"frames"},
    "msgpack": ENGINE | {"wire"},
    "google": {"wire", "http"},
    "opentelemetry": {"wire"},
    "msgspec": ENGINE
    | {"access", "coercion", "event", "wire", "client", "cli", "files", "frames", "http"}
    | {"importers", "logging", "pass_report"},
    "jwt": {"access"},
    "prometheus_client": {"http"},
    "uvicorn": {"server"},
    "websockets": {"client"},
    "re2": {"filter"},
    "shtab": {"cli"},
}
"""Where each package from elsewhere may be known. All that are not here may be imported nowhere."""


@cache
def room_of(path: Path) -> str:
    """Return the room of a module: a folder or a module of the package, or of its storage engine."""
    first, *rest = path.relative_to(PACKAGE).with_suffix("").parts
    return f"storage.{rest[0]}" if first == "storage" and rest[0] != "__init__" else first


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def of_the_package() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


Node = ast.Import | ast.ImportFrom | ast.Call


@cache
def that_may_import(path: Path) -> list[Node]:
    return [node for node in ast.walk(parsed(path)) if isinstance(node, Node)]


def rooms() -> list[str]:
    return sorted({room_of(path) for path in of_the_package()})


def imports(room: str) -> Iterator[tuple[str, str]]:
    """Yield every import in a room, inside functions too: where it is, and the module's full name."""
    for path in of_the_package():
        if room_of(path) != room:
            continue
        for node in that_may_import(path):
            where = f"{path.relative_to(ROOT)}:{node.lineno}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where}: imports are absolute"
                assert node.module is not None
                if node.module in ("yamcs_archive", "yamcs_archive.storage"):
                    yield from ((where, f"{node.module}.{alias.name}") for alias in node.names)
                else:
                    yield where, node.module


def is_among(name: str, allowed: set[str]) -> bool:
    """Say whether a module of the package, given by its full name, is in one of these rooms."""
    _, *parts = name.split(".")
    return ".".join(parts[:2] if parts[0] == "storage" else parts[:1]) in allowed


def test_the_picture_has_every_room() -> None:
    assert rooms() == sorted(BELOW)


@pytest.mark.parametrize("room", rooms())
def test_a_room_knows_only_the_ones_below(room: str) -> None:
    upward = [
        f"{where}: {name}"
        for where, name in imports(room)
        if name.split(".")[0] == "yamcs_archive" and not is_among(name, {room} | BELOW[room])
    ]
    assert upward == []


def test_the_picture_has_no_circle() -> None:
    order = [
        *LOWEST,
        *NUMPY,
        "credentials",
        "fitting",
        "access",
        "activity",
        "reports",
        "event",
        "coercion",
        "options",
        "columns",
        "event_vectors",
        "joined_vectors",
        "text_bounds",
        "filter",
        "arguments",
        "frames",
        "results",
        "printable",
        "pass_report",
        "storage",
        *STORAGE,
        "chunked_append",
        "gathering",
        "backups",
        "instance",
        "salvaging",
        "diagnosing",
        "archive",
        "aio",
        "wire",
        "client",
        "files",
        "logging",
        "importers",
        "mirror",
        "http",
        "server",
        "cli",
    ]
    for position, room in enumerate(order):
        if room not in LOWEST | NUMPY:
            assert BELOW[room] <= set(order[:position])


def modules() -> dict[str, Path]:
    """Return every module of the package and of the harness by its full name."""
    found = {}
    for path in (*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = path
    return found


def _called(node: ast.Call) -> str:
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield the modules of the tree that a file imports: in functions, for type checkers, and by name too."""
    for node in that_may_import(path):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in known else f"{node.module}" for name in names]
        elif _called(node).endswith("import_module"):
            names = [str(each.value) for each in node.args if isinstance(each, ast.Constant)]
        yield from (name for name in names if name in known)


def test_no_module_of_the_tree_imports_itself_by_way_of_others() -> None:
    known = modules()
    assert {"yamcs_archive.cli.main", "benchmarks.__main__"} <= set(known)
    TopologicalSorter({name: set(imported(path, known)) for name, path in known.items()}).prepare()


@pytest.mark.parametrize("room", rooms())
def test_a_package_from_elsewhere_is_known_only_in_its_room(room: str) -> None:
    allowed = {name for name, where in ONLY_IN.items() if room in where} | {"yamcs_archive", "_typeshed"}
    strange = [
        f"{where}: {name}"
        for where, name in imports(room)
        if (top := name.split(".")[0]) not in allowed and top not in sys.stdlib_module_names
    ]
    assert strange == []


def test_every_module_begins_with_its_rules() -> None:
    written = [path for path in of_the_package() if not path.name.endswith("_pb2.py")]  # not by protoc
    assert [path.name for path in written if not ast.get_docstring(parsed(path))] == []
