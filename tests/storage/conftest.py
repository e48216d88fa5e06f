"""What several tests of the store begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.storage.test_sealing import SMALL
from yamcs_archive import Archive, Instance
from yamcs_archive.storage import points
from yamcs_archive.storage.points import COMPACT_POINTS


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        yield archive.instance("sim", create=True)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Has something called at every point of a compaction."""

    def at(act: Callable[[str], None]) -> None:
        monkeypatch.setattr(points, "on_point", lambda point: act(point) if point in COMPACT_POINTS else None)

    return at
