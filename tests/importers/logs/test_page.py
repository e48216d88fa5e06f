"""Every block of docs/importing.md runs as typed and gives the output that it shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.cli.conftest import Run
from yamcs_archive.event import Severity
from yamcs_archive.importers.formats import FORMATS
from yamcs_archive.importers.logs import severities

PAGE = ROOT / "docs" / "importing.md"
BLOCKS = re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def steps(block: str) -> list[tuple[str, list[str]]]:
    """Return the commands of a block, each with the lines below it."""
    found: list[tuple[str, list[str]]] = []
    for line in block.replace("\\\n", " ").splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        else:
            found[-1][1].append(line)
    return found


def test_every_block_runs_as_typed(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) == 4
    for block in BLOCKS:
        for command, shown in steps(block):
            program, *arguments = shlex.split(command)
            if program == "cat":
                Path(arguments[0]).write_text("".join(f"{line}\n" for line in shown))
                continue
            assert program == "yamcs-archive"
            ran = run(*arguments)
            assert (ran.out + ran.err).splitlines() == shown


def test_the_tables_are_those_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for name, entry in FORMATS.items():
        assert (f"| `{name}` |" in text) == entry.is_log
    rows = {
        row[0]: row[1:]
        for row in re.findall(r"^\| ([A-Z]+) \| (.*?) \| ?(.*?) ?\| ?(.*?) ?\|$", text, re.MULTILINE)
    }
    for severity, (syslog, fprime, cosmos) in rows.items():
        mapped = Severity[severity]
        expected = [
            {
                name
                for name, each in zip(severities.SYSLOG_NAMES, severities.SYSLOG, strict=True)
                if each is mapped
            },
            {name for name, each in severities.FPRIME.items() if each is mapped},
            {name for name, each in severities.COSMOS.items() if each is mapped},
        ]
        assert [set(filter(None, cell.split(", "))) for cell in (syslog, fprime, cosmos)] == expected
    assert set(rows) == set(Severity.__members__) - {"ERROR"}
