"""Writing: one writer for each instance, which commits what waits as one group.

The way of a group: ``submissions`` wait in ``writer``; ``group_commit`` takes them together and answers each;
``committer`` makes one transaction of them, in which ``idempotency`` answers retries, ``outcomes`` decides
what each event becomes (``key_lookup`` finds those that are stored already) and ``placement`` writes rows or
blocks through ``transaction``. ``cache`` says what the writer carries in memory from one group to the next;
``validation`` checks whole columns. Start with
``outcomes``, ``placement`` and ``committer``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
