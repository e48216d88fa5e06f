"""Dependencies point one way: every import of the package is read, and none may point upward.

(benchmarks)                  <- stands above all; cli starts it by name, for ``bench``
__main__
   |
  cli ------ server           <- ways in and out; granian only in server
   |   \\       |
   |importers http            <- importers: histories that are kept elsewhere
   | mirror  /  |             <- mirror: the changes of a served archive, and a copy that follows them
    \\    | /   |
      wire      archive       <- wire: bytes <-> Event; archive: what users hold
        |          |
        |       instance      <- with chunked_append (many events), arguments (what else it is given) and
        |          |             results (what it answers with)
        |          |
        |       storage       <- lmdb and zstd only here
        |          |
        |       filter        <- the filter language; re2 only here
         \\       /
     offered   coercion         <- many events as columns; what is given as an event, with exact types
             |
          event   options
               \\  /
    paths, times, scalars, limits, credentials, errors   <- credentials: the user and URL of a served archive
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.child import ROOT, run

PACKAGE = ROOT / "yamcs_archive"
LOWEST = {"errors", "limits", "scalars", "times", "paths"}
MODEL = LOWEST | {"coercion", "event", "options"}
BELOW = {
    "errors": set[str](),
    "limits": set[str](),
    "scalars": set[str](),
    "times": {"errors", "limits", "scalars"},
    "paths": {"errors"},
    "credentials": {"errors"},
    "event": LOWEST,
    "coercion": LOWEST | {"event"},
    "options": LOWEST,
    "offered": LOWEST | {"event"},
    "filter": LOWEST | {"event"},
    "storage": MODEL | {"filter", "offered"},
    "results": LOWEST | {"event"},
    "chunked_append": MODEL | {"results", "storage", "offered"},
    "arguments": LOWEST,
    "instance": MODEL | {"arguments", "results", "storage", "chunked_append", "filter", "offered"},
    "archive": MODEL | {"arguments", "storage", "instance"},
    "wire": LOWEST | {"coercion", "event", "offered"},
    "importers": LOWEST
    | {"event", "results", "chunked_append", "instance", "wire", "credentials", "offered"},
    "http": MODEL | {"results", "instance", "archive", "wire", "filter", "offered", "credentials"},
    "server": LOWEST | {"options", "archive", "http", "mirror", "credentials"},
    "mirror": MODEL | {"results", "instance", "archive", "wire", "credentials"},
    "cli": MODEL
    | {"credentials", "filter", "offered", "results", "instance", "archive"}
    | {"wire", "server", "importers", "mirror"},
    "__init__": MODEL | {"filter", "results", "instance", "archive"},
    "__main__": {"cli"},
}
"""What each room may import."""
STORAGE = ["failpoints", "interrupts", "format", "disk", "read", "write", "maintain", "store"]
"""The folders and modules of the storage engine, lowest first: each may import those before it."""
ONLY_IN = {
    "lmdb": {"storage"},
    "zstandard": {"storage"},
    "numpy": {"storage", "wire"},
    "msgpack": {"storage", "wire"},
    "google": {"wire", "http"},
    "msgspec": {"coercion", "event", "storage", "wire", "cli"},
    "granian": {"server"},
    "re2": {"filter"},
}
"""Where each package from elsewhere may be known. All that are not here may be imported nowhere."""


def rooms() -> list[str]:
    return sorted({path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in PACKAGE.rglob("*.py")})


def imports(room: str) -> Iterator[tuple[str, str]]:
    """Yield every import in a room, inside functions too: where it stands, and the module's full name."""
    files = sorted((PACKAGE / room).rglob("*.py")) or [PACKAGE / f"{room}.py"]
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{where}: imports are absolute"
                assert node.module is not None
                if node.module == "yamcs_archive":
                    yield from ((where, f"{node.module}.{alias.name}") for alias in node.names)
                else:
                    yield where, node.module


def test_the_picture_has_every_room() -> None:
    assert rooms() == sorted(BELOW)


@pytest.mark.parametrize("room", rooms())
def test_a_room_knows_only_the_ones_below(room: str) -> None:
    upward = [
        f"{where}: {name}"
        for where, name in imports(room)
        if name.split(".")[0] == "yamcs_archive" and name.split(".")[1] not in {room} | BELOW[room]
    ]
    assert upward == []


def test_a_folder_of_storage_knows_only_the_ones_below() -> None:
    base = "yamcs_archive.storage."
    upward = [
        f"{where}: {name}"
        for place, folder in enumerate(STORAGE)
        for where, name in imports(f"storage/{folder}")
        if name.startswith(base) and name.removeprefix(base).split(".")[0] not in STORAGE[: place + 1]
    ]
    assert [where for where in upward if "format/columns.py" not in where] == []  # its checks of columns
    assert {path.stem for path in (PACKAGE / "storage").iterdir() if path.stem[:1] != "_"} == set(STORAGE)


def test_the_picture_has_no_circle() -> None:
    order = [
        *LOWEST,
        "credentials",
        "event",
        "coercion",
        "options",
        "offered",
        "filter",
        "results",
        "storage",
        "chunked_append",
        "arguments",
        "instance",
        "archive",
        "wire",
        "importers",
        "mirror",
        "http",
        "server",
        "cli",
    ]
    for position, room in enumerate(order):
        if room not in LOWEST:
            assert BELOW[room] <= set(order[:position])


@pytest.mark.parametrize("room", rooms())
def test_a_package_from_elsewhere_is_known_only_in_its_room(room: str) -> None:
    allowed = {name for name, where in ONLY_IN.items() if room in where} | {"yamcs_archive", "_typeshed"}
    strange = [
        f"{where}: {name}"
        for where, name in imports(room)
        if (top := name.split(".")[0]) not in allowed and top not in sys.stdlib_module_names
    ]
    assert strange == []


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_every_module_begins_with_its_rules(path: Path) -> None:
    if path.name.endswith("_pb2.py"):
        return  # written by protoc
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_library_loads_neither_server_nor_protobuf() -> None:
    loaded = set(run("print(*sys.modules)").split())
    assert "yamcs_archive.archive" in loaded
    assert not loaded & {"granian", "google.protobuf", "yamcs_archive.wire", "yamcs_archive.cli"}
