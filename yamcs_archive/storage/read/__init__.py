"""Reading: events by key and by arrival, and the facts of an instance.

``range_reader`` yields the young events and blocks of a range of keys, slice by slice; ``block_index`` finds
its blocks by their zone maps, ``block_cache`` keeps the blocks that were read last, and ``few_found`` what
queries found where it was few. ``query``, ``source_stretches`` and ``changes`` (in order of arrival) are
built on it. ``event_count`` and ``metadata`` read no events; ``commit_watch`` waits for the next commit.
Readers never wait for the writer, nor it for them. ``skipping_reader`` goes round damage on request. Start
with ``range_reader`` and ``query``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
