"""Shared by the tests with official clients: a served archive."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.clients.history import EVENTS, HISTORY, INSTANCES, ORIGIN
from tests.server.serving import Served, serving
from yamcs_archive import Archive


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A real server. No test adds to its instance ``history``; the other instances are empty at first."""
    data = tmp_path_factory.mktemp("clients") / "data"
    with Archive.open(data) as archive:
        archive.instance(HISTORY, create=True).append_many(EVENTS)
    with serving(data, "--instance", HISTORY, *INSTANCES, "--cors-origin", ORIGIN) as server:
        yield server
        status, complaints = server.stop()
    assert (status, complaints) == (0, "")


@pytest.fixture(scope="module")
def _unused() -> Iterator[str]:
    return iter(INSTANCES)


@pytest.fixture
def instance(_unused: Iterator[str]) -> str:
    """The name of an instance without events, of this test alone."""
    return next(_unused)


@pytest.fixture(scope="module")
def client(served: Served) -> Iterator[Any]:
    """The official client, unmodified from PyPI."""
    from yamcs.client import YamcsClient  # noqa: PLC0415  # warns when imported

    connected = YamcsClient(f"127.0.0.1:{served.port}")
    yield connected
    connected.close()
