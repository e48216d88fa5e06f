"""A feed for each way into the archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.http.feeds import Feed, core_feed, socket_feed, waitress_server, wsgi_feed, wsgiref_server
from yamcs_archive import Archive, Instance


@pytest.fixture(params=["core", "wsgi", "wsgiref", "waitress"])
def send(request: pytest.FixtureRequest, archive: Archive, sim: Instance) -> Iterator[Feed]:
    """Send a request to an archive with the instance ``sim``, one way after another."""
    with ExitStack() as stack:
        if request.param == "core":
            yield core_feed(archive)
        elif request.param == "wsgi":
            yield wsgi_feed(archive)
        else:
            server = wsgiref_server if request.param == "wsgiref" else waitress_server
            yield socket_feed(stack.enter_context(server(archive)))


@pytest.fixture
def core(archive: Archive, sim: Instance) -> Feed:
    """Send a request to the core itself."""
    return core_feed(archive)
