"""Writing: each instance has one writer, which commits the waiting submissions as one group.

The way of a group: ``validation`` checks the columns of a submission, and ``submissions`` wait in ``writer``.
``group_commit`` forms a group and answers each submission. ``committer`` stores the group in one
transaction: ``idempotency`` recognises retries, ``outcomes`` decides whether each event is new, a duplicate
or a conflict (``key_lookup`` finds the keys that are already stored), and ``placement`` writes rows or blocks
through ``transaction``. ``writer_cache`` has the data that the writer keeps in memory from one group to the
next. Start with ``outcomes``, ``placement`` and ``committer``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
