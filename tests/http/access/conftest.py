"""A served archive with users, and a user who may do everything."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.http.feeds import Feed, core_feed
from tests.http.users import add
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.access.passwords import NOBODYS
from yamcs_archive.access.permissions import Permission
from yamcs_archive.http.access import password_checks
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.application import Application


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where the users file is."""
    return tmp_path / "users.json"


@pytest.fixture
def root(path: Path) -> dict[str, str]:
    """Return the headers of a user who may do everything."""
    return add(path, "root", *Permission)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer wrong passwords at once, and check those of unknown users as quickly as others."""
    monkeypatch.setattr(password_checks, "WRONG_S", 0)
    light = NOBODYS.replace("ln=15,r=8,p=3", "ln=1,r=1,p=1")
    monkeypatch.setattr(password_checks, "NOBODYS", light)


@pytest.fixture
def core(archive: Archive, sim: Instance, path: Path, root: dict[str, str]) -> Iterator[Application]:
    """Return an application with users."""
    application = Application(archive, live=True, access=AccessOptions(users=path))
    yield application
    application.end_polls()


@pytest.fixture
def send(archive: Archive, core: Application) -> Feed:
    """Send a request to it."""
    return core_feed(archive, core=core)


SOURCES = ("AOCS", "GNC", "GNC 2", "EPS")


@pytest.fixture
def filled(sim: Instance) -> Instance:
    """Fill an instance with events of several sources, some in blocks."""
    sim.append_many(
        Event(f"{name} {n}", source=name, generation_time=n * 10_000_000, seq_number=n)
        for n in range(60)
        for name in SOURCES
    )
    return sim
