"""Every form of docs/format.md, by its sections. The golden archives must contain all of them.

The second reader records the name of each form that it reads. A name that is missing here, or a form that no
archive has, fails a test.
"""

from __future__ import annotations

_WIDTHS = (1, 2, 4, 8)
_FIRST_BYTES = (*_WIDTHS, *(128 + width for width in _WIDTHS))
_SEVERITIES = ("INFO", "WATCH", "WARNING", "DISTRESS", "CRITICAL", "SEVERE", "ERROR")
_ROWS = {
    *(f"row: {count} values" for count in range(4, 9)),
    *(f"row: {severity}" for severity in _SEVERITIES),
    "row: type before others",
    "row: user before others",
    "row: extensions before others",
    "row: received before it was generated",
    "row: received later",
}
EARLIER = {
    "summary: without counts of severities",
    "group: counts more events",
    "source: with pruned events",
    "rows: between the keys of a block",
    "request: its event is a row",
    *_ROWS,
}
"""Forms of version 1, which are read and no longer written."""
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
        f"empty: {name}"
        for name in ("sources", "rows", "blocks", "summaries", "commits", "requests", "texts")
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
        "meta: checkpoint",
        "meta: checkpoint of nothing",
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
        "source: without pruned events",
        "source: with pruned events",
    },
    "rows": {*_ROWS, "rows: between the keys of a block"},
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
    "texts": {
        *(f"texts: level {level}, {form}" for level in (0, 1) for form in ("bits", "anything")),
        "texts: none of a block or a group",
    },
    "commits": {
        *(
            f"{kind}: {form}"
            for kind in ("commit", "commits")
            for form in ("one run", "several runs", "a run of one key", "a run of two keys")
        ),
        "commit: events of others within a run",
        "commits: a gap before the horizon's commit",
    },
    "requests": {
        "request: no user",
        "request: a user",
        "request: of one event",
        "request: of several events",
        "request: its event is a row",
        "request: its event is young",
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
    "The commit log": {
        "log: no segment",
        "log: one segment",
        "log: several segments",
        "log: a record that LMDB has",
        "log: an event between the keys of a block",
    },
    "A segment": {
        "log: a segment without a header",
        "log: a torn header",
        "log: a segment without a predecessor",
        "log: a predecessor",
        "log: bytes that the next segment leaves out",
    },
    "A record": {
        "record: no commit",
        "record: one commit",
        "record: several commits",
        "record: one run",
        "record: several runs",
        "record: requests",
        "record: facts",
        "record: carried",
        "record: carried, after another one",
        "record: carried, not named",
    },
    "Columns": {
        "columns: one event",
        "columns: several events",
        *(f"columns: {severity}" for severity in _SEVERITIES),
        "columns: one value",
        "columns: nil for all",
        "columns: nil among others",
        "columns: codes of a byte",
        "columns: codes of a byte, 256 values",
        "columns: codes of four bytes",
        *(f"columns: {column}{nil}" for column in ("extensions", "extra") for nil in ("", " nil")),
    },
    "The acknowledged end": {
        "log: an acknowledged end",
        "log: no acknowledged end",
        "log: acknowledged up to its end",
        "log: more than acknowledged",
    },
    "The end of the log": {"log: torn", "log: zeros behind its end", "log: nothing behind it"},
}
