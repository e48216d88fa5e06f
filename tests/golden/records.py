"""Decodes the values of every sub-database except ``blocks``, by docs/format.md. Uses nothing of the package.

Each is checked alone here; :mod:`tests.golden.agreement` compares them with each other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from tests.golden.blocks import SEVERITIES, Stored
from tests.golden.values import (
    Key,
    Met,
    array,
    binary,
    body,
    decoded,
    event_key,
    extra_of,
    hold,
    integers,
    text,
    text_or_nil,
    whole,
)

FORMATS = (1, 2)
ROWS_FORMAT = 1
"""The version in which events outside of blocks are rows."""
LINEAGE_BYTES, HASH_BYTES, DIGEST_BYTES = 8, 4, 16
NAMES_MAX = 16
META = {"format", "instance", "lineage", "created", "horizon", "horizon_commit"}
"""The names that ``meta`` has in each archive of version 1."""
META_2 = META | {"reader", "checkpoint"}
"""Those of version 2."""
ROW_VALUES_MIN = 4
ROW_DEFAULTS: tuple[Any, ...] = (None, None, b"", {})
"""The defaults of type, created_by, extensions and extra."""
SINGLE, SEVERAL = 0, 1


class Source(NamedTuple):
    """The record of a source."""

    events: int
    greatest_number: int | None
    greatest_time: int | None
    duplicates: int
    conflicts: int
    expired: int


class Summary(NamedTuple):
    """A summary of a block or a group."""

    level: int
    first: Key
    last: Key
    last_key: bytes
    """The stored bytes of ``last``."""
    events: int
    names: tuple[bytes, ...] | None
    """None if there are hashes instead."""
    hashes: tuple[bytes, ...]
    severities: int
    lowest_commit: int
    greatest_commit: int
    counts: tuple[int, ...] | None
    """The number of events of each severity; None if there are no counts."""


class Commit(NamedTuple):
    """A commit, and the runs of its record."""

    number: int
    time: int
    events: int
    runs: tuple[tuple[Key, Key], ...]


class Request(NamedTuple):
    """The record of a request."""

    user: str
    id: str
    time: int
    digest: bytes
    event: Key


def meta(pairs: Mapping[bytes, bytes], met: Met) -> dict[str, Any]:
    """Return the facts of an instance."""
    found = {decoded(key): body("meta", key, value) for key, value in pairs.items()}
    hold(found.get("format") in FORMATS, f"format is {found.get('format')!r}")
    names = META if found["format"] == ROWS_FORMAT else META_2
    hold(found.keys() - {"mirrored"} == names, f"meta has {sorted(found)}")
    if found["format"] != ROWS_FORMAT:
        stored, carried = (whole(number, 0) for number in array(found["checkpoint"], 3)[:2])
        whole(found["checkpoint"][2], -1)
        hold(carried == 0 or carried > stored, f"the checkpoint is {found['checkpoint']}")
        hold(re.fullmatch("[0-9][0-9A-Za-z.]{0,30}", text(found["reader"])) is not None, "no reader")
        met.add("meta: checkpoint of nothing" if stored == 0 else "meta: checkpoint")
    text(found["instance"])
    hold(len(binary(found["lineage"])) == LINEAGE_BYTES, "the lineage is not 8 bytes")
    whole(found["created"])
    whole(found["horizon_commit"], 0)
    if found["horizon"] is None:
        hold(found["horizon_commit"] == 0, "there is a commit before no horizon")
        met.add("meta: horizon nil")
    else:
        whole(found["horizon"])
        met.add("meta: horizon" if found["horizon_commit"] else "meta: horizon before all that is stored")
    if "mirrored" in found:
        url, instance, cursor = array(found["mirrored"], 3)
        text(url), text(instance), text_or_nil(cursor)
        met.add("meta: mirrored, no cursor" if cursor is None else "meta: mirrored, a cursor")
    else:
        met.add("meta: not mirrored")
    return found


def source(key: bytes, value: bytes, met: Met) -> tuple[bytes, Source]:
    """Return a source and its record."""
    hold(len(key) > 0 and 0 not in key, f"{key.hex()} is no source")
    decoded(key)
    return key, source_of(key, body("sources", key, value), met)


def source_of(key: bytes, state: Any, met: Met) -> Source:
    """Return the record of a source."""
    found = Source(*array(state, 6))
    for count in (found.events, *found[3:]):
        whole(count, 0)
    if found.greatest_number is None or found.greatest_time is None:
        nothing = found[:3] == (0, None, None)
        hold(nothing, f"source {key!r} has events and nothing greatest, or only one of the two")
        met.add("source: nil")
    else:
        whole(found.greatest_number, -(2**31), 2**31 - 1)
        whole(found.greatest_time)
        met.add("source: greatest")
    met.update(f"source: {name}" for name in ("duplicates", "conflicts", "expired") if getattr(found, name))
    return found


def row(key: bytes, value: bytes, met: Met) -> Stored:
    """Return the event of a row."""
    parts = event_key(key, met)
    values = array(body("rows", key, value))
    size = len(values)
    hold(ROW_VALUES_MIN <= size <= ROW_VALUES_MIN + len(ROW_DEFAULTS), f"a row has {size} values")
    given = values[ROW_VALUES_MIN:]
    hold(not given or given[-1] != ROW_DEFAULTS[len(given) - 1], f"row {key.hex()} ends with a default")
    met.add(f"row: {size} values")
    met.update(
        f"row: {name} before others"
        for name, one, default in zip(("type", "user", "extensions"), given[:-1], ROW_DEFAULTS, strict=False)
        if one == default
    )
    commit, delay, severity, message = values[:ROW_VALUES_MIN]
    kind, user, extensions, extra = (*given, *ROW_DEFAULTS[len(given) :])
    met.add(f"row: {SEVERITIES[whole(severity, 0, len(SEVERITIES) - 1)]}")
    met.add("row: received before it was generated" if whole(delay) < 0 else "row: received later")
    return Stored(
        parts,
        whole(commit, 1),
        whole(parts.time + delay),
        severity,
        text(message),
        text_or_nil(kind),
        text_or_nil(user),
        binary(extensions),
        extra_of(extra),
    )


def summary(key: bytes, value: bytes, met: Met) -> Summary:
    """Return a summary."""
    hold(key[:1] in (b"\0", b"\1"), f"a summary is of level {key[:1].hex()}")
    values = array(body("summaries", key, value))
    hold(len(values) in (6, 7), f"a summary has {len(values)} values")
    last_key, events, sources, severities, lowest, greatest = values[:6]
    met.add(f"summary: {'with' if values[6:] else 'without'} counts of severities")
    counts = _counts(values[6], whole(events, 1)) if values[6:] else None
    names, hashes = _sources(binary(sources))
    whole(severities, 1, 2 ** len(SEVERITIES) - 1)
    form = "hashes" if names is None else f"{NAMES_MAX} names" if len(names) == NAMES_MAX else "names"
    met.add(f"summary: level {key[0]}, {form}")
    return Summary(
        key[0],
        event_key(key[1:], met),
        event_key(last_key, met),
        last_key,
        whole(events, 1),
        names,
        hashes,
        severities,
        whole(lowest, 1),
        whole(greatest, lowest),
        counts,
    )


def _counts(counts: Any, events: int) -> tuple[int, ...]:
    """Return the counts of severities of a summary."""
    found = tuple(whole(count, 0) for count in array(counts, len(SEVERITIES)))
    hold(sum(found) == events, f"a summary of {events} events counts {sum(found)} by severity")
    return found


def _sources(packed: bytes) -> tuple[tuple[bytes, ...] | None, tuple[bytes, ...]]:
    """Return the names of a summary's sources, or else their hashes."""
    if packed[:1] == b"\1":
        hold(len(packed) % HASH_BYTES == 1 and len(packed) > 1, "hashes of sources are cut off")
        hashes = tuple(packed[at : at + HASH_BYTES] for at in range(1, len(packed), HASH_BYTES))
        hold(hashes == tuple(sorted(set(hashes))), "hashes of sources are not in order, each once")
        return None, hashes
    hold(len(packed) > 2 and packed[0] == packed[-1] == 0, "there is no NUL before and after the sources")
    names = tuple(packed[1:-1].split(b"\0"))
    hold(all(names) and names == tuple(sorted(set(names))), "names of sources are not in order, each once")
    hold(len(names) <= NAMES_MAX, f"a summary has {len(names)} names of sources")
    return names, ()


