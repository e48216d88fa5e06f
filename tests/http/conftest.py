"""A feed for each server and adapter."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

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
from yamcs_archive import Archive, Instance

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
