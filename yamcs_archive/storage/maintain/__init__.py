"""Maintenance of stored events: no event changes, only the form in which it is stored.

``scheduler`` decides when each task runs. ``commit_packing`` merges the
records of many commits, ``repair`` rewrites blocks of earlier versions and damaged zone maps, and
``compaction`` copies an instance without its free pages. ``verification`` reads everything and compares it,
with ``page_check`` (of LMDB's own pages), ``zone_map_check``, ``arrival_check`` and ``request_check``
(``isolated_verification``: in a process of its own), and ``quick_check`` reads both ends. ``damage_log`` logs
each damaged record once. Start with ``scheduler``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
