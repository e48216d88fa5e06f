"""A feed for each server and adapter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from tests.http.feeds import (
    Feed,
    asgi_feed,
    bridge_server,
    core_feed,
    socket_feed,
    uvicorn_server,
    waitress_server,
    wsgi_feed,
)
from yamcs_archive import Archive, Instance, Verification
from yamcs_archive.storage import lmdb_store
from yamcs_archive.storage.disk.environments import acquire, release
from yamcs_archive.storage.maintain.verification import verify, verify_quickly
from yamcs_archive.storage.read.metadata import read_meta


@pytest.fixture(autouse=True)
def isolation(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verify in this process, except in the tests of verification: to start another takes a while."""
    if not request.node.nodeid.startswith("tests/http/test_verify.py"):
        monkeypatch.setattr(lmdb_store, "verify_isolated", _verify_here)


def _verify_here(
    instance: Path,
    *,
    map_bytes: int,
    events_max: int,
    quick: bool,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Verification | None:
    environment = acquire(instance, readonly=True, map_bytes=map_bytes)
    try:
        if quick:
            return verify_quickly(environment)
        return verify(environment, partial(read_meta, environment), events_max, progress, cancelled)
    finally:
        release(environment, readonly=True)


SERVERS = {"waitress": waitress_server, "uvicorn": uvicorn_server, "uvicorn WSGI": bridge_server}


@pytest.fixture(params=["core", "wsgi", "asgi", *SERVERS])
def send(request: pytest.FixtureRequest, archive: Archive, sim: Instance) -> Iterator[Feed]:
    """Send a request to an archive with the instance ``sim``, one way after another."""
    with ExitStack() as stack:
        if request.param == "core":
            yield core_feed(archive)
        elif request.param == "wsgi":
            yield wsgi_feed(archive)
        elif request.param == "asgi":
            yield asgi_feed(archive)
        else:
            yield socket_feed(stack.enter_context(SERVERS[request.param](archive)))


@pytest.fixture
def core(archive: Archive, sim: Instance) -> Feed:
    """Send a request to the core itself."""
    return core_feed(archive)
