"""Writing: each instance has one writer, which commits the waiting submissions as one group.

The way of a group: ``validation`` checks the columns of a submission, and ``submissions`` wait in ``writer``.
``group_commit`` forms a group and answers each submission. ``committer`` stores the group in three steps:

1. ``preparation`` decides, and stores nothing: ``idempotency`` recognises retries, ``outcomes`` decides
   whether each event is new, a duplicate or a conflict (``key_lookup`` finds the keys that are already
   stored, ``plain_append`` needs none).
2. A record of the ``commit_log`` has the events, which are young from then on. Large runs in order become
   blocks at once (``bulk``, ``bulk_commit``).
3. The facts in ``writer_state`` change. After a failure they are read back.

Later ``checkpoint`` makes blocks of young events (``placement``), and ``checkpointer`` stores them, through
``transaction``. ``horizon_move`` is the beginning of pruning. ``source_cache`` and ``writer_cache`` have what
the writer keeps in memory from one group to the next. Each of the modules uses the ones below it:

    writer, group_commit
    committer
    bulk_commit, horizon_move
    checkpointer
    writer_state                                     preparation
    source_cache, commit_log, rows_of_version_1, commit_messages

Start with ``outcomes``, ``committer`` and ``checkpoint``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
