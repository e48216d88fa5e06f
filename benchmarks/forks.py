"""Forks that call a function and tell what it returned, or how they died."""

from __future__ import annotations

import faulthandler
import os
import select
import signal
import time
import traceback
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

import msgspec

T = TypeVar("T")
_TELL_S = 1.0
"""How long a fork that has not ended in time may take to print where it is."""


class Died(NamedTuple):
    """A fork that told nothing."""

    status: int | None
    """Its exit status, negative for a signal; None if it had not ended in time, and was killed."""

    def __str__(self) -> str:
        return "it does not end" if self.status is None else f"the process ended with {self.status}"


class Raised(msgspec.Struct, tag=True):
    """A fork whose function raised."""

    trace: str


def in_fork(call: Callable[[], T], form: type[T], wait_s: float) -> T | Raised | Died:
    """Return what a function returns in a fork of this process.

    ``form`` is its type, which can be JSON. The fork flushes nothing and calls no exit handlers.

    >>> in_fork(lambda: 6 * 7, int, 60)
    42
    >>> in_fork(lambda: os._exit(3), int, 60)
    Died(status=3)
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        faulthandler.register(signal.SIGUSR1)
        _tell(call, writing)
    os.close(writing)
    told, killed = bytearray(), False
    try:
        while True:
            if not select.select([reading], [], [], wait_s)[0]:
                os.kill(child, signal.SIGUSR1)
                time.sleep(_TELL_S)
                os.kill(child, signal.SIGKILL)
                killed = True
                break
            piece = os.read(reading, 1 << 16)
            if not piece:
                break
            told += piece
    finally:
        os.close(reading)
        _, status = os.waitpid(child, 0)
    if killed:
        return Died(None)
    if not told:
        return Died(os.waitstatus_to_exitcode(status))
    if told[:1] == b"!":
        return Raised(told[1:].decode())
    return msgspec.json.decode(told, type=form)


def _tell(call: Callable[[], object], writing: int) -> NoReturn:
    try:
        try:
            text = msgspec.json.encode(call())
        except BaseException:
            text = b"!" + traceback.format_exc().encode()
        with open(writing, "wb") as pipe:
            pipe.write(text)
    finally:
        os._exit(0)
