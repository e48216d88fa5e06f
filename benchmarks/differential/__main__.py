"""Starts both servers, sends each request to both, judges the answers, and prints the counts."""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks import servers
from benchmarks.contenders import yamcs
from benchmarks.differential import live
from benchmarks.differential.cases import cases
from benchmarks.differential.exchange import Answer, Case, normal, send
from benchmarks.differential.rules import judge

NEEDED = {"uvicorn": "uvicorn", "websocket": "websocket-client"}
"""Modules that are imported late, by this archive's server and by `live`, with their names for pip."""
_SHOWN = 1_000
"""Largest number of characters of an answer that are printed."""


def main() -> int:
    """Compare, and return the exit status: 1 if a difference is not intended, or the run is not possible."""
    absent = [package for module, package in NEEDED.items() if find_spec(module) is None]
    if absent:  # checked before the servers are started, which takes half a minute
        print(
            f"it needs {', '.join(absent)}: {sys.executable} -m pip install {' '.join(absent)}",
            file=sys.stderr,
        )
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch)
        with yamcs.serving(directory / "yamcs") as theirs, servers.serving("archive", directory) as ours:
            return compare(theirs, ours)


def compare(theirs: int, ours: int) -> int:
    """Send everything to both ports, print the differences, and return the exit status."""
    began = datetime.now(UTC)
    same = different = designed = 0
    by_rule: Counter[str] = Counter()
    for case in cases():
        answers = _answer(case, theirs, began), _answer(case, ours, began)
        equal, rules = judge(case, *answers)
        if not equal:
            different += 1
            _show(case, *answers)
        elif rules:
            designed += 1
            by_rule.update(rules)
        else:
            same += 1
    for rule, count in sorted(by_rule.items()):
        print(f"{count:5}  {rule}")
    print(f"{same} same, {designed} different by design, {different} different")
    return 1 if different else 0


def _answer(case: Case, port: int, began: datetime) -> Answer:
    if case.method != "WEBSOCKET":
        return send(case, port, began)
    answer = live.run(case, port)
    return replace(answer, content=normal(answer.content, began))


def _show(case: Case, theirs: Answer, ours: Answer) -> None:
    print(f"different: {case.name}\n  {case.method} {case.target} {case.body[:_SHOWN]!r}")
    place, there, here = _first(
        {"status": theirs.status, "headers": dict(theirs.headers), "content": theirs.content},
        {"status": ours.status, "headers": dict(ours.headers), "content": ours.content},
    )
    print(f"  {place} there: {json.dumps(there)[:_SHOWN]}\n  {place} here:  {json.dumps(here)[:_SHOWN]}")


def _first(theirs: Any, ours: Any, place: str = "") -> tuple[str, Any, Any]:
    """Return the path of the first difference between two values, and both values there.

    >>> _first({"a": [1, 2]}, {"a": [1, 3]})
    ('.a[1]', 2, 3)
    """
    if isinstance(theirs, dict) and isinstance(ours, dict) and theirs.keys() == ours.keys():
        for name, value in theirs.items():
            if value != ours[name]:
                return _first(value, ours[name], f"{place}.{name}")
    if isinstance(theirs, list) and isinstance(ours, list) and len(theirs) == len(ours):
        for number, (there, here) in enumerate(zip(theirs, ours, strict=True)):
            if there != here:
                return _first(there, here, f"{place}[{number}]")
    if isinstance(theirs, list) and isinstance(ours, list):
        return place, [it for it in theirs if it not in ours], [it for it in ours if it not in theirs]
    return place, theirs, ours


if __name__ == "__main__":
    sys.exit(main())
