"""What happens to stored events later: no event changes, only the form in which it is stored.

``scheduler`` decides when: ``sealing`` makes blocks of rows, ``commit_packing`` one record of many,
``repair`` writes anew what an earlier version or a fault of the medium left, ``compaction`` copies an
instance without its free pages. ``damage_log`` keeps the log short where something is damaged. Start with
``sealing``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
