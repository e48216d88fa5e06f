"""The library for programs that use asyncio: :class:`AsyncArchive` and :class:`AsyncInstance`.

1. Nothing here blocks the event loop. An append is handed to the writer's thread, which answers by a
   callback; reading, opening and closing happen on threads of the archive's own, so that they take none of
   those that other parts of a program share.
2. A cancelled call stops waiting. An append that was handed over is stored all the same; reading ends soon.
3. The objects of the library are the same: both ways may be used for one archive at once.

``archive`` has the archive, ``instance`` one stream of events, ``threads`` what passes between threads and
the loop. Read ``instance`` first.
"""

from yamcs_archive.aio.archive import AsyncArchive
from yamcs_archive.aio.instance import AsyncInstance

__all__ = ["AsyncArchive", "AsyncInstance"]
