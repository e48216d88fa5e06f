"""Logs requests that are refused through no fault of the client (503 and 507): a few lines for each spell.

A spell is a series of refusals of one kind without a long pause.

1. A spell is logged at once, with its first reason, then every minute with the number of its requests, and
   once more at its end. So a full disk shows in the log, but a thousand clients that try again do not fill
   the log.
2. A spell ends after ten seconds without a refusal. An event that is stored in between does not end it: on a
   full disk, small events may fit when large ones do not.
3. A timer looks for ends. If memory is so short that none can be started, the next refusal tries again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

_log = logging.getLogger(__name__)

QUIET_S = 10.0
"""Seconds without a refusal after which a spell is over."""
INTERVAL_S = 60.0
"""Seconds between two lines about a spell that continues."""


@dataclass(slots=True)
class _Spell:
    began_s: float
    last_s: float
    said_s: float
    count: int
    why: str


def _after(wait_s: float, call: Callable[[], None]) -> None:
    """Raises RuntimeError if there is no memory for a thread."""
    timer = threading.Timer(wait_s, call)
    timer.daemon = True
    timer.name = "yamcs-archive-refusals"
    timer.start()


class RefusalLog:
    """The current spells of refusals, by kind. Safe to use from many threads.

    ``after`` schedules a call in some seconds; it is used only during a spell.

    >>> refusals = RefusalLog(now_s=lambda: 0.0, after=lambda wait_s, call: None)
    >>> refusals.note("507 OutOfSpaceException", "no space")
    >>> refusals.why("507 OutOfSpaceException"), refusals.why("503 OutcomeUnknownException")
    ('no space', None)
    """

    def __init__(
        self,
        now_s: Callable[[], float] = monotonic,
        after: Callable[[float, Callable[[], None]], None] = _after,
    ) -> None:
        self._now_s, self._after = now_s, after
        self._guard = threading.Lock()
        self._spells: dict[str, _Spell] = {}
        self._looks = False
        """True while a timer runs."""
        self._ended = False

    def note(self, kind: str, why: str) -> None:
        """Count a request that is refused."""
        now_s = self._now_s()
        with self._guard:
            if self._ended:
                return
            spell = self._spells.get(kind)
            if spell is not None:
                spell.count, spell.last_s, spell.why = spell.count + 1, now_s, why
            else:
                self._spells[kind] = _Spell(now_s, now_s, now_s, 1, why)
            begins, self._looks = not self._looks, True
        if spell is None:
            _log.warning("requests are refused: %s: %s", kind, why)
        if begins:
            self._look_later()

    def why(self, kind: str) -> str | None:
        """Return the latest reason of a spell of this kind; None if there is none at present."""
        spell = self._spells.get(kind)
        return spell.why if spell is not None and self._now_s() - spell.last_s < QUIET_S else None

    def look(self) -> None:
        """Log the spells that have ended, and at intervals those that continue."""
        now_s = self._now_s()
        lines: list[tuple[str, _Spell, str]] = []
        with self._guard:
            for kind, spell in list(self._spells.items()):
                if now_s - spell.last_s >= QUIET_S:
                    lines.append((kind, self._spells.pop(kind), _OVER))
                elif now_s - spell.said_s >= INTERVAL_S:
                    spell.said_s = now_s
                    lines.append((kind, spell, _GOES_ON))
            self._looks = goes_on = bool(self._spells)
        for line in lines:
            _say(*line)
        if goes_on:
            self._look_later()

    def _look_later(self) -> None:
        try:
            self._after(QUIET_S, self.look)
        except RuntimeError:
            self._looks = False

    def end(self) -> None:
        """Log the current spells and count no further refusals, because serving ends."""
        with self._guard:
            self._ended = True
            spells, self._spells = self._spells, {}
        for kind, spell in spells.items():
            _say(kind, spell, _ENDED)


def _say(kind: str, spell: _Spell, line: str) -> None:
    _log.warning(line, kind, spell.count, round(spell.last_s - spell.began_s))


_GOES_ON = "requests are still refused: %s: %d so far, in %d s"
_OVER = "requests were refused: %s: %d in %d s, none since then"
_ENDED = "requests were refused: %s: %d in %d s, when serving ended"
