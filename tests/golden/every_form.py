"""Writes an archive that has every form of :mod:`tests.golden.forms`, and is as small as possible.

Bounds of the package that are not part of the format are made small for it: a group has two blocks, a message
chunk 20 messages, a record of several commits 300 events. Forms that the package cannot write (a prune
horizon, the remains of a crash) are written by hand. The values are the same each time.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.golden import log_forms
from tests.storage.by_hand import change_meta
from yamcs_archive import Archive, ConflictError, Event, ExpiredError, Options, Severity
from yamcs_archive.instance import Instance
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN, TIME_MAX_US, TIME_MIN_US
from yamcs_archive.results import MirrorState
from yamcs_archive.storage.format import messages
from yamcs_archive.storage.maintain import commit_packing, groups, pruning

_SEVERITIES = tuple(Severity)
_WIDE, _FULL, _COLUMNS, _SOURCES, _WIDTHS = -(10**15), -(10**14), 0, 10**9, 10**12
"""The first time of the events of each kind of block, in microseconds since 1970."""
_MANY = 2**10
"""An option value that keeps all events in rows: so many new events in a row do not occur here."""
_RENAMED = "begun.before-20260101T000000Z"


class _Writing:
    """An archive that is opened and written several times, with one clock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._clock = itertools.count(1_767_225_600_000_000, 1_000)

    @contextmanager
    def instance(
        self, name: str, *, block_events_max: int = 1, run_events_min: int = _MANY
    ) -> Iterator[Instance]:
        """Open an instance, created if it is missing, and close it again."""
        options = Options(
            block_events_max=block_events_max,
            run_events_min=run_events_min,
            maintenance=False,
            map_bytes=1 << 20,
            clock=lambda: next(self._clock),
        )
        with Archive.open(self.directory, options=options) as archive:
            instance = archive.instance(name, create=True)
            next(self._clock)  # each opening asked the clock once when the archive was written
            yield instance

    def create(self, name: str) -> None:
        """Create an instance whose lineage is not random."""
        with (
            patch.object(secrets, "token_bytes", lambda size: name.encode().ljust(size)),
            self.instance(name),
        ):
            pass

    def block(self, name: str, events: Iterable[Event]) -> None:
        """Store events as one block of their own, to which nothing is added later."""
        given = list(events)
        with self.instance(name, block_events_max=len(given), run_events_min=len(given)) as instance:
            instance.append_many(given)


def fill(directory: Path) -> None:
    """Write every form."""
    writing = _Writing(directory)
    with (
        patch.object(messages, "CHUNK_MESSAGES", 20),
        patch.object(groups, "GROUP_BLOCKS_MAX", 2),
        patch.object(commit_packing, "PACK_EVENTS_MAX", 300),
    ):
        for name in ("forms", "pruned", "mirror", "begun", *log_forms.NAMES):
            writing.create(name)
        _fill_blocks(writing)
        _fill_beside_blocks(writing)
        with writing.instance("forms") as forms:
            forms.compact()  # which makes the second generation
        _fill_outside_blocks(writing)
        _fill_pruned(writing)
        _fill_mirrors(writing)
        log_forms.fill(directory, partial(writing.instance, block_events_max=20))
    _leave_behind(directory)


def _event(message: str, source: str, time: int, number: int | None, delay: int = 0, **more: Any) -> Event:
    """Return an event with all of its times."""
    return Event(
        message, source=source, generation_time=time, seq_number=number, reception_time=time + delay, **more
    )


def _fill_blocks(writing: _Writing) -> None:
    """Write blocks in the order of their keys, so that none is merged into an earlier one."""
    for start, count in ((_WIDE, 257), (_FULL, 256)):
        writing.block(
            "forms",
            (
                _event("", f"W{n}", start + n, n, type=f"type {n}", created_by=f"user {n}")
                for n in range(count)
            ),
        )
    texts = ("Höhe \U0001f680", "Straße", '"\\/\0\n\x1f\x7f', "ﬁ", "")
    writing.block(
        "forms",
        (
            _event(
                f"{texts[n % 3 and n % 5]} {n}",
                ("Größe", "S1", "S2")[n % 3],
                _COLUMNS + 10 * n,
                7 - n,
                delay=n % 4,
                severity=_SEVERITIES[n % 7],
                type=("", "T", None)[n % 3],
                created_by=(None, "me")[n % 2],
                extensions=bytes.fromhex("a00601") if n == 5 else b"",
                extra={"unit": "V", "": ""} if n == 6 else {},
            )
            for n in range(40)
        ),
    )
    writing.block(
        "forms",
        (
            Event(f"ö {n}", source="S1", generation_time=_COLUMNS + 1000 + n, reception_time=5)
            for n in range(41)
        ),
    )
    for nth, count in enumerate((17, 16, 16, 16)):
        start = _SOURCES + 1000 * nth
        writing.block("forms", (_event("a", f"W{n}", start + n, 1000 + nth) for n in range(count)))
    # The greatest value that needs each width, once as it is and once in thousands.
    time = _WIDTHS
    for unit, width in itertools.product((1, 1000), (1, 2, 4, 8)):
        step = unit * ((1 << (8 * width - 1)) - 1 if width < 8 else 1 << 31)
        first, middle, last = time, time + unit, time + unit + step
        writing.block(
            "forms",
            (
                _event("b", "E", at, number, delay)
                for at, number, delay in ((first, 3, -unit), (middle, 2, -step - unit), (last, 1, 0))
            ),
        )
        time = last + 1_000_000
    with writing.instance("forms") as forms:
        forms.settle()  # closes groups, makes records of several commits


