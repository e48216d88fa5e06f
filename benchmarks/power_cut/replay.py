"""Records the lives of an archive, replays the record, and opens what a power cut may have left of it.

1. Each life but the last is killed within an action, so that the next one finds a page cache that is ahead of
   the medium. The states are those of a cut at any later point. In some records that action has failed: the
   page cache has it, and no later sync brings it to the medium.
2. A state is compared with the ledger as it was at the cut: what was acknowledged by then is there, what was
   offered is there whole or not at all. Then some of them take more events, and are compared once more.
3. Each is opened in a fork: what LMDB finds in a damaged page may end the process.
"""

from __future__ import annotations

import gc
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.crash.comparison import compare, copies_of
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.lives import INSTANCE
from benchmarks.crash.offers import Note, unframed
from benchmarks.crash.operations import AFTER_A_START
from benchmarks.crash.worker import Book, Worker
from benchmarks.forks import Died, Raised, in_fork
from benchmarks.pieces import Piece
from benchmarks.power_cut.medium import Medium
from benchmarks.power_cut.recording import Entry, build, entries, record
from benchmarks.power_cut.states import State, choosers
from benchmarks.power_cut.worker import ARCHIVE
from yamcs_archive import Archive, Options
from yamcs_archive.storage.disk import boot

_LIVES_MAX = 3
_DEATHS = {"W": 150, "D": 20, "S": 110, "w": 60, "s": 60}
"""The actions within which a life may kill itself, and which one of each at the latest. Few lives have fewer:
those that were counted wrote 134 to 517 times, of which 64 to 89 to the log, and 20 to 80 heads.
"""
_FAILING = ("D", "w", "s")
"""Those that may have failed: writes of heads, and writes and syncs of the log."""
_OPERATIONS = 80
_PENDING_MAX = 8
_STATES_EACH = 5
"""About how many different states one point of a record has."""
_TAKES_MORE_SHARE, _READONLY_SHARE = 0.25, 0.1
_FAILS_SHARE = 0.5
"""Share of the records whose lives are killed within actions that have failed."""
_CHECK_S_MAX = 60
_OPTIONS = Options(maintenance=False, map_bytes=1 << 30)


@dataclass(frozen=True)
class Recorded:
    """A record to be made and replayed."""

    seed: int
    size: int
    """Number of its states."""

    @property
    def name(self) -> str:
        """Its name in a state file."""
        return str(self.seed)

    @property
    def command(self) -> str:
        """The command that makes it again."""
        return f"python -m benchmarks.power_cut --seed {self.seed} --states {self.size}"


def make(recorded: Recorded, scratch: Path) -> Piece:
    """Record some lives and check the states; stop after the first state with a fault, and leave it."""
    piece = Piece(recorded.size, recorded.command)
    rng = Random(f"power cut {recorded.seed}")
    root, log = scratch / "root", scratch / "record"
    root.mkdir()
    library = build(scratch)
    fails, ends = drawn(rng)
    for life, die_in in enumerate(ends):
        arguments = (root, log, recorded.seed, life, _OPERATIONS)
        ended = record(library, root, log, arguments, die_in)
        if ended not in ((0, -signal.SIGKILL) if die_in else (0,)):
            piece.faults.append(f"the recorded program ended with {ended}")
            return piece
    whole = list(entries(log))
    if fails:
        whole, failed = without_failed(whole)
        piece.count("all", {"writes that failed": failed})
    piece.count("all", {"records": 1, "lives": len(ends), "entries": len(whole)})
    shutil.rmtree(root)
    log.unlink()
    gc.collect()
    gc.freeze()
    _Replay(str(root), recorded, scratch, piece, rng).run(whole)
    return piece


def drawn(rng: Random) -> tuple[bool, list[str]]:
    """Return whether the actions that end lives have failed, and those actions; "" for the last life."""
    fails = rng.random() < _FAILS_SHARE
    deaths = rng.choices(
        _FAILING if fails else list(_DEATHS), k=rng.randint(1 if fails else 0, _LIVES_MAX - 1)
    )
    return fails, [*(f"{death}{rng.randint(1, _DEATHS[death])}" for death in deaths), ""]


def without_failed(whole: list[Entry]) -> tuple[list[Entry], int]:
    """Return a record without the writes whose sync has failed, and how many they were.

    These are writes of heads that were begun and never ended, and what a life wrote to a segment of the log
    last, if it died before the sync of it was done. The page cache shows them, and no later sync brings them
    to the medium.
    """
    lost: set[int] = set()
    segments: dict[int, list[int]] = {}  # by descriptor: what was written to a segment since its last sync
    for at, (entry, following) in enumerate(zip(whole, [*whole[1:], None], strict=True)):
        if entry.op == "D" and (following is None or following.op != "E"):
            lost.add(at)
        elif entry.op == "B":
            lost.update(*segments.values())
            segments.clear()
        elif entry.op == "O" and b"/log-" in entry.text:
            segments[entry.descriptor] = []
        elif entry.op in "CO":
            segments.pop(entry.descriptor, None)
        elif entry.descriptor in segments and entry.op == "W":
            segments[entry.descriptor].append(at)
        elif entry.descriptor in segments and entry.op == "S":
            segments[entry.descriptor].clear()
    return [entry for at, entry in enumerate(whole) if at not in lost], len(lost)


