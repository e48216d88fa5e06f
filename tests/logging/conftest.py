"""Loggers that reach nothing but the handler of a test, and what a handler says on stderr."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest

from yamcs_archive import Event, Instance
from yamcs_archive.logging import ArchiveHandler

Make = Callable[..., ArchiveHandler]
_numbers = count()


def logger_of(*handlers: logging.Handler, name: str = "") -> logging.Logger:
    """Return a logger with these handlers alone."""
    log = logging.Logger(name or f"logger{next(_numbers)}", logging.DEBUG)
    for handler in handlers:
        log.addHandler(handler)
    return log


@pytest.fixture
def make() -> Iterator[Make]:
    """Make handlers that store soon, and close them after the test."""
    with ExitStack() as made:

        def one(instance: Any, **options: Any) -> ArchiveHandler:
            handler = ArchiveHandler(instance, **{"gather_s": 0.005, "flush_s": 20} | options)
            made.callback(handler.close)
            return handler

        yield one


def stored(handler: ArchiveHandler, instance: Instance) -> list[Event]:
    """Return the events after a flush."""
    assert handler.wait_until_stored(30)
    return list(instance.events())
