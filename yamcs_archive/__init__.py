"""yamcs_archive: an embedded, append-only event archive with a Yamcs events API."""

from yamcs_archive.event import Event, EventKey, Severity

__all__ = ["Event", "EventKey", "Severity"]
