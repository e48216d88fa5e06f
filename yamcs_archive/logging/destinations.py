"""Where records go: an open instance, an instance in a directory, or one that is served at a URL.

1. ``store`` takes events off the front of a list as they become durable, so that after an error the list has
   exactly those that must be stored again.
2. Nothing is stored twice. The archive itself numbers the events of a local instance; after a commit of
   unknown outcome they have the numbers that the archive gave them. Events for a server are numbered here,
   before they are sent, so that whatever is sent again is known there. (Request ids would not do: a server
   keeps a million of them, for a day.)
3. If another program has taken a number in the same microsecond, the event gets the next one.
"""

from __future__ import annotations

import logging
import os
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from yamcs_archive.credentials import Credentials
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    InvalidInputError,
    OutcomeUnknownError,
    ServerRefusedError,
)
from yamcs_archive.event import Event
from yamcs_archive.limits import SEQ_NUMBER_MAX
from yamcs_archive.logging.records import EventMaker

if TYPE_CHECKING:
    from yamcs_archive.archive import Archive
    from yamcs_archive.client import RemoteInstance
    from yamcs_archive.instance import Instance

_LEVELS = (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)
_SOURCES_MAX = 10_000
"""Largest number of sources whose next number is kept; with more, all of them begin at 0 again."""


def know_levels() -> None:
    """Have every logger of this package know which levels are on.

    To ask for the first time takes a lock of ``logging``, and ``logging.config`` holds it while it makes and
    closes handlers. A thread of the engine that asked then, while this handler waits for it, would never end.
    """
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("yamcs_archive."):
            log = logging.getLogger(name)
            for level in _LEVELS:
                log.isEnabledFor(level)


class Destination(ABC):
    """A place where events are stored."""

    is_gone = False

    def __init__(self, instance: Instance | RemoteInstance, maker: EventMaker) -> None:
        self._instance, self._maker = instance, maker

    def prepared(self, records: list[tuple[Any, ...]]) -> list[Event]:
        """Return the events of records."""
        event_of, number = self._maker.event_of, self.number
        return [event_of(record, number) for record in records]

    def store(self, events: list[Event]) -> int:
        """Store the events of a list, and empty it; return the number of those that are too old to be kept.

        After an error the list has those that are not stored, or may not be.
        """
        try:
            counts = self._instance.append_many(events)
        except ArchiveError as error:
            position = error.position or 0
            if isinstance(error, OutcomeUnknownError):
                events[position : position + len(error.events)] = error.events
            del events[:position]
            raise
        if counts.conflict_count == len(counts.conflicts):
            again = [events[each.position] for each in counts.conflicts]
        else:  # not all are shown: send all of them again, of which most are known by now
            again = events[:]
        refused = {each.position for each in counts.conflicts}
        shown = len(refused) == counts.conflict_count
        events[:] = [
            replace(event, seq_number=self.number(event.source)) if shown or at in refused else event
            for at, event in enumerate(again)
        ]
        return counts.expired

    @abstractmethod
    def number(self, source: str) -> int | None:
        """Return the number of the next event of a source; None if the archive gives it."""

    @abstractmethod
    def renew(self, error: Exception) -> None:
        """Look whether something is different now, after an error."""

    @abstractmethod
    def close(self) -> None:
        """Release what the destination has opened itself."""

    @abstractmethod
    def __str__(self) -> str: ...


class LocalDestination(Destination):
    """An instance in this process; the archive is closed with it if it was opened for it."""

    def __init__(self, instance: Instance, archive: Archive | None, maker: EventMaker) -> None:
        super().__init__(instance, maker)
        self._name, self._archive = instance.name, archive

    def store(self, events: list[Event]) -> int:
        """Do what :meth:`Destination.store` does; an instance of the program's that is closed is gone."""
        try:
            return super().store(events)
        except ClosedError:
            self.is_gone = self._archive is None
            raise

    def number(self, source: str) -> None:
        """Leave it to the archive."""

    def renew(self, error: Exception) -> None:
        """Open the instance again if it was renamed or deleted."""
        if self._archive is not None and isinstance(error, ClosedError):
            self._instance = self._archive.instance(self._name, create=True)

    def close(self) -> None:
        """Close the archive."""
        if self._archive is not None:
            self._archive.close()

    def __str__(self) -> str:
        return self._name if self._archive is None else f"{self._name} in {self._archive.path}"


class ServedDestination(Destination):
    """An instance at a URL."""

    def __init__(
        self,
        instance: RemoteInstance,
        maker: EventMaker,
        reopen: Callable[[], RemoteInstance],
        *,
        owned: bool,
    ) -> None:
        super().__init__(instance, maker)
        self._remote, self._reopen, self._owned = instance, reopen, owned
        self._is_parents = False
        self._numbers: defaultdict[str, count[int]] = defaultdict(count)

    def number(self, source: str) -> int:
        """Return the next number of a source in this process."""
        if len(self._numbers) > _SOURCES_MAX:
            self._numbers.clear()
        return next(self._numbers[source]) % (SEQ_NUMBER_MAX + 1)

    def renew(self, error: Exception) -> None:
        """Read the file of the token again if the server refused the one that it had."""
        if self._owned and isinstance(error, ServerRefusedError):
            self._remote.close()
            self._instance = self._remote = self._reopen()

    def in_child(self) -> None:
        """Leave the connections to the parent: others are made when there is something to send."""
        self._is_parents = True

    def store(self, events: list[Event]) -> int:
        """Do what :meth:`Destination.store` does, over connections of this process."""
        if self._is_parents:
            self._instance = self._remote = self._reopen()
            self._is_parents, self._owned = False, True
        return super().store(events)

    def close(self) -> None:
        """End the requests, and close the connections."""
        if self._owned and not self._is_parents:
            self._remote.end()
            self._remote.close()

    def __str__(self) -> str:
        return f"{self._remote.name} at {self._remote.url}"


def opened(
    instance: Instance | RemoteInstance | str,
    path: str | os.PathLike[str] | None,
    url: str | None,
    credentials: Callable[[], Credentials | None],
    maker: EventMaker,
) -> Destination:
    """Return the destination that the arguments of a handler, checked before, name."""
    # Each way loads only what it needs: storage engine or HTTP client.
    if path is not None:
        from yamcs_archive.archive import Archive, load_engine  # noqa: PLC0415

        load_engine()
        know_levels()
        archive = Archive.open(path, holder="its log handler", close_at_exit=False)
        try:
            return LocalDestination(archive.instance(str(instance), create=True), archive, maker)
        except BaseException:
            archive.close()
            raise
    from yamcs_archive.client import Client, RemoteInstance  # noqa: PLC0415

    if url is not None:

        def reopen() -> RemoteInstance:
            return Client(url, credentials=credentials()).instance(str(instance), check=False)

        return ServedDestination(reopen(), maker, reopen, owned=True)
    if isinstance(instance, RemoteInstance):
        return ServedDestination(instance, maker, instance.reopened, owned=False)
    if isinstance(instance, str):
        raise InvalidInputError("instance", instance, "is a name: give a path or a url beside it")
    return LocalDestination(instance, None, maker)
