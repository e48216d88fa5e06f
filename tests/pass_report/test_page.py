"""docs/report.md: its programs run, and its commands print what it says; its bounds are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.cli.conftest import Run, run  # noqa: F401  # a fixture
from yamcs_archive.pass_report import limits
from yamcs_archive.pass_report.analysis.masking import template_of

PAGE = (ROOT / "docs" / "report.md").read_text(encoding="utf-8")


def test_every_block_does_what_the_page_says(
    run: Run,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {}
    for kind, text in blocks:
        if kind == "python":
            exec(text, names)
        elif kind == "text":
            command, _, printed = text.partition("\n")
            ran = run(*shlex.split(command.removeprefix("$ yamcs-archive ")))
            assert (ran.status, ran.err) == (0, "")
            assert ran.out == printed
        else:
            assert kind == "sh"
            here = [line for line in text.splitlines() if "--data" in line]
            assert len(here) == 1
            assert run(*shlex.split(here[0].removeprefix("yamcs-archive ").partition(" > ")[0])).status == 0
    assert [kind for kind, _ in blocks] == ["python", "text", "sh", "python", "text"]


@pytest.mark.parametrize(
    "words",
    [
        f"{limits.SOURCES_MAX:,}, those seen first",
        f"{limits.TEMPLATES_MAX:,}, or {limits.TEMPLATES_BYTES_MAX >> 20} MiB",
        f"the {limits.TEMPLATES_LISTED_MAX:,} rarest",
        f"{limits.RUNS_MAX:,} of all sources together",
        f"| restarts of a source | {limits.RESTARTS_MAX:,} |",
        f"its first {limits.EXAMPLE_CHARACTERS_MAX} characters",
        f"more than {limits.MESSAGE_CHARACTERS_MAX:,} characters",
        f"more than `--late-after` seconds ({limits.LATE_AFTER_S_DEFAULT:.0f})",
        f"and more than {limits.BURST_EVENTS}. |",
        f"and more than {limits.SILENCE_US // 1_000_000} s.",
        f"and more than {limits.SCATTERED_RUNS} do not",
    ],
)
def test_bounds_are_those_of_the_code(words: str) -> None:
    assert words in PAGE


def test_the_placeholders_are_those_of_the_masks() -> None:
    told = set(re.findall(r"`<(\w+)>`", PAGE))
    message = "1 2026-01-01 0x1F 123e4567-e89b-12d3-a456-426614174000 10.0.0.1"
    assert told == set(re.findall(r"<(\w+)>", template_of(message)))
