"""Fixtures for the tests of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.full_disk import mounts
from tests.storage.test_checkpoints import SMALL
from yamcs_archive import Archive, Instance
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.failpoints import COMPACT_POINTS


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Instance]:
    with Archive.open(tmp_path / "a", options=SMALL) as archive:
        yield archive.instance("sim", create=True)


@pytest.fixture(params=mounts.KINDS)
def kind(request: pytest.FixtureRequest) -> mounts.Kind:
    """A kind of small file system that can be mounted here."""
    found: mounts.Kind = request.param
    if reason := mounts.why_not(found):
        pytest.skip(reason)
    return found


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str], None]], None]:
    """Calls a function at every failpoint of a compaction."""

    def at(act: Callable[[str], None]) -> None:
        monkeypatch.setattr(
            failpoints, "on_point", lambda name: act(name) if name in COMPACT_POINTS else None
        )

    return at
