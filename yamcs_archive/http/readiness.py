"""Whether a server is ready for what it serves: the archive is there, and events that may be stored can be.

A probe costs a few system calls and writes nothing, because probes come every few seconds, from more than one
client. What only an append shows (a quota, a failing medium) is known from the latest appends of others.
"""

from __future__ import annotations

from yamcs_archive.archive import Archive
from yamcs_archive.errors import ArchiveError
from yamcs_archive.http.refusal_log import Refusals

_FAILING = ("507 OutOfSpaceException", "503 OutcomeUnknownException")
"""Refusals after which the next event will hardly be stored either."""


def unready(archive: Archive, refusals: Refusals | None = None) -> str | None:
    """Return why an archive cannot do what it is served for, None if it can.

    One that is open for reading need not take events.

    >>> unready(Archive.open(directory)) is None
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
