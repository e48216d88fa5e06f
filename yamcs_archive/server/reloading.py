"""SIGHUP: what a running server takes anew, and when the signal is the end of a terminal instead.

1. The parts that can be taken anew are, each by itself: a fault of one keeps neither the others nor the
   server from going on. What is faulty stays as it was, and the log says why.
2. A setting that has changed and cannot be taken anew is named in the log: it needs a restart.
"""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Mapping

from yamcs_archive.errors import ArchiveError
from yamcs_archive.server.configuration import ConfigurationError
from yamcs_archive.server.service_manager import ServiceManager
from yamcs_archive.server.settings import SETTINGS, Settings

_log = logging.getLogger(__name__)

_TERMINAL = "/dev/tty"


def hangup_stops() -> bool:
    """Return whether SIGHUP ends this process: it has a terminal, which may hang up, and nohup was not used.

    A service has no terminal, so nothing can hang up: there the signal is an operator's wish to reload.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return False
    try:
        os.close(os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


class Reloading:
    """Takes the settings, and other ``parts``, anew: each is called, and logs by itself what is wrong.

    ``reread`` returns the settings as they are now, or raises ArchiveError; ``set_level`` gets their log
    level.
    """

    def __init__(
        self,
        settings: Settings,
        reread: Callable[[], Settings],
        set_level: Callable[[str], None],
        manager: ServiceManager,
        parts: Mapping[str, Callable[[], object]],
    ) -> None:
        self._settings, self._reread, self._set_level = settings, reread, set_level
        self._manager, self._parts = manager, parts
        self._level = settings.log_level

    def reload(self) -> None:
        """Take everything anew, and tell the service manager."""
        self._manager.reloading()
        try:
            self._take_settings()
            for name, take in self._parts.items():
                try:
                    take()
                except Exception:  # a server must not end because of a part of its configuration
                    _log.exception("the %s stay as they were", name)
            _log.info("reloaded: %s", ", ".join(["log level", *self._parts]))
        finally:
            self._manager.reloaded()

    def _take_settings(self) -> None:
        try:
            found = self._reread()
        except ConfigurationError as error:
            for fault in error.faults:
                _log.error("the configuration stays as it was: %s", fault)
            return
        except (ArchiveError, OSError) as error:
            _log.error("the configuration stays as it was: %s", error)
            return
        if found.log_level != self._level:
            self._set_level(found.log_level)
            self._level = found.log_level
        if changed := _needing_restart(self._settings, found):
            _log.warning("changed, and needs a restart: %s", ", ".join(changed))


def _needing_restart(before: Settings, now: Settings) -> list[str]:
    """Return the names of the settings that differ from those that the process was started with."""
    names = [
        each.key
        for each in SETTINGS
        if each.name != "log_level" and getattr(before, each.name) != getattr(now, each.name)
    ]
    absent: dict[str, object] = {}
    changed = [
        f"instances.{name}"
        for name in sorted(before.retention_of.keys() | now.retention_of.keys())
        if before.retention_of.get(name, absent) != now.retention_of.get(name, absent)
    ]
    return [*names, *changed]
