"""Reading: by key, by arrival, and what is known of an instance without reading events.

``range_reader`` gives rows and blocks of one slice of keys after the other; ``query``, ``histogram`` and
``event_count`` are built on it. ``changes`` reads in order of arrival, and ``commit_watch`` waits for the
next commit. ``metadata`` reads what an instance says of itself; ``block_cache`` keeps the blocks that were
read last. Readers never wait for the writer, nor it for them. Start with ``range_reader`` and ``query``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
