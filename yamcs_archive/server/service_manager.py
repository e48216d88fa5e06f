"""What a serving process and its service manager tell each other: the protocol of sd_notify, and no more.

1. The manager names a datagram socket in NOTIFY_SOCKET; each message is a few lines ``NAME=value``. Without
   the variable nothing is sent, so that every method may be called anywhere.
2. Serving never fails or waits because the manager does not listen: a message that cannot be sent is logged
   once and dropped.
3. ``WATCHDOG=1`` is sent by the event loop (:meth:`ServiceManager.alive`), so it stops when the server hangs.
   While the server stops, the loop no longer turns, and a thread sends it: the stop has a limit of its own.
4. Sockets that the manager has opened (LISTEN_FDS) are for this process only if LISTEN_PID is its number.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

_FIRST_PASSED = 3
"""The descriptor of the first socket that a service manager passes."""
_SEND_S_MAX = 1.0
"""Longest time that a message may wait for the manager to read those before it, in seconds."""
_STOP_MORE_S = 30
"""Seconds, beyond the wait for requests, that the manager is asked to grant a stop: closing syncs files."""


class ServiceManager:
    """The service manager of this process, by the variables of its environment; perhaps there is none.

    >>> ServiceManager({}).watchdog_s is None
    True
    >>> ServiceManager({"WATCHDOG_USEC": "30000000", "NOTIFY_SOCKET": "/run/notify"}).watchdog_s
    30.0
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = _address(environment.get("NOTIFY_SOCKET", ""))
        self._guard = threading.Lock()
        self._is_failing = False
        self._instances: tuple[str, ...] = ()
        self.watchdog_s = self._watchdog_s(environment)
        """Longest time between two signs of life that the manager accepts, in seconds; None: it wants
        none."""

    def _watchdog_s(self, environment: Mapping[str, str]) -> float | None:
        if self._address is None or environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        text = environment.get("WATCHDOG_USEC", "")
        return int(text) / 1_000_000 if text.isascii() and text.isdigit() and int(text) else None

    @property
    def alive_every_s(self) -> float | None:
        """How often :meth:`alive` should be called, in seconds: three times in the time that is accepted."""
        return None if self.watchdog_s is None else self.watchdog_s / 3

    def ready(self, url: str, instances: Sequence[str]) -> None:
        """Say that the server answers."""
        self._tell("READY=1", f"STATUS=serving {url}: {_named(instances)}")

    def alive(self) -> None:
        """Give a sign of life, if the manager wants any; this never waits."""
        if self.watchdog_s is not None:
            self._tell("WATCHDOG=1", wait_s=0.0)

    def reloading(self) -> None:
        """Say that the configuration is read again; :meth:`reloaded` must follow."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def reloaded(self) -> None:
        """Say that this is done, well or not."""
        self._tell("READY=1")

    def stopping(self, wait_s: int) -> None:
        """Say that the server stops, and waits up to ``wait_s`` seconds for requests; go on giving signs."""
        extension_us = (wait_s + _STOP_MORE_S) * 1_000_000
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={extension_us}", "STATUS=answering the last requests")
        if self.watchdog_s is not None:
            threading.Thread(target=self._stay_alive, name="yamcs-archive-watchdog", daemon=True).start()

    def _stay_alive(self) -> None:
        every_s = self.alive_every_s
        while every_s is not None:  # until the process ends
            self.alive()
            time.sleep(every_s)

    def _tell(self, *lines: str, wait_s: float = _SEND_S_MAX) -> None:
        if self._address is None:
            return
        message = "\n".join(line.replace("\n", " ") for line in lines).encode(errors="replace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sending:
                sending.settimeout(wait_s)
                sending.sendto(message, self._address)
        except OSError as error:
            self._note_failure(error)
        else:
            self._is_failing = False

    def _note_failure(self, error: OSError) -> None:
        with self._guard:
            first, self._is_failing = not self._is_failing, True
        if first:
            _log.warning("the service manager is not told how the server fares: %s", error)


def _named(instances: Sequence[str]) -> str:
    shown = ", ".join(instances[:_NAMED_MAX])
    return shown if len(instances) <= _NAMED_MAX else f"{shown} and {len(instances) - _NAMED_MAX} more"


_NAMED_MAX = 10
"""Number of instances that the status names."""


def _address(name: str) -> str | None:
    """Return the address of the manager's socket; a leading ``@`` stands for the NUL of an abstract one."""
    if name.startswith("@"):
        return f"\0{name[1:]}"
    if name.startswith("/"):
        return name
    if name:
        _log.warning("NOTIFY_SOCKET is no path and no abstract name, and is not used: %r", name)
    return None


def passed_descriptors(environment: Mapping[str, str]) -> list[int]:
    """Return the descriptors that a service manager has opened for this process.

    >>> passed_descriptors({"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    []
    """
    count = environment.get("LISTEN_FDS", "")
    if environment.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return []
    return [*range(_FIRST_PASSED, _FIRST_PASSED + int(count))]
