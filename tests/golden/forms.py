"""Every form of docs/format.md, by its sections. The golden archives must contain all of them.

The second reader records the name of each form that it reads. A name that is missing here, or a form that no
archive has, fails a test.
"""

from __future__ import annotations

_WIDTHS = (1, 2, 4, 8)
_FIRST_BYTES = (*_WIDTHS, *(128 + width for width in _WIDTHS))
_SEVERITIES = ("INFO", "WATCH", "WARNING", "DISTRESS", "CRITICAL", "SEVERE", "ERROR")

EARLIER = {"summary: without counts of severities", "group: counts more events"}
"""Forms of versions before the first release, which are read and no longer written."""
FORMS = {
    "The directory": {
        "directory: the first generation",
        "directory: a later generation",
        "directory: a generation that is not in use",
        "directory: a generation that was being removed",
        "directory: a draft of CURRENT",
        "directory: an unfinished import",
        "directory: an instance that is not whole",
        "directory: an instance that was renamed",
    },
    "Sub-databases": {
        f"empty: {name}" for name in ("sources", "rows", "blocks", "summaries", "commits", "requests")
    },
    "Event key": {
        "key: time before 1970",
        "key: time from 1970 on",
        "key: number below 0",
        "key: number from 0 on",
        "key: source of ASCII",
        "key: source beyond ASCII",
    },
    "meta": {
        "meta: horizon nil",
        "meta: horizon",
        "meta: horizon before all that is stored",
        "meta: not mirrored",
        "meta: mirrored, no cursor",
        "meta: mirrored, a cursor",
        "pruned: still stored",
        "pruned: gone",
    },
    "sources": {
        "source: nil",
        "source: greatest",
        "source: duplicates",
        "source: conflicts",
        "source: expired",
    },
    "rows": {
        *(f"row: {count} values" for count in range(4, 9)),
        *(f"row: {severity}" for severity in _SEVERITIES),
        "row: type before others",
        "row: user before others",
        "row: extensions before others",
        "row: received before it was generated",
        "row: received later",
        "rows: between the keys of a block",
    },
    "summaries": {
        "summary: level 0, names",
        "summary: level 0, 16 names",
        "summary: level 0, hashes",
        "summary: level 1, names",
        "summary: level 1, 16 names",
        "summary: level 1, hashes",
        "summary: with counts of severities",
        "summary: without counts of severities",
        "group: as many events",
        "group: counts more events",
        "group: blocks in none",
    },
    "commits": {
        *(
            f"{kind}: {form}"
            for kind in ("commit", "commits")
            for form in ("one run", "several runs", "a run of one key", "a run of two keys")
        ),
        "commit: events of others within a run",
    },
    "requests": {
        "request: no user",
        "request: a user",
        "request: of one event",
        "request: of several events",
        "request: its event is a row",
        "request: its event is in a block",
        "request: its event is gone",
        "request: a time was given",
        "request: no time was given",
        "request: a number was given",
        "request: no number was given",
    },
    "A block": {
        "block: one part",
        "block: two parts",
        "block: one event",
        "block: several events",
    },
    "Key frame": {f"block: {severity}" for severity in _SEVERITIES},
    "Body frame": {
        "block: reception times",
        "block: reception delays",
        *(f"block: {column}" for column in ("types", "users", "extensions", "extra")),
        *(f"block: {column} nil" for column in ("types", "users", "extensions", "extra")),
    },
    "A message chunk": {
        "block: one chunk",
        "block: several chunks",
        "block: messages in another order than events",
        "chunk: full",
        "chunk: fewer",
        "chunk: plain",
        "chunk: plain, with text beyond ASCII",
        "chunk: not plain",
    },
    "Integers": {
        "integers: none",
        "integers: 0",
        *(f"integers: {first}" for first in _FIRST_BYTES),
        *(f"integers: {first}, below 0" for first in _FIRST_BYTES),
    },
    "An index": {"index: bytes", "index: bytes, 256 entries", "index: integers"},
    "Texts": {"texts: nil", "texts: a table with nil", "texts: a table without nil"},
}
