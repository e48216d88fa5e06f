"""The head of LMDB's file, made durable whatever became of the syncs before.

1. A commit is valid once its head is on the medium; what the head leads to was synced before that. A process
   that was killed, or whose write failed, may have left a head in the page cache alone. Readers of that find
   its events, and retries are duplicates, until a power cut takes them.
2. A sync does not help where a write has failed: the system then takes the page for written, and the next
   sync succeeds without it. So both heads are written once more, as they are read, and then synced.
3. Nothing changes by that, so it may be cut off anywhere, and others may read meanwhile. Only the holder of
   the writer's lock does it.
"""

from __future__ import annotations

import os
from pathlib import Path

from yamcs_archive.storage.disk.file_system import os_errors_translated


def make_head_durable(data: Path, page_bytes: int) -> None:
    """Write the two pages with heads of the file ``data`` once more, and sync the file.

    Raises OutOfSpaceError and UnavailableError.

    >>> file = directory / "data.mdb"
    >>> _ = file.write_bytes(b"heads" * 2000)
    >>> make_head_durable(file, 4096)
    >>> file.read_bytes() == b"heads" * 2000
    True
    """
    with os_errors_translated(data):
        descriptor = os.open(data, os.O_RDWR | os.O_CLOEXEC)
        try:
            heads = os.pread(descriptor, 2 * page_bytes, 0)
            written = 0
            while written < len(heads):  # after a part of them, the next call says why
                written += os.pwrite(descriptor, heads[written:], written)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
