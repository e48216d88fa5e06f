"""The site is built from all pages without a warning, and its reference has every public name and route."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import yamcs_archive
from tests.child import ROOT, WAIT_S
from yamcs_archive.server.configuration import file_schema
from yamcs_archive.server.settings import SETTINGS

pytestmark = pytest.mark.long  # ten seconds of processor time; .ci/run runs it
METHODS = ("get", "post", "put", "patch", "delete", "head")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    makefile = (ROOT / "Makefile").read_text()
    (options,) = re.findall(r"\.venv/bin/python -m sphinx (.*) docs build/docs\n", makefile)
    folder = tmp_path_factory.mktemp("site")
    # A copy: pages are generated beside the others, and the checkout must stay clean.
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("generated", "__pycache__"))
    shutil.copy(ROOT / "CHANGELOG.md", folder)
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options.split(), "-d", folder / "trees", "docs", folder / "html"],
        cwd=folder,
        env={
            "PYTHONPATH": str(ROOT),
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=5 * WAIT_S,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    return folder / "html"


def test_every_page_is_there_and_in_the_index(site: Path) -> None:
    index = (site / "index.html").read_text(encoding="utf-8")
    found = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    # What "make docs" has generated in a checkout is not copied, and has parts of pages too.
    pages = [path.with_suffix(".html") for path in found if path.parts[0] != "generated"]
    assert len(pages) > 20
    for page in pages:
        assert (site / page).is_file(), page
        assert page.name == "index.html" or f'href="{page}"' in index, page


def test_the_reference_has_every_public_name(site: Path) -> None:
    page = (site / "api.html").read_text(encoding="utf-8")
    assert [name for name in yamcs_archive.__all__ if f'id="yamcs_archive.{name}"' not in page] == []
    assert 'id="yamcs_archive.Instance.append_many"' in page


def test_the_page_of_the_api_has_every_route(site: Path) -> None:
    page = re.sub(r"<[^>]+>", "", (site / "generated" / "openapi.html").read_text(encoding="utf-8"))
    paths = yaml.safe_load((ROOT / "docs" / "openapi.yaml").read_text(encoding="utf-8"))["paths"]
    wanted = [
        f"{method.upper()} {path}" for path, item in paths.items() for method in item if method in METHODS
    ]
    assert len(wanted) > 30
    assert [route for route in wanted if route not in page] == []


def test_the_page_of_the_schema_has_every_setting_and_leads_to_the_schema(site: Path) -> None:
    page = (site / "generated" / "configuration_schema.html").read_text(encoding="utf-8")
    assert [setting.name for setting in SETTINGS if f">{setting.name}</span>" not in page] == []
    (linked,) = re.findall(r'href="([^"]+/configuration\.schema\.json)"', page)
    for path in (site / "generated" / linked, site / "configuration.schema.json"):
        assert json.loads(path.read_text(encoding="utf-8")) == file_schema()


def test_the_notebook_is_a_page_with_its_pictures(site: Path) -> None:
    page = (site / "generated" / "a_day_of_events.html").read_text(encoding="utf-8")
    pictures = re.findall(r'<img[^>]* src="([^"]+\.png)"', page)
    assert len(pictures) == 2
    for picture in pictures:
        assert (site / "generated" / picture).resolve().is_file()
    assert "<style scoped" not in page
