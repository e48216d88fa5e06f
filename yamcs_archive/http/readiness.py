"""Readiness of a server: the archive can be read, and can be written to unless it is open read-only.

A probe costs a few system calls and writes nothing, because probes come every few seconds, from more than
one client. Faults that only an append shows (a quota, a failing medium) are known from the latest refused
requests.
"""

from __future__ import annotations

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.refusal_log import RefusalLog

_FAILING = ("507 OutOfSpaceException", "503 OutcomeUnknownException")
"""Refusals after which the next event can probably not be stored either."""


def not_ready_reason(archive: Archive, refusals: RefusalLog | None = None) -> str | None:
    """Return why an archive cannot be served, None if it can; a read-only one need not take events.

    >>> not_ready_reason(Archive.open(directory)) is None
    True
    """
    if archive.closed:
        return "the archive is closed; restart the server"
    try:
        if archive.readonly:
            archive.instances()
            return None
        archive.check_writable()
    except ArchiveError as error:
        return str(error)
    if refusals is None:
        return None
    failing = (why for kind in _FAILING if (why := refusals.why(kind)) is not None)
    return next(failing, None)


def takes_events(archive: Archive, name: str) -> bool:
    """Return whether an instance takes events: a mirror does not, nor does one that cannot be opened."""
    try:
        return archive.instance(name).mirrored is None
    except ArchiveError:
        return False
