"""The pages: generated files are up to date, targets of links and paths exist, and lines are not too long."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S

PAGES = sorted(
    page for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")] if page.parent.name != "generated"
)
LINE_CHARACTERS_MAX = 120


@pytest.mark.parametrize("script", ["docs/reference.py", "docs/configuration.py", "docs/openapi.py"])
def test_a_generated_file_is_up_to_date(script: str) -> None:
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


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_line_of_a_page_can_be_read_without_scrolling(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    prose = re.sub(r"^```text\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # tables of figures
    lines = [line for line in prose.splitlines() if not line.startswith("|")]  # a row is one line
    assert [line for line in lines if len(line) > LINE_CHARACTERS_MAX] == []


def test_every_page_has_a_place_in_the_site() -> None:
    docs = ROOT / "docs"
    index = (docs / "index.md").read_text(encoding="utf-8").splitlines()
    pages = [f"{page.relative_to(docs).with_suffix('')}" for page in PAGES if docs in page.parents]
    assert [page for page in pages if page != "index" and page not in index] == [], "add it to docs/index.md"


def test_every_path_of_the_architecture_is_there() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    names = re.findall(r"`([\w/]+(?:/|\.py))`", page)
    assert len(names) > 50
    package = ROOT / "yamcs_archive"
    missing = [name for name in names if not any((*ROOT.glob(name), *package.rglob(name)))]
    assert missing == []
    rooms = [*package.glob("*/__init__.py"), *package.glob("storage/*/__init__.py")]
    assert [room.parent.name for room in rooms if f"{room.parent.name}/" not in page] == []
