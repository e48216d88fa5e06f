"""Salvage: all that is readable of a damaged instance, written to a new one.

The source is read without LMDB: LMDB reads its file through memory, where a damaged page, a page beyond the
end or a failing medium may end the process. ``disk.lmdb_pages`` reads the pages one by one, ``trees``
follows their trees and, where a tree is broken, looks for its values in all other pages. ``events`` decodes
what was found and notes what was lost, ``facts`` does so for commits, sources, request ids and the instance's
own facts, ``refill`` writes the new instance, and ``salvage`` does all of that for one instance. Start with
``salvage``.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