class Walk:
    """A medium and a ledger, to which the entries of a record are applied one after another."""

    def __init__(self, root: str) -> None:
        """``root`` is the path that the recorded folder had."""
        self.medium, self.ledger = Medium(root), Ledger()
        self._held = bytearray()

    def step(self, entry: Entry) -> list[str]:
        """Apply an entry; return the faults that the recorded program met itself."""
        self.medium.apply(entry)
        for mark in self.medium.marks:
            self._held += mark
        self.medium.marks.clear()
        faults = [fault for note in unframed(self._held) for fault in self.ledger.apply(note)]
        return [f"the recorded program: {fault}" for fault in faults]


class _Replay:
    """Cuts a record at many points, and checks the states."""

    def __init__(self, root: str, recorded: Recorded, scratch: Path, piece: Piece, rng: Random) -> None:
        self._root, self._scratch, self._piece, self._rng = root, scratch, piece, rng
        self._left = recorded.size
        self._seen: set[bytes] = set()

    def run(self, whole: list[Entry]) -> None:
        chosen = self._chosen(whole)
        while self._left and not self._piece.faults:
            before = self._left
            self._walk(whole, chosen)
            if self._left == before:
                break  # all different states of these points were seen

    def _chosen(self, whole: list[Entry]) -> set[int]:
        """Draw the points of the record at which it is cut: mostly those at which much is pending."""
        medium, weights = Medium(self._root), []
        for entry in whole:
            medium.apply(entry)
            weights.append(0.2 + min(_PENDING_MAX, sum(len(node.pending) for node in medium.nodes())))
        return set(self._rng.choices(range(len(whole)), weights, k=1 + 2 * self._left // _STATES_EACH))

    def _walk(self, whole: list[Entry], chosen: set[int]) -> None:
        walk = Walk(self._root)
        for at, entry in enumerate(whole):
            self._piece.faults += walk.step(entry)
            if at in chosen:
                self._cut(walk, f"after entry {at} ({entry.op})")
            if not self._left or self._piece.faults:
                return

    def _cut(self, walk: Walk, where: str) -> None:
        """Check the states in which a power cut here may leave the medium."""
        for kind, kept in choosers(walk.medium, self._rng):
            if not self._left:
                return
            state = State(walk.medium, kept)
            digest = state.digest(walk.ledger.moment)
            if digest in self._seen:
                continue
            self._seen.add(digest)
            self._left -= 1
            self._piece.count("all", {"states": 1})
            self._piece.count("cut", {kind: 1})
            faults = checked(state, walk.ledger, self._scratch / "state", f"{self._rng.random()}")
            if faults:
                self._piece.faults = [f"{kind}, {where}: {fault}" for fault in faults]
                return


def checked(state: State, ledger: Ledger, folder: Path, seed: str) -> list[str]:
    """Write a state to a new folder and check it in a fork; the folder remains if there are faults."""
    folder.mkdir()
    state.write(folder)
    faults = in_fork(lambda: check(folder / ARCHIVE, ledger, seed), list[str], _CHECK_S_MAX)
    if isinstance(faults, Raised):
        return [faults.trace]
    if isinstance(faults, Died):
        return [f"opened: {faults}"]
    if not faults:
        shutil.rmtree(folder)
    return faults


def check(directory: Path, ledger: Ledger, seed: str) -> list[str]:
    """Open an archive that was left by a power cut, and compare it; return the faults."""
    _start_anew(directory.parent)
    rng, copies = Random(seed), copies_of(directory)
    if ledger.entries and rng.random() < _READONLY_SHARE:  # before the first event there may be no archive
        with Archive.open(directory, readonly=True) as archive:
            found = compare(archive.instance(INSTANCE), ledger, copies)
            if found.faults:
                return [f"read-only: {fault}" for fault in found.faults]
    with Archive.open(directory, options=_OPTIONS) as archive:
        sim = archive.instance(INSTANCE, create=True)
        found = compare(sim, ledger, copies)
        if found.faults or rng.random() >= _TAKES_MORE_SHARE:
            return list(found.faults)
        book = Book(ledger, _nowhere)
        book.note(found)
        worker = Worker(sim, book, rng, copies)
        for operation in AFTER_A_START:
            operation(worker)
        sim.settle()
        again = compare(sim, ledger, copies)
        return [*book.faults, *(f"after more events: {fault}" for fault in again.faults)]


def _start_anew(folder: Path) -> None:
    """Let this process, a fork, take the machine for started anew: a cut has ended the start before."""
    boot.BOOT_ID = folder / "boot_id"
    boot.BOOT_ID.write_text("after the cut")
    boot.this_boot.cache_clear()


def _nowhere(_: Note) -> None:
    """Send a note to nobody: the ledger is that of this process."""
