"""The base of the classes that make up an instance: its name, its options and its open store."""

from __future__ import annotations

import logging
from collections.abc import Callable

from yamcs_archive import arguments
from yamcs_archive.errors import ArchiveError, ClosedError, DamagedError
from yamcs_archive.options import Options
from yamcs_archive.storage.event_store import EventStore
from yamcs_archive.storage.read.query import Query

_log = logging.getLogger(__name__)

SkipDamaged = bool | Callable[[DamagedError], None]
"""Whether reading goes round what is damaged; a function is called with each damage that is met."""


def skipping(skip_damaged: SkipDamaged) -> Callable[[DamagedError], None] | None:
    """Return what is called for each damage that reading goes round; None: it is an error.

    >>> skipping(False) is None, skipping(print) is print
    (True, True)
    """
    if callable(skip_damaged):
        return skip_damaged
    return _warn if arguments.flag("skip_damaged", skip_damaged) else None


def _warn(error: DamagedError) -> None:
    number = "events" if error.events is None else f"{error.events} events"
    span = "" if error.first is None else f", from {error.first} to {error.last}"
    _log.warning("%s are left out%s: %s", number, span, error)


class OpenInstance:
    """An open instance, until its archive is closed."""

    def __init__(self, name: str, store: EventStore, options: Options) -> None:
        self.name = name
        self._store = store
        self._options = options
        self._closed = False
        self.moved = False
        """True once it was renamed, set aside or deleted, and therefore closed while its archive is open."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def _repr_html_(self) -> str:
        """What a notebook shows: how many events there are, and the newest ones."""
        from yamcs_archive import notebook  # noqa: PLC0415  # only notebooks need it

        try:
            self._check_open()
            newest = list(self._store.scan(Query(descending=True, limit=notebook.ROWS_MAX)))
            events = self._store.count(Query())
        except ArchiveError as error:
            return notebook.plain(f"{self!r}: {error}")
        return notebook.events_table(f"{self!r}: {events} events; the newest", newest)

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError

    def _close(self) -> None:
        self._closed = True
        self._store.close()
