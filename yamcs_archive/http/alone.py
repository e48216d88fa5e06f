"""Work that is done once at a time for an instance."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from yamcs_archive.errors import UnavailableError, shown


class Alone:
    """What is under way, by kind and instance. Safe to use from many threads.

    >>> operations = Alone()
    >>> with operations.alone("verify", "sim"), operations.alone("verify", "sim"):
    ...     pass
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.UnavailableError: verify of 'sim' is under way: send it again when it has ended
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._under_way: set[tuple[str, str]] = set()

    @contextmanager
    def alone(self, kind: str, instance: str) -> Iterator[None]:
        """Do something; UnavailableError while the same is under way for that instance."""
        this = kind, instance
        with self._guard:
            if this in self._under_way:
                raise UnavailableError(
                    f"{kind} of {shown(instance)} is under way: send it again when it has ended"
                )
            self._under_way.add(this)
        try:
            yield
        finally:
            with self._guard:
                self._under_way.discard(this)
