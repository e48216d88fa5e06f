"""The files that scripts of docs/ write, and the links of all pages: none may be stale."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


@pytest.mark.parametrize("script", ["docs/reference.py", "docs/openapi.py"])
def test_a_file_that_is_generated_is_what_its_script_writes(script: str) -> None:
    done = subprocess.run(
        [sys.executable, script, "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ('"409": {', "409: {", "put 409 in quotes"),
        ("version: 0.1.0", "version: 2026-01-01", "put 2026-01-01 in quotes"),
        ("tags:\n", "info:\n", "info is there already"),
    ],
)
def test_yaml_that_is_no_json_or_has_two_equal_keys_is_refused(right: str, wrong: str, said: str) -> None:
    document = runpy.run_path(str(ROOT / "docs" / "openapi.py"))["document"]
    text = (ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8")
    document(text)
    with pytest.raises(ValueError, match=rf"line \d+: {said}$"):
        document(text.replace(right, wrong, 1))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_of_a_page_leads_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (page.parent / target).exists()] == []
