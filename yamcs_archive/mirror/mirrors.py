"""The mirrors of a server, which serves them and lets each follow its source on a thread of its own.

A mirror that cannot continue logs the reason, and its events are still served. The others continue.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path

from yamcs_archive.activity import MirrorLag
from yamcs_archive.archive import Archive
from yamcs_archive.credentials import Credentials
from yamcs_archive.errors import ArchiveError, ClosedError, ServerUnavailableError
from yamcs_archive.mirror.follower import (
    Follower,
    OutOfStepError,
    begin_mirror,
    check_source,
    connected,
    not_here,
)
from yamcs_archive.mirror.progress_log import Sayer

_log = logging.getLogger(__name__)
_STOP_S_MAX = 5.0
"""Seconds that a stop waits for a follower to finish its page, which is stored as a whole or not at all."""


def _info(line: str) -> None:
    _log.info("%s", line)


def _warning(line: str) -> None:
    _log.warning("%s", line)


def check_wanted(data: Path, url: str, wanted: Sequence[str], credentials: Credentials | None = None) -> None:
    """Raise if the wanted instances, or all that the source has, cannot be copies of it; creates nothing.

    Raises InvalidInputError for a name that is new here and that the source does not have, ServerRefusedError
    if it is no archive of this project, ServerUnavailableError if it does not answer and a name is new here.
    """
    names = list(wanted)
    if not names:
        with connected(url, credentials) as client:
            try:
                names = client.instances()
            except ServerUnavailableError:
                return  # the copies that are here continue
    check_source(url, not_here(data, names), credentials)


class Mirrors:
    """Copies of the instances of one served archive; ``credentials`` are for one that asks for some."""

    def __init__(self, archive: Archive, url: str, credentials: Credentials | None = None) -> None:
        self._archive, self._url = archive, url.rstrip("/")
        self._credentials = credentials
        self._names: list[str] = []
        self._followers: list[Follower] = []
        self._threads: list[threading.Thread] = []
        self._left: set[str] = set()
        """Copies that were renamed or deleted here."""

    def begin(self, wanted: Sequence[str]) -> list[str]:
        """Make mirrors of the instances of those names, or of all that the source has; return the names.

        If the source does not answer, "all" means the instances that are its copies already. Raises
        OutOfStepError for an instance that is no copy of it and has events. Call :func:`check_wanted` before.
        """
        for name in wanted or self._known():
            instance = self._archive.instance(name, create=True)
            state = begin_mirror(instance, self._url, name)
            source = connected(self._url, self._credentials).instance(name, check=False)
            self._followers.append(Follower(source, instance, state, Sayer(_info, _warning)))
            self._threads.append(
                threading.Thread(
                    target=self._follow,
                    args=(name, self._followers[-1]),
                    name=f"archive-mirror-{name}",
                    daemon=True,
                )
            )
            self._names.append(name)
        return [*self._names]

    def start(self) -> None:
        """Start to follow the source."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop following; the events that were taken over are durable."""
        for follower in self._followers:
            follower.stop()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(_STOP_S_MAX)

    def lags(self) -> list[MirrorLag]:
        """Return how far each copy is behind; none for those that were renamed or deleted."""
        return [
            MirrorLag(name, follower.lag_s(), thread.ident is None or thread.is_alive())
            for name, follower, thread in zip(self._names, self._followers, self._threads, strict=True)
            if name not in self._left
        ]

    def _known(self) -> list[str]:
        with connected(self._url, self._credentials) as client:
            try:
                return client.instances()
            except ServerUnavailableError as error:
                _log.warning("%s; going on with the copies that are here", error)
        found = [(name, self._archive.instance(name).mirrored) for name in self._archive.instances()]
        return [name for name, state in found if state is not None and state.url == self._url]

    def _follow(self, name: str, follower: Follower) -> None:
        try:
            follower.run()
        except ClosedError:
            self._left.add(name)
            if not self._archive.closed:  # else it is a stop that no longer waited for this thread
                _log.warning("%s is followed no longer: the copy was renamed or deleted", name)
        except OutOfStepError as error:
            _log.error(
                "%s is followed no longer: %s; to start anew beside it, stop this server and run:"
                " mirror %s --data %s --instance %s --resync",
                *(name, error, self._url, self._archive.path, name),
            )
        except ArchiveError as error:
            _log.error("%s is followed no longer: %s", name, error)
        except Exception:
            _log.exception("mirror of %s", name)
