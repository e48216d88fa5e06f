"""The base of the classes that make up an instance: its name, its options and its open store."""

from __future__ import annotations

from yamcs_archive.errors import ClosedError
from yamcs_archive.options import Options
from yamcs_archive.storage.event_store import EventStore


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

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError

    def _close(self) -> None:
        self._closed = True
        self._store.close()
