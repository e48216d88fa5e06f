"""What a salvage could not save: noted as it is met, counted once everything that could be saved is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

from yamcs_archive.event import EventKey
from yamcs_archive.results import Fault
from yamcs_archive.storage.format.keys import Key
from yamcs_archive.storage.maintain.faults import key_or_none
from yamcs_archive.storage.salvage.trees import Gap

KEYS_KEPT_MAX = 100_000
"""Number of exact keys after which no more are kept, some 20 MB: later losses have their range and count."""


class _LostKeys(NamedTuple):
    where: str
    reason: str
    keys: list[Key]


class Losses:
    """Collects losses.

    >>> losses = Losses()
    >>> losses.add_keys("rows 80", "the checksum is wrong", [(1, "AOCS", 2)])
    >>> losses.add_range("blocks 80", "it is not there", None, None, 5)
    >>> [fault.events for fault in losses.settled(lambda key: False, lambda first, last: 0, missing=7)]
    [1, 5, 1]
    """

    def __init__(self) -> None:
        self._keys: list[_LostKeys] = []
        self._ranges: list[Fault] = []
        self._facts: list[Fault] = []

    @property
    def has_events(self) -> bool:
        """Return whether events are lost, as far as is known."""
        return bool(self._keys or self._ranges)

    def add_keys(self, where: str, reason: str, keys: Sequence[Key]) -> None:
        """Note events that cannot be read, of which each key is known."""
        self._keys.append(_LostKeys(where, reason, list(keys)))

    def add_range(
        self, where: str, reason: str, first: bytes | None, last: bytes | None, events: int | None
    ) -> None:
        """Note events that cannot be read; ``events`` None: nobody knows how many there were."""
        self._ranges.append(Fault(where, reason, key_or_none(first), key_or_none(last), events))

    def add_fact(self, where: str, reason: str, key: EventKey | None = None) -> None:
        """Note something that is lost, and is no event."""
        self._facts.append(Fault(where, reason, key))

    def add_gap(self, gap: Gap) -> None:
        """Note keys that a tree no longer leads to."""
        where = f"{gap.database} {gap.lower.hex()}".rstrip()
        if gap.database in ("rows", "blocks"):
            self.add_range(where, gap.reason, gap.lower, gap.upper, None)
        else:
            self.add_fact(where, gap.reason)

    def settled(
        self,
        is_saved: Callable[[EventKey], bool],
        saved_between: Callable[[EventKey, EventKey], int],
        missing: int | None,
    ) -> list[Fault]:
        """Return everything that is lost, once it is known what is saved.

        What was saved from elsewhere is left out. ``missing`` is the number of all events that are not saved,
        None if it is not known: ranges whose number was not known get the rest of it, together if there are
        several.
        """
        exact = list(self._exact(is_saved))
        counted = [fault for fault in self._ranges if fault.events is not None]
        vague = [fault for fault in self._ranges if fault.events is None]
        if missing is None:
            return [*exact, *counted, *vague, *self._facts]
        if _events_of([*exact, *counted]) > missing:
            counted = [_without_saved(fault, saved_between) for fault in counted]
            counted = [fault for fault in counted if fault.events]
        rest = missing - _events_of([*exact, *counted])
        return [*exact, *counted, *(_shared(vague, rest) if rest > 0 else ()), *self._facts]

    def _exact(self, is_saved: Callable[[EventKey], bool]) -> Iterable[Fault]:
        room = KEYS_KEPT_MAX
        for where, reason, keys in self._keys:
            lost = sorted(key for key in {EventKey(*key) for key in keys} if not is_saved(key))
            if lost:
                yield Fault(where, reason, lost[0], lost[-1], len(lost), tuple(lost) if room > 0 else ())
                room -= len(lost)


def _events_of(faults: Iterable[Fault]) -> int:
    return sum(fault.events or 0 for fault in faults)


def _without_saved(fault: Fault, saved_between: Callable[[EventKey, EventKey], int]) -> Fault:
    """Return a range without the events that were saved from elsewhere."""
    if fault.first is None or fault.last is None or fault.events is None:
        return fault
    return replace(fault, events=max(0, fault.events - saved_between(fault.first, fault.last)))


def _shared(vague: list[Fault], rest: int) -> list[Fault]:
    """Return the ranges that lost ``rest`` events together."""
    if len(vague) == 1:
        return [replace(vague[0], events=rest)]
    reason = "these are missing"
    if vague:
        reason = f"these are missing in the {len(vague)} ranges above whose number is not known"
    return [*vague, Fault("events", reason, events=rest)]
