"""The log of damage that maintenance finds: each record once, several found together in one line."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from yamcs_archive.errors import DamagedError

_log = logging.getLogger(__name__)
_KNOWN_MAX = 1_000
"""Most damaged records that are remembered and logged: if a medium has more of them, these are enough."""


class Damage:
    """Collects the errors of damaged records, which maintenance leaves as they are."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[DamagedError] = []

    def meet(self, error: DamagedError) -> None:
        """Remember a damaged record for the next line of the log, unless it is known already."""
        text = str(error)
        if text not in self._known and len(self._known) < _KNOWN_MAX:
            self._known.add(text)
            self._new.append(error)

    def meet_all(self, errors: Iterable[DamagedError]) -> None:
        """Do the same for several, and log them."""
        for error in errors:
            self.meet(error)
        self.log()

    def log(self) -> None:
        """Log the damaged records found since the last call, in one line."""
        if not self._new:
            return
        (first, *others), self._new = self._new, []
        more = f" (and {len(others)} more like it)" if others else ""
        _log.error("%s%s; it is left as it is, and everything else goes on", first, more)
