"""Routes of operation: off unless the server was started with them."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.http.feeds import asgi_feed, core_feed, wsgi_feed
from yamcs_archive import Archive, Instance, InvalidInputError
from yamcs_archive.access.permissions import Permission
from yamcs_archive.http import routes
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.handlers import server
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.http.wsgi import create_app


@pytest.fixture
def operation(monkeypatch: pytest.MonkeyPatch) -> Head:
    """Return the head of a request for a route of operation."""
    route = routes.Route("POST", server.healthz, permission=Permission.MANAGE_ARCHIVE)
    table = ((re.compile("/operate"), (route,)), *routes._TABLE)
    monkeypatch.setattr(routes, "_TABLE", table)
    routes._find.cache_clear()
    return Head("POST", "/operate", "", {"content-length": "0"})


@pytest.mark.parametrize("make", [create_app, create_asgi_app, Application])
def test_an_operation_is_refused_unless_operations_are_allowed(
    archive: Archive, operation: Head, make: Any
) -> None:
    def core(**given: bool) -> Application:
        app = make(archive, **given)
        found = getattr(app, "core", None) or getattr(app, "_application", app)
        assert isinstance(found, Application)
        return found

    refused = core().begin(operation)
    assert isinstance(refused, Response)
    assert refused.status == 403
    assert isinstance(refused.body, bytes)
    assert b"--allow-operations" in refused.body
    assert b"operations=True" in refused.body
    allowed = core(operations=True).begin(operation)
    assert isinstance(allowed, Exchange)
    answer = allowed.run()
    assert isinstance(answer, Response)
    assert answer.status == 200


def test_the_switch_is_a_bool(archive: Archive) -> None:
    with pytest.raises(InvalidInputError, match="operations"):
        create_app(archive, operations="no")  # type: ignore[arg-type]


def test_other_routes_need_no_operations(archive: Archive, sim: Instance) -> None:
    for feed in (core_feed(archive), wsgi_feed(archive), asgi_feed(archive)):
        assert feed("GET", "/api/archive/sim/events").status == 200
