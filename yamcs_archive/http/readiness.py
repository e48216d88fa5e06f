"""What a server is ready for, and why not: each reason has a kind, by which programs can decide.

1. A look costs a few system calls and writes nothing, because probes come every few seconds, from more than
   one client. Faults that only an append shows (a quota, a failing medium) are known from the latest requests
   that were refused.
2. A server is not ready if no client can do what it is there for. What concerns some of its work is a reason
   too, but leaves it ready: taking it out of service would not help.
3. Everybody may ask, so nothing is told that names a user, or where a copy comes from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from yamcs_archive.archive import Archive
from yamcs_archive.errors import (
    ArchiveError,
    ClosedError,
    DamagedError,
    FormatVersionError,
    GoneError,
    OutOfSpaceError,
)
from yamcs_archive.http.refusal_log import RefusalLog
from yamcs_archive.http.request import Services

BACKLOG_S_MAX = 300.0
"""Seconds that a full memory table may wait to be put into blocks, before that is a reason."""
LAG_S_MAX = 120.0
"""Seconds that a copy may be behind its source before that is a reason."""
REASONS_MAX = 100
"""Largest number of reasons in an answer."""
_FULL, _FAILED = "507 OutOfSpaceException", "503 OutcomeUnknownException"
"""Refusals after which the next event can probably not be stored either."""
_BUSY = "503 ServiceUnavailableException"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is not as it should be; ``instance`` is the one concerned, None: all of them."""

    kind: str
    text: str
    instance: str | None = None

    def fields(self) -> dict[str, Any]:
        """Return it as JSON has it.

        >>> Reason("full", "no space").fields()
        {'kind': 'full', 'text': 'no space'}
        """
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a server is ready for."""

    ready: bool
    reasons: tuple[Reason, ...]
    instances: tuple[str, ...] = ()
    storing: tuple[str, ...] = ()
    """The instances that take events."""


def readiness(services: Services) -> Readiness:
    """Return what a server is ready for at this moment. Raises ArchiveError if it is closed meanwhile."""
    archive = services.archive
    reason = not_ready(archive, services.refusals)
    if reason is not None:
        return Readiness(False, (reason,))
    names, storing, reasons = tuple(archive.instances()), [], []
    if archive.readonly:
        reasons.append(Reason("read-only", "the archive is open for reading"))
    for name in names:
        try:
            mirrored = archive.instance(name).mirrored is not None
        except ArchiveError as error:
            reasons.append(Reason(_kind_of(error), str(error), name))
            continue
        if mirrored:
            reasons.append(Reason("mirror", "a copy of a served instance: it takes no events", name))
        elif not archive.readonly:
            storing.append(name)
    # First what an operator must look at.
    found = (*_backlogs(services), *reasons)
    return Readiness(True, tuple(islice(found, REASONS_MAX)), names, tuple(storing))


def unnamed(found: Readiness) -> Readiness:
    """Return what of it everybody may know of a server with users: kinds alone, each once.

    >>> unnamed(Readiness(True, (Reason("mirror", "a copy", "sim"),), ("sim",), ())).reasons
    (Reason(kind='mirror', text='log in to see more', instance=None),)
    """
    kinds = dict.fromkeys(reason.kind for reason in found.reasons)
    return Readiness(found.ready, tuple(Reason(kind, "log in to see more") for kind in kinds))


def not_ready(archive: Archive, refusals: RefusalLog) -> Reason | None:
    """Return why an archive cannot be served, None if it can; a read-only one need not take events."""
    if archive.closed:
        return Reason("closed", "the archive is closed; restart the server")
    try:
        if archive.readonly:
            archive.instances()
            return None
        archive.check_writable()
    except ArchiveError as error:
        return Reason(_kind_of(error), str(error))
    for refusal, kind in ((_FULL, "full"), (_FAILED, "failing")):
        why = refusals.why(refusal)
        if why is not None:
            return Reason(kind, why)
    return None


def _kind_of(error: ArchiveError) -> str:
    kinds: tuple[tuple[type[ArchiveError], str], ...] = (
        (ClosedError, "closed"),
        (GoneError, "gone"),
        (OutOfSpaceError, "full"),
        (FormatVersionError, "format"),
        (DamagedError, "damaged"),
    )
    return next((kind for type_, kind in kinds if isinstance(error, type_)), "unavailable")


def _backlogs(services: Services) -> Iterator[Reason]:
    """Yield what waits for longer than it should."""
    why = services.refusals.why(_BUSY)
    if why is not None:
        yield Reason("busy", why)
    for lag in services.observation.mirrors():
        if not lag.following:
            text = "follows its source no longer; the log says why"
            yield Reason("mirror-stopped", text, lag.instance)
        elif lag.seconds > LAG_S_MAX:
            text = f"has been behind its source for {lag.seconds:.0f} s"
            yield Reason("mirror-behind", text, lag.instance)
    for instance in services.archive.open_instances():
        try:
            waited_s = instance.usage().checkpoint_backlog_seconds
        except ArchiveError:  # it was deleted or renamed meanwhile, or is a reason of its own
            continue
        if waited_s > BACKLOG_S_MAX:
            text = f"events have waited {waited_s:.0f} s to become blocks; the log says what holds that up"
            yield Reason("backlog", text, instance.name)
