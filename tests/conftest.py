"""What every test shares: hypothesis' settings and a fresh archive."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from yamcs_archive import Archive, Instance

# fsync makes single examples slow and uneven on shared machines, so there is no deadline for one.
settings.register_profile(
    "default", deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("thorough", parent=settings.get_profile("default"), max_examples=1000)
settings.load_profile("default")

# A shell lets what it runs in the background ignore SIGINT, and children inherit that; Ctrl-C is tested here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    with Archive.open(tmp_path / "archive") as opened:
        yield opened


@pytest.fixture
def sim(archive: Archive) -> Instance:
    return archive.instance("sim", create=True)
