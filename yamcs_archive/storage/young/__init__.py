"""Young events: what the commit log has and LMDB does not, in memory; no files, no LMDB.

``memory_table`` holds the records of a stretch of the log, and finds events by key; ``arrivals`` has the
columns of its events. ``views`` puts the tables of an instance side by side: a view is what a reader sees of
them, together with one read transaction of LMDB. ``budget`` bounds the memory of all tables of a process.
Start with ``memory_table``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