def _fill_beside_blocks(writing: _Writing) -> None:
    """Write late events (a late part, a block within a group), and requests whose events are in blocks."""
    with writing.instance("forms") as forms:
        for n, text in enumerate(("late", "später")):
            forms.append(
                _event(text, "L", _COLUMNS + 20 * n + 5, n, severity=Severity.WATCH, type=("T", None)[n])
            )
        forms.settle()
    writing.block("forms", (_event("within a group", "L", _COLUMNS + 900 + n, 10 + n) for n in range(3)))
    with writing.instance("forms") as forms:
        forms.append(Event("asked", source="Q", generation_time=_SOURCES + 9000), request_id="boot")
        forms.append_many(
            [
                Event("asked", source="Q", created_by="né"),
                Event("asked", source="Q", extra={"b": "", "aa": "é"}),
            ],
            request_id="a/ü",
        )
        forms.settle()


def _fill_outside_blocks(writing: _Writing) -> None:
    """Write young events with every field missing, and commits of their own."""
    fields: tuple[dict[str, Any], ...] = (
        {},
        {"type": ""},
        {"created_by": "me"},
        {"extensions": b"\xa0\6\1"},
        {"extra": {"": ""}},
        {"type": "T", "created_by": "me", "extensions": b"\xa0\6\1", "extra": {"a": "ß"}},
        {"type": "T", "created_by": "me"},
    )
    with writing.instance("forms") as forms:
        for n, more in enumerate(fields):
            forms.append(_event(f"row {n}", "R", _COLUMNS + 5 + n, n, 1 - n, severity=_SEVERITIES[n], **more))
        forms.append(_event("first", "é" * 127 + "x", TIME_MIN_US, SEQ_NUMBER_MIN))
        forms.append(_event("last", "R", TIME_MAX_US, SEQ_NUMBER_MAX))
        # One commit, around another one's rows and beside a block.
        forms.append(_event("between", "R", _COLUMNS - 50, 50))
        forms.append_many([_event("around", "R", _COLUMNS - at, 100 + at) for at in (90, 80, 70, 40)])
        forms.append_many([_event("two", "R", _COLUMNS - at, 100 + at) for at in (200, 190)])
        kept = _event("met", "Q", _SOURCES - 1, 70)
        forms.append(kept)
        forms.append(kept, request_id="met as a retry")
        forms.append(kept, request_id="met as a retry")
        try:
            forms.append(_event("other", "Q", _SOURCES - 1, 70), request_id="a conflict")
        except ConflictError:
            return
    raise AssertionError("two events have one key")


def _fill_pruned(writing: _Writing) -> None:
    """Write a horizon, and before it an event that is still stored, and some that are gone.

    Pruning ends before it cuts the block around the horizon, as after a crash.
    """
    horizon = 3_000_000
    with writing.instance("pruned", block_events_max=3, run_events_min=5) as pruned:
        pruned.append(_event("first", "P", -1, 51))
        pruned.append_many([_event("a", "P", n * 1_000_000, n) for n in range(5)], request_id="block")
        pruned.append(_event("gone", "P", 1, 50), request_id="gone")
        pruned.append(_event("kept", "P", horizon, 6))
        with patch.object(pruning.Deletion, "_cut"):
            pruned.prune(before=horizon)
    with writing.instance("pruned") as pruned:
        for source in ("P", "N"):  # N never had an event
            try:
                pruned.append(_event("expired", source, horizon - 1, 7))
            except ExpiredError:
                continue
            raise AssertionError("an event before the horizon was stored")


def _fill_mirrors(writing: _Writing) -> None:
    """Write two mirrors of the pruned instance: one in step, and one without events."""
    url = "http://127.0.0.1:8090"
    with writing.instance("pruned") as pruned:
        commits = list(pruned.commits())
    with writing.instance("mirror") as mirror:
        mirror.take_over(commits, MirrorState(url, "pruned", commits[-1].cursor))
    change_meta(writing.directory / "mirror", horizon=-1)
    with writing.instance("begun") as begun:
        begun.take_over([], MirrorState(url, "pruned", None))
    (writing.directory / "begun").rename(writing.directory / _RENAMED)


def _leave_behind(directory: Path) -> None:
    """Write the remains of crashes, and an unfinished import."""
    for name, content in (
        ("forms/gen-3/data.mdb", "half a copy"),
        ("forms/.gen-1.old/data.mdb", "half removed"),
        ("forms/.CURRENT.new", "gen-3\n"),
        ("forms/import.json", "{}\n"),
        (".half.new/CURRENT", "gen-1\n"),
    ):
        (directory / name).parent.mkdir(exist_ok=True)
        (directory / name).write_text(content)
