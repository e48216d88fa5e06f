"""Python's logging into an archive: a handler that stores each record as an event.

Read ``handler`` first: what a program configures, and what happens in the thread that logs. ``records`` takes
what is needed from a record, and later makes an event of it. ``buffer`` holds what waits, within bounds.
``storing`` is the thread that stores it, ``destinations`` the places where it goes: an open instance, a
directory or a URL. ``forks`` brings the records of forked children to the process that has the archive.
"""

from yamcs_archive.logging.handler import ArchiveHandler

__all__ = ["ArchiveHandler"]
