"""What maintenance meets that is damaged: each is said once, and what is met together in one line."""

from __future__ import annotations

import logging

from yamcs_archive.errors import DamagedError

_log = logging.getLogger(__name__)
_KNOWN_MAX = 1_000
"""Damage that is told apart; of a medium with more of it the first say enough."""


class Damage:
    """Gathers damage that is passed over.

    >>> damage = Damage()
    >>> for key in ("rows 01", "rows 02", "rows 01"):
    ...     damage.meet(DamagedError(key, "the checksum is wrong"))
    >>> damage.tell(), damage.tell()
    (2, 0)
    """

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._new: list[DamagedError] = []

    def meet(self, error: DamagedError) -> None:
        """Take in what is damaged, if it is not known yet."""
        text = str(error)
        if text not in self._known and len(self._known) < _KNOWN_MAX:
            self._known.add(text)
            self._new.append(error)

    def tell(self) -> int:
        """Log what was met since the last time, in one line; return how much it was."""
        if not self._new:
            return 0
        (first, *others), self._new = self._new, []
        more = f" (and {len(others)} more like it)" if others else ""
        _log.error("%s%s; it is passed over, and what lies elsewhere is sealed", first, more)
        return 1 + len(others)
