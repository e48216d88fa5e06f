"""What an operator asks: the numbers of an instance, and what an examination found. Plain frozen values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from yamcs_archive.activity import InstanceActivity, InstanceUsage


@dataclass(frozen=True, slots=True)
class InstanceSummary:
    """The numbers of one instance. Times are microseconds since 1970."""

    name: str
    events: int
    """Events that are not pruned."""
    sources: int
    """Sources that ever had an event."""
    duplicates: int
    conflicts: int
    expired: int
    """Events that were ever refused, by the reason."""
    created: int
    first_time: int | None
    last_time: int | None
    """The least and the greatest generation time; None without events."""
    commit: int
    """The number of the newest commit, 0 before the first."""
    commit_time: int | None
    """When it was made: of a copy, by the clock of its source."""
    horizon: int | None
    """Events before this time were pruned; None: none were."""
    mirror_of: str | None
    """The URL of the served archive whose copy this is; None if it is none."""
    usage: InstanceUsage
    activity: InstanceActivity | None
    """What was appended since the writing process opened it; None where that is another process."""


class Level(StrEnum):
    """How bad a finding is."""

    GOOD = "good"
    NOTE = "note"
    """Worth knowing; nothing need be done."""
    BAD = "bad"
    """Something does not work, or soon will not."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One result of an examination."""

    subject: str
    """``space``, ``readers``, ``backlog``, ``clock``, ``limits``, ``file system``, ``memory``, ``sync``,
    ``times``, ``mirror``, ``instance`` or ``server``."""
    level: Level
    text: str
    """What was found."""
    advice: str = ""
    """What to do; empty if nothing need be done."""
    instance: str | None = None
    """The instance that is concerned; None for the archive as a whole."""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What an examination of an archive found."""

    time: int
    """The archive's clock, in microseconds since 1970."""
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """True if nothing is bad.

        >>> Diagnosis(0, (Finding("space", Level.NOTE, "1 GB free"),)).healthy
        True
        """
        return all(finding.level is not Level.BAD for finding in self.findings)
