"""What type checkers say of a user's script: mypy runs on it, with the package's own annotations."""

from __future__ import annotations

import ast
import inspect
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S
from yamcs_archive import Event, StoredEvent

GOOD = """
from datetime import UTC, datetime

import numpy as np

from yamcs_archive import Appended, Archive, Event, Severity, StoredEvent

with Archive.open("ops-data") as archive:
    sim = archive.instance("simulator", create=True)
    done: Appended = sim.append(Event("a", severity="warning", generation_time=np.int64(5)))
    number: int = done.event.seq_number + 1
    received: datetime = done.event.time
    key = (done.event.generation_time, done.event.source, done.event.reception_time + 1)
    at = Event.at(datetime.now(UTC), "b", source="AOCS", severity="critical", seq_number=np.int32(7))
    at = Event.at("2026-01-01T00:00:00Z", "b", severity=Severity.WATCH, extra={"pass": "17"})
    sim.append_many([at, done.event])
    found: list[StoredEvent] = list(sim.events(min_severity="watch", start=np.int64(0)))
    total = sum(event.seq_number for event in sim.events(min_severity=Severity.WATCH))
    newest: int = max(change.event.reception_time for change in sim.changes())
    level: Severity = Severity["warning"]
"""
BAD = """
from yamcs_archive import Archive, Event

Event.at("2026-01-01T00:00:00Z", "a", sorce="x")  # E: call-arg
Event.at("2026-01-01T00:00:00Z", "a", seq_number="1")  # E: arg-type
Event.at("2026-01-01T00:00:00Z", "a", generation_time=1)  # E: call-arg
Event("a", sorce="x")  # E: call-arg
Event("a", generation_time=1.5)  # E: arg-type
Event("a", severity=2.5)  # E: arg-type
Event("a").seq_number + 1  # E: operator
Archive("ops-data")  # E: arg-type call-arg
Archive.open("ops-data").instance("a").append("text")  # E: arg-type
Archive.open("ops-data").instance("a").events(min_severity=1.5)  # E: arg-type
Event("a").message = "b"  # E: misc
"""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """What mypy says of both scripts: the line and the kind of each error."""
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "good.py").write_text(GOOD)
    (folder / "bad.py").write_text(BAD)
    cache = folder / "cache"
    if (ROOT / ".mypy_cache").is_dir():  # has what mypy knows of the package, which takes it 8 s to find out
        shutil.copytree(ROOT / ".mypy_cache", cache)
    scripts = [folder / "good.py", folder / "bad.py"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--num-workers=0", f"--cache-dir={cache}", *scripts],
        cwd=ROOT,  # with the settings of this project, for which the cache is
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * WAIT_S,
    )
    found: dict[str, list[tuple[int, str]]] = {"good.py": [], "bad.py": []}
    for name, line, kind in re.findall(r"^(\S+\.py):(\d+): error: .*\[(\S+)\]$", done.stdout, re.MULTILINE):
        if Path(name).name in found:
            found[Path(name).name].append((int(line), kind))
    assert "Found" in done.stdout, (done.stdout, done.stderr)
    return found


def test_right_uses_pass(said: dict[str, list[tuple[int, str]]]) -> None:
    assert said["good.py"] == []


def test_each_wrong_use_is_an_error(said: dict[str, list[tuple[int, str]]]) -> None:
    expected = {
        number: line.partition("# E: ")[2].split()
        for number, line in enumerate(BAD.splitlines(), 1)
        if "# E: " in line
    }
    assert {line: True for line, _ in said["bad.py"]} == dict.fromkeys(expected, True)
    assert [(line, kind) for line, kind in said["bad.py"] if kind not in expected[line]] == []


def test_the_constructor_for_type_checkers_has_the_fields_and_their_order() -> None:
    tree = ast.parse((ROOT / "yamcs_archive" / "event.py").read_text())
    (event,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Event")
    functions = [node for node in ast.walk(event) if isinstance(node, ast.FunctionDef)]
    (init,) = (function for function in functions if function.name == "__init__")
    declared = [argument.arg for argument in init.args.args[1:]]
    required = len(declared) - len(init.args.defaults)
    real = list(inspect.signature(Event).parameters.values())
    assert declared == [parameter.name for parameter in real]
    assert required == sum(parameter.default is parameter.empty for parameter in real) == 1


def test_a_stored_event_is_an_event_while_a_program_runs() -> None:
    assert StoredEvent is Event
