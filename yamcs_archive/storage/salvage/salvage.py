"""Salvage of one instance: all that can be read of it becomes a new instance; what is lost is listed.

1. The source is never changed, and its damage never ends this process: see :mod:`pages`.
2. First everything is read once, which counts what there is and what is lost. Then events are read again,
   commit by commit, and appended to the new instance. At last the new instance is read back and verified.
3. The new instance has a lineage of its own, and commits numbered anew: cursors of the old one are refused.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from yamcs_archive.errors import FormatVersionError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.options import Options
from yamcs_archive.results import Fault, Salvage
from yamcs_archive.storage.disk.directory import CURRENT
from yamcs_archive.storage.disk.lmdb_open import DATA, DATABASES
from yamcs_archive.storage.disk.lmdb_pages import PageError, PageFile
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.format.commits import LINEAGE_BYTES
from yamcs_archive.storage.format.log_segments import ARCHIVE_BYTES
from yamcs_archive.storage.format.meta import (
    FORMAT_VERSION,
    NO_CHECKPOINT,
    ROWS_VERSION,
    Checkpoint,
    Meta,
    first_reader,
)
from yamcs_archive.storage.salvage.commits import Commits
from yamcs_archive.storage.salvage.events import Events
from yamcs_archive.storage.salvage.facts import Facts
from yamcs_archive.storage.salvage.log import saved_records, vectors_of
from yamcs_archive.storage.salvage.losses import Losses
from yamcs_archive.storage.salvage.refill import Refill
from yamcs_archive.storage.salvage.trees import Leaf, Trees


class CancelledError(Exception):
    """The salvage was cancelled: the new instance is not whole."""


def salvage(
    source: Path,
    draft: Path,
    name: str,
    options: Options,
    *,
    progress: Callable[[int, int], None],
    cancelled: Callable[[], bool],
) -> Salvage:
    """Fill the folder ``draft`` of a new instance from that of a damaged one.

    ``progress`` is called with the number of events written so far, and with that of all. Raises
    CancelledError, FormatVersionError, OutOfSpaceError and the errors of writing.
    """
    return _Run(source, draft, name, options, progress=progress, cancelled=cancelled).run()


class _Run:
    def __init__(
        self,
        source: Path,
        draft: Path,
        name: str,
        options: Options,
        *,
        progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
    ) -> None:
        self._source, self._draft, self._name, self._options = source, draft, name, options
        self._progress, self._cancelled = progress, cancelled
        self._losses = Losses()
        self._commits = Commits(self._losses)
        self._facts = Facts(self._losses)
        self._gaps: set[str] = set()
        """Sub-databases of which a tree is broken."""
        self._untimed: list[int] = []
        """Commits whose times are lost."""

    def run(self) -> Salvage:
        began_s = time.monotonic()
        with ExitStack() as files:
            trees = [
                Trees(files.enter_context(file), DATABASES) for file in _files(self._source, self._losses)
            ]
            events = self._read(trees)
            lineage, created = secrets.token_bytes(LINEAGE_BYTES), self._facts.created(self._options.clock())
            meta = Meta(self._name, lineage, created, self._facts.horizon())
            refill = Refill(self._draft, meta, self._options)
            files.callback(refill.close)
            self._write(events, refill)
            failpoint("salvage-written")
            saved = refill.finish(self._facts.sources, self._facts.requests)
            lost, losses = self._settled(refill, saved)
            if refill.verified(self._cancelled) is None:
                raise CancelledError
            failpoint("salvage-verified")
        return Salvage(sum(saved.values()), lost, losses, time.monotonic() - began_s)

    def _go_on(self) -> None:
        if self._cancelled():
            raise CancelledError

    def _read(self, trees: Sequence[Trees]) -> Events:
        """Read everything once; what is needed to judge other values comes first."""
        facts = self._facts
        for name, add in (
            ("meta", facts.add_meta),
            ("sources", facts.add_sources),
            ("commits", self._commits.add),
            ("requests", facts.add_requests),
            ("summaries", facts.add_zone_maps),
        ):
            self._each(trees, name, add)
        found = facts.meta.get("format", FORMAT_VERSION)
        if found not in (ROWS_VERSION, FORMAT_VERSION):
            raise FormatVersionError(str(self._source), found, FORMAT_VERSION, first_reader(facts.meta))
        # Leaves of rows and blocks wait for the records of commits, which may have to be looked for first.
        events = Events(self._losses, self._commits, facts.horizon())
        for name, add in (("rows", events.add_rows), ("blocks", events.add_blocks)):
            self._each(trees, name, add)
        for each in trees:
            self._read_log(each.file.path.parent, events)
        self._note_gaps(trees)
        events.settle_blocks(facts.zone_maps)
        if self._gaps or self._losses.has_events:
            self._read_strays(trees, events)
        else:
            self._commits.settle()
        facts.note_missing()
        return events

    def _read_log(self, folder: Path, events: Events) -> None:
        """Read what the log of a generation has, after the checkpoint of its LMDB."""
        stored = self._facts.meta.get("checkpoint")
        checkpoint = Checkpoint(*stored) if isinstance(stored, list) else NO_CHECKPOINT
        lineage = self._facts.meta.get("lineage")
        archive = lineage[:ARCHIVE_BYTES] if isinstance(lineage, bytes) else None
        for record in saved_records(folder, checkpoint, archive, self._losses):
            if record.carried is not None:
                events.add_young(vectors_of(record.carried.events, record.carried.commits))
            for commit in record.commits:
                self._commits.add_logged(commit.record)
                events.add_young(vectors_of(commit.events, [commit.number] * commit.events.size))
            self._facts.add_logged(record)

    def _read_strays(self, trees: Sequence[Trees], events: Events) -> None:
        """Look through the pages that no tree leads to: there may be older copies of what is lost."""
        facts = (
            ("meta", self._facts.add_meta),
            ("sources", self._facts.add_sources),
            ("commits", self._commits.add),
            ("requests", self._facts.add_requests),
        )
        wanted = [add for name, add in facts if name in self._gaps]
        if wanted:
            self._each_stray(trees, wanted)
        self._commits.settle()
        self._each_stray(trees, [events.add_rows, events.add_blocks])

    def _each_stray(self, trees: Sequence[Trees], adding: Sequence[Callable[[Leaf], None]]) -> None:
        for each in trees:
            for leaf in each.stray_leaves():
                self._go_on()
                for add in adding:
                    add(leaf)

    def _each(self, trees: Sequence[Trees], name: str, add: Callable[[Leaf], None]) -> None:
        for each in trees:
            for leaf in each.leaves(name):
                self._go_on()
                add(leaf)

    def _note_gaps(self, trees: Sequence[Trees]) -> None:
        exact_blocks = self._facts.are_zone_maps_whole and not any(
            gap.database == "summaries" for each in trees for gap in each.gaps
        )
        for each in trees:
            if each.may_be_older:
                reason = "one of its two heads is damaged: the last commit may be missing"
                self._losses.add_range(f"{each.file.path.parent.name}/{DATA}", reason, None, None, None)
                self._gaps.update(DATABASES)
                self._commits.is_whole = False
            for gap in each.gaps:
                self._gaps.add(gap.database)
                if gap.database == "commits":
                    self._commits.is_whole = False
                # Zone maps need no mention: they are made anew. They name the blocks that are missing.
                if gap.database not in ("summaries", "commits", "blocks") or (
                    gap.database == "blocks" and not exact_blocks
                ):
                    self._losses.add_gap(gap)

    def _write(self, events: Events, refill: Refill) -> None:
        done = 0
        for window in events.windows():
            self._go_on()
            refill.store(window, self._time_of)
            done += window.size
            self._progress(done, events.total)

    def _time_of(self, number: int, commit: StoredVectors) -> int:
        found = self._commits.time_of(number)
        if found is None:
            self._untimed.append(number)
            found = int(commit.received.max())
        return found

    def _settled(self, refill: Refill, saved: dict[str, int]) -> tuple[int | None, tuple[Fault, ...]]:
        for first, last in _ranges(self._untimed):
            where = f"commits {first}" if first == last else f"commits {first} to {last}"
            self._losses.add_fact(
                where, "when it was made is lost: the latest reception time is taken for it"
            )
        expected = self._expected()
        missing = None if expected is None else max(0, expected - sum(saved.values()))
        losses = self._losses.settled(refill.has, refill.between, missing)
        if missing is None:
            events_lost = [fault.events for fault in losses if fault.first is not None]
            known = [number for number in events_lost if number is not None]
            if len(known) == len(events_lost) and not self._gaps & {"rows", "blocks"}:
                missing = sum(known)
        return missing, tuple(losses)

    def _expected(self) -> int | None:
        """Return the number of events that there were; None if it is not known.

        The states of sources count no pruned event, whether it is deleted already or not.
        """
        if self._facts.are_sources_whole and "sources" not in self._gaps:
            return sum(state.events for state in self._facts.sources.values())
        whole = self._commits.is_whole and "commits" not in self._gaps and self._facts.horizon() is None
        return self._commits.events if whole else None


def _files(folder: Path, losses: Losses) -> list[PageFile]:
    """Open the files to read: that of the generation in use, or of all if it is not known which one is."""
    names: list[str] = []
    try:
        name = (folder / CURRENT).read_text(errors="replace").strip()
        if (folder / name / DATA).is_file() and "/" not in name:
            names = [name]
    except (OSError, ValueError):
        pass
    if not names:
        names = sorted(found.parent.name for found in folder.glob(f"gen-*/{DATA}"))
        read = ", ".join(names) or "none"
        losses.add_fact(CURRENT, f"it does not name the generation in use; read were {read}")
    files = []
    for name in names:
        try:
            files.append(PageFile(folder / name / DATA))
        except PageError as error:
            losses.add_range(f"{name}/{DATA}", str(error), None, None, None)
    return files


def _ranges(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return rising numbers as ranges, both ends included.

    >>> _ranges([1, 2, 3, 7])
    [(1, 3), (7, 7)]
    """
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = found[-1][0], number
        else:
            found.append((number, number))
    return found
