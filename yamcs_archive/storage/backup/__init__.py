"""Backups: an instance as a stream of bytes, and back again, while others read and append.

``snapshot`` reads what a backup of one moment has to have, ``encoder`` makes the stream of it, ``decoder``
reads a stream and checks it, ``restorer`` writes what was read into a new store, and ``folder`` keeps backups
as files, in chains. The bytes are in ``format/backup_frames`` and ``format/content_hash``. Start with
``snapshot``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
