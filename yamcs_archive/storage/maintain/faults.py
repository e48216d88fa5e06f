"""What the parts of a verification share: its scope, and the faults that they find."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from yamcs_archive.errors import ArchiveError, DamagedError
from yamcs_archive.event import EventKey
from yamcs_archive.results import Fault
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.keys import BEFORE_ALL, decode_key, time_bound
from yamcs_archive.storage.format.meta import Meta
from yamcs_archive.storage.format.zone_maps import ZoneMap

FAULTS_KEPT_MAX = 1_000
"""Largest number of faults that are kept; later ones are counted."""


class Faults:
    """Collects faults: the first ones, and the number of all.

    >>> faults = Faults()
    >>> faults.add(Fault("sources AOCS", "it has 2 events, its state says 3"))
    >>> faults.lose(DamagedError("blocks 00", "the checksum is wrong"))
    >>> faults.count, faults.are_events_missing
    (2, True)
    """

    def __init__(self) -> None:
        self.kept: list[Fault] = []
        self.count = 0
        self.are_events_missing = False
        """True once events could not be read: what other records count is then more than what was read."""
        self.lost_commits: list[tuple[int, int | None]] = []
        """First and last numbers of commits that the log lost; None: nobody knows how many followed."""

    def add(self, fault: Fault) -> None:
        """Note a fault."""
        self.count += 1
        if len(self.kept) < FAULTS_KEPT_MAX:
            self.kept.append(fault)

    def has_lost(self, first: int, last: int) -> bool:
        """Return whether the log is known to have lost commits from ``first`` to ``last``."""
        return any(begin <= first and (end is None or last <= end) for begin, end in self.lost_commits)

    def leave_out(self, error: DamagedError) -> None:
        """Note damage that says which events cannot be read, as far as that is known."""
        self.are_events_missing = True
        self.add(Fault(error.where, error.reason, error.first, error.last, error.events))

    def add_value(self, error: DamagedError, first: bytes | None = None) -> None:
        """Note a value that cannot be read, without which no event is lost."""
        self.add(Fault(error.where, error.reason, key_or_none(first)))

    def lose(self, error: DamagedError, first: bytes | None = None, zone_map: ZoneMap | None = None) -> None:
        """Note events that cannot be read: those of a zone map, or one or more from a first key on."""
        self.are_events_missing = True
        last, events = (None, None) if zone_map is None else (zone_map.last, zone_map.events)
        self.add(Fault(error.where, error.reason, key_or_none(first), key_or_none(last), events))

    def lose_row(self, error: DamagedError, key: bytes) -> None:
        """Note an event that cannot be read; its key is known."""
        self.are_events_missing = True
        at = key_or_none(key)
        self.add(Fault(error.where, error.reason, at, at, 1))

    def add_range(self, zone_map: ZoneMap, database: str, reason: str) -> None:
        """Note a fault of the events of a block or a group."""
        first, last = key_or_none(zone_map.first), key_or_none(zone_map.last)
        self.add(Fault(f"{database} {zone_map.first.hex()}", reason, first, last, zone_map.events))


def noted_before(_error: DamagedError) -> None:
    """Read on after damage of young events, which is noted already."""


class VerifyScope(NamedTuple):
    """What is verified, and how."""

    environment: Environment
    facts: Callable[[], Meta]
    """Returns the facts of the instance as they are now: pruning may go on meanwhile."""
    events_max: int
    """Largest number of young events that are read in one transaction."""
    go_on: Callable[[], None]
    """Called now and then; raises when the verification is to end."""
    faults: Faults

    def bound(self) -> bytes:
        """Return the bound from which on events are not pruned."""
        horizon = self.facts().horizon
        return BEFORE_ALL if horizon is None else time_bound(horizon)


def key_or_none(key: bytes | None) -> EventKey | None:
    """Return the event key of its stored form, None for bytes that are none."""
    if key is not None:
        with suppress(ArchiveError):
            return decode_key(key)
    return None
