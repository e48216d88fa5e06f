"""The page about tables: its blocks are one program, which runs as it is shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.child import ROOT
from yamcs_archive.frames.columns import ALL_COLUMNS

PAGE = (ROOT / "docs" / "frames.md").read_text(encoding="utf-8")


def test_the_blocks_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    here = [block for block in blocks if "Client(" not in block]  # tests/client/test_tables.py has that call
    assert len(here) == len(blocks) - 1 > 6
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    try:
        exec("\n".join(here), names)
        assert [event.extra for event in names["copy"].events(sources=["User"])] == [{"room": "A2"}]
    finally:
        names["archive"].close()


def test_the_table_of_the_page_has_every_column() -> None:
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(ALL_COLUMNS)