def commits(key: bytes, value: bytes, met: Met) -> list[Commit]:
    """Return the commits of a record."""
    hold(len(key) == 8, f"{key.hex()} is no commit's number")
    first = int.from_bytes(key, "big")
    values = array(body("commits", key, value))
    hold(bool(values), f"the record of commit {first} is empty")
    kind, *rest = values
    if kind == SINGLE:
        time, events, packed = array(rest, 3)
        times, counts, name = [whole(time)], [whole(events, 1)], "commit"
    else:
        hold(kind == SEVERAL, f"the record of commit {first} is of kind {kind!r}")
        count, first_time, deltas, packed_counts, packed = array(rest, 5)
        steps = integers(deltas, whole(count, 1) - 1, met)
        times = list(accumulate(steps, initial=whole(first_time)))
        counts, name = [whole(each, 1) for each in integers(packed_counts, count, met)], "commits"
    runs = tuple(_run(run, name, met) for run in array(packed))
    rising = all(one[1] < other[0] for one, other in pairwise(runs))
    hold(bool(runs) and rising, f"the runs of commit {first} are not in order, or overlap")
    met.add(f"{name}: one run" if len(runs) == 1 else f"{name}: several runs")
    return [Commit(first + at, times[at], counts[at], runs) for at in range(len(times))]


def _run(run: Any, name: str, met: Met) -> tuple[Key, Key]:
    if type(run) is bytes:
        met.add(f"{name}: a run of one key")
        return (event_key(run, met),) * 2
    begin, end = (event_key(part, met) for part in array(run, 2))
    hold(begin < end, "a run of two keys does not rise")
    met.add(f"{name}: a run of two keys")
    return begin, end


def request(key: bytes, value: bytes, met: Met) -> Request:
    """Return the record of a request."""
    user, nul, name = key.partition(b"\0")
    hold(bool(nul and name) and 0 not in name, f"{key.hex()} is no user, NUL and id")
    time, digest, events = array(body("requests", key, value), 3)
    hold(len(binary(digest)) == DIGEST_BYTES, "a digest is not 16 bytes")
    met.add("request: a user" if user else "request: no user")
    stem, slash, position = decoded(name).rpartition("/")
    if stem and slash and position.isdecimal():
        met.add("request: of several events")
    else:
        met.add("request: of one event")
    return Request(decoded(user), decoded(name), whole(time), digest, event_key(array(events, 1)[0], met))
