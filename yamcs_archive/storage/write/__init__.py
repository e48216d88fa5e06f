"""Writing: each instance has one writer, which commits the waiting submissions as one group.

The way of a group: ``validation`` checks the columns of a submission, and ``submissions`` wait in ``writer``.
``group_commit`` forms a group and answers each submission. ``committer`` stores the group by one record of
the ``commit_log``: ``idempotency`` recognises retries, ``outcomes`` decides whether each event is new, a
duplicate or a conflict (``key_lookup`` finds the keys that are already stored), and the record's events are
young from then on. ``checkpoint`` makes blocks of them (``placement``), through ``transaction``.
``writer_cache`` has the data that the writer keeps in memory from one group to the next. Start with
``outcomes``, ``committer`` and ``checkpoint``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
