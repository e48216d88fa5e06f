"""A second reader of the format, written from docs/format.md alone. It uses nothing of the package.

:mod:`~tests.golden.values`, :mod:`~tests.golden.blocks`, :mod:`~tests.golden.records`,
:mod:`~tests.golden.texts` and :mod:`~tests.golden.log` decode;
:mod:`~tests.golden.agreement` compares the results. Anything that breaks a rule of the page is a BrokenError.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import lmdb

from tests.golden import log, records
from tests.golden.agreement import BLOCK_LEVEL, GROUP_LEVEL, Held, check
from tests.golden.blocks import SEVERITIES, Stored, block
from tests.golden.records import Summary
from tests.golden.texts import text_filter
from tests.golden.values import BrokenError, Key, Met, decoded, hold

NAMES = ("meta", "sources", "rows", "blocks", "summaries", "commits", "requests", "texts")
"""Every sub-database."""
LATER = {"texts"}
"""Those that version 1 may lack."""
_OUTSIDE = {1: "rows", 2: "young"}
"""What events outside of blocks are, by format version."""
MARKER = "yamcs_archive directory, layout 1\n"
LEFTOVERS = (
    (re.compile(r"gen-[1-9][0-9]*"), "directory: a generation that is not in use"),
    (re.compile(r"\.gen-[1-9][0-9]*\.old"), "directory: a generation that was being removed"),
    (re.compile(r"\.CURRENT\.new"), "directory: a draft of CURRENT"),
    (re.compile(r"import\.json"), "directory: an unfinished import"),
)


def instances(archive: Path, met: Met | None = None) -> list[Path]:
    """Return the folders of the instances of an archive."""
    hold((archive / "ARCHIVE").read_text() == MARKER, "ARCHIVE says something else")
    folders = sorted(entry for entry in archive.iterdir() if entry.is_dir())
    if met is not None and any(folder.name.startswith(".") for folder in folders):
        met.add("directory: an instance that is not whole")
    return [folder for folder in folders if not folder.name.startswith(".")]


def read(instance: Path, met: Met | None = None) -> dict[str, Any]:
    """Return the content of an instance, as plain values; the names of its forms are added to ``met``."""
    met = set() if met is None else met
    generation = _generation(instance, met)
    held = _held(_pairs(generation), generation, met)
    check(held, met)
    events = [event for event in held.events() if not held.is_pruned(event.key)]
    if held.meta["instance"] != instance.name:
        met.add("directory: an instance that was renamed")
    return {
        "meta": held.meta,
        "sources": {decoded(name): [*source] for name, source in held.sources.items()},
        "events": [_event(event) for event in events],
        "forms": {_OUTSIDE[held.meta["format"]]: len(held.rows + held.young), "blocks": len(held.blocks)},
        "summaries": [_summary(each) for each in held.summaries if each.level == BLOCK_LEVEL],
        "groups": [
            [_key(each.first), *_summary(each)] for each in held.summaries if each.level == GROUP_LEVEL
        ],
        "commits": [
            {
                "number": commit.number,
                "time": commit.time,
                "events": [_key(event.key) for event in events if event.commit == commit.number],
            }
            for commit in held.commits
        ],
        "requests": [
            [each.user, each.id, each.time, each.digest, _key(each.event)] for each in held.requests
        ],
    }


def _generation(instance: Path, met: Met) -> Path:
    """Return the generation in use."""
    found = re.fullmatch(r"(gen-([1-9][0-9]*))\n", (instance / "CURRENT").read_text())
    if found is None:
        raise BrokenError("CURRENT names no generation")
    met.add("directory: the first generation" if found[2] == "1" else "directory: a later generation")
    for entry in instance.iterdir():
        if entry.name != found[1]:
            met.update(form for pattern, form in LEFTOVERS if pattern.fullmatch(entry.name))
    return instance / found[1]


def _pairs(generation: Path) -> dict[str, list[tuple[bytes, bytes]]]:
    """Return the keys and values of each sub-database."""
    path = str(generation)
    with (
        lmdb.open(path, readonly=True, create=False, max_dbs=len(NAMES), lock=False) as environment,
        environment.begin() as transaction,
    ):
        names = {key.decode() for key, _ in transaction.cursor()}
        hold(set(NAMES) - LATER <= names <= set(NAMES), f"the sub-databases are {sorted(names)}")
        databases = {
            name: environment.open_db(name.encode(), txn=transaction, create=False) for name in names
        }
        return {name: list(transaction.cursor(database)) for name, database in databases.items()}


def _held(pairs: dict[str, list[tuple[bytes, bytes]]], generation: Path, met: Met) -> Held:
    """Decode all sub-databases, and the log."""
    met.update(f"empty: {name}" for name, found in pairs.items() if not found)
    sources = dict(records.source(*pair, met) for pair in pairs["sources"])
    rows = [records.row(*pair, met) for pair in pairs["rows"]]
    commits = [commit for pair in pairs["commits"] for commit in records.commits(*pair, met)]
    facts, requests = dict(pairs["meta"]), dict(pairs["requests"])
    meta = records.meta(facts, met)
    hold("texts" in pairs or meta["format"] == records.ROWS_FORMAT, "there is no sub-database texts")
    young: list[Stored] = []
    if meta["format"] != records.ROWS_FORMAT:
        hold(not rows, "there are rows in version 2")
        for record in log.records(generation, meta["checkpoint"], meta["lineage"], met):
            young += record.carried or record.events
            commits += record.commits
            sources |= record.sources
            facts |= record.facts
            requests |= record.requests
    return Held(
        records.meta(facts, met),
        sources,
        rows,
        young,
        [block(*pair, met) for pair in pairs["blocks"]],
        [records.summary(*pair, met) for pair in pairs["summaries"]],
        commits,
        [records.request(*pair, met) for pair in sorted(requests.items())],
        [text_filter(*pair, met) for pair in pairs.get("texts", [])],
    )


def _key(key: Key) -> list[Any]:
    return [key.time, decoded(key.source), key.number]


def _event(event: Stored) -> dict[str, Any]:
    return {
        "time": event.key.time,
        "source": decoded(event.key.source),
        "number": event.key.number,
        "commit": event.commit,
        "reception": event.reception,
        "severity": SEVERITIES[event.severity],
        "message": event.message,
        "type": event.type,
        "user": event.user,
        "extensions": event.extensions.hex(),
        "extra": event.extra,
    }


def _summary(summary: Summary) -> list[Any]:
    """Return a summary without its key, with the names of its sources or their hashes."""
    sources = [*summary.hashes] if summary.names is None else [decoded(name) for name in summary.names]
    counts = [] if summary.counts is None else [[*summary.counts]]
    return [summary.last_key, summary.events, sources, *summary[-4:-1], *counts]
