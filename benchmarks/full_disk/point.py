"""One point: an archive on a small file system is asked for a step while so many blocks are free.

1. The step is done, or refused by an OutOfSpaceError; over HTTP the server said 507.
2. While there is no room, all that was acknowledged is there and verifies, and an append is acknowledged or
   refused in the same way.
3. When there is room again, the same open archive does the step and takes events, and so does the archive
   after it was opened anew.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

import msgspec

from benchmarks.crash.comparison import compare, copies_of
from benchmarks.crash.ledger import Ledger
from benchmarks.crash.lives import INSTANCE, Plan
from benchmarks.crash.offers import Note, Serves, tag_of
from benchmarks.crash.operations import AFTER_A_START
from benchmarks.crash.served import serve
from benchmarks.crash.work import one
from benchmarks.crash.worker import Book, Worker
from benchmarks.full_disk.filling import fill
from benchmarks.full_disk.steps import OTHER, STEPS, Stage
from yamcs_archive import Archive, Client, Instance, Options
from yamcs_archive.client.instance import RemoteInstance
from yamcs_archive.errors import ArchiveError, OutOfSpaceError

ARCHIVE = "a"
_OPERATIONS = 30
_HANGS_S = 120
_OPTIONS = Options(block_events_max=64, run_events_min=16, maintenance=False, map_bytes=1 << 20)


class Tried(msgspec.Struct):
    """What came of a point."""

    refused: dict[str, int] = msgspec.field(default_factory=dict)
    """Requests that were refused, by what they asked for: the step, or an append beside it."""
    acknowledged: int = 0
    faults: list[str] = msgspec.field(default_factory=list)


def prepare(folder: Path, seed: str) -> Ledger:
    """Make an archive with some history, and a backup; return its ledger. Run it in a process of its own."""
    book = Book(Ledger(), lambda _: None)
    with Archive.open(folder / ARCHIVE, options=_OPTIONS) as archive:
        sim = archive.instance(INSTANCE, create=True)
        worker = Worker(sim, book, Random(seed), copies_of(folder / ARCHIVE))
        for nth in range(_OPERATIONS):
            one(worker, maintains=nth % 10 == 0)
        for name in ("run", "late batch", "backup", "batch"):
            STEPS[name].run(Stage(worker, archive, None, _OPTIONS))
        archive.instance(OTHER, create=True).append_many(offer.event() for offer in worker.new(40))
        assert not book.faults, book.faults
    return book.ledger


class Made(NamedTuple):
    """An archive in a folder, which is copied for each point, and what is known of it."""

    folder: Path
    ledger: Ledger
    seed: str


def made_in(folder: Path, seed: str) -> Made:
    """Do the same in a fork, so that this process has opened nothing."""
    folder.mkdir()
    status, text = forked(lambda: pickle.dumps(prepare(folder, seed)))
    if status:
        raise RuntimeError(f"the archive was not made: {text.decode()}")
    ledger = pickle.loads(text)  # from our own fork
    assert isinstance(ledger, Ledger)
    return Made(folder, ledger, seed)


def forked(do: Callable[[], bytes]) -> tuple[int, bytes]:
    """Do something in a fork; return how it ended, negative for a signal, and what it returned."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(reading)
            faulthandler.dump_traceback_later(_HANGS_S, exit=True)
            try:
                said, status = do(), 0
            except BaseException:
                said = traceback.format_exc().encode()
            with open(writing, "wb") as pipe:
                pipe.write(said)
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, "rb") as pipe:
        text = pipe.read()
    _, ended = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(ended), text


class Point:
    """A step with so many free blocks, on the file system at a folder, in a process that is a fork."""

    def __init__(self, place: Path, made: Made, step: str, free_blocks: int) -> None:
        self._place, self._made, self._free_blocks = place, made.folder, free_blocks
        self._book = Book(made.ledger, lambda _: None)
        self._step, self._seed = STEPS[step], made.seed
        self._directory = place / ARCHIVE
        self._before = made.ledger.acknowledged
        self._tried = Tried()

    def alone(self) -> bytes:
        """Try it with an archive of this process, which is a fork; return what came of it, as JSON."""
        shutil.copytree(self._made, self._place, dirs_exist_ok=True)
        stage = self._stage(Archive.open(self._directory, options=_OPTIONS), None)
        try:
            self._try(stage)
        finally:
            stage.alone.close()
        return self._opened_anew()

    def served(self) -> bytes:
        """Do the same with a server in a fork of this process."""
        shutil.copytree(self._made, self._place, dirs_exist_ok=True)
        with self._server() as client:
            self._try(self._stage(None, client))
        return self._opened_anew()

    def _opened_anew(self) -> bytes:
        with Archive.open(self._directory, options=_OPTIONS) as archive:
            sim = archive.instance(INSTANCE)
            self._compare(sim)
            self._work(Worker(sim, self._book, Random(f"{self._seed} again"), copies_of(self._directory)))
        self._tried.faults += self._book.faults
        self._tried.acknowledged = self._book.ledger.acknowledged - self._before
        return msgspec.json.encode(self._tried)

    def _stage(self, archive: Archive | None, client: Client | None) -> Stage:
        sim = (archive or client).instance(INSTANCE)  # type: ignore[union-attr]
        worker = Worker(sim, self._book, Random(self._seed), copies_of(self._directory))
        return Stage(worker, archive, client, _OPTIONS)

    def _try(self, stage: Stage) -> None:
        STEPS["single"].run(stage)
        filler = fill(self._place, self._free_blocks)
        done = self._asked("the step", lambda: self._step.run(stage))
        self._meanwhile(stage)
        if stage.archive is None or not stage.archive.closed:
            self._asked("an append", lambda: STEPS["single"].run(stage))
        filler.unlink()
        if not done:
            self._step.run(stage)
        if stage.archive is not None and stage.archive.closed:
            STEPS["open"].run(stage)
        if isinstance(stage.worker.sim, Instance):
            self._compare(stage.worker.sim)
        self._work(stage.worker)

    def _asked(self, what: str, do: Callable[[], None]) -> bool:
        """Ask for something that may be refused for lack of space; return whether it was done."""
        try:
            do()
        except OutOfSpaceError:
            self._tried.refused[what] = self._tried.refused.get(what, 0) + 1
            return False
        except ArchiveError as error:
            self._tried.faults.append(f"{what} ended with {error!r}")
            return False
        return True

    def _meanwhile(self, stage: Stage) -> None:
        """Read and verify everything while there is no room."""
        if stage.archive is None or not stage.archive.closed:
            self._readable(stage.worker.sim)
            return
        with closing(Archive.open(self._directory, readonly=True)) as reading:
            self._readable(reading.instance(INSTANCE))

    def _readable(self, sim: Instance | RemoteInstance) -> None:
        found = {tag_of(event.message)[0] for event in sim.events()}
        ledger = self._book.ledger
        horizon = max([ledger.horizon, *ledger.prunings])
        for entry in ledger.due():
            if entry.offer.tag not in found and (entry.time is None or entry.time >= horizon):
                self._tried.faults.append(f"not readable meanwhile: {entry.offer}")
        verified = sim.verify()
        if verified is not None:
            self._tried.faults += [f"verify meanwhile: {fault}" for fault in verified.faults]

    def _compare(self, sim: Instance) -> None:
        self._book.note(compare(sim, self._book.ledger, copies_of(self._directory)))

    def _work(self, worker: Worker) -> None:
        for operation in AFTER_A_START:
            operation(worker)

    @contextmanager
    def _server(self) -> Iterator[Client]:
        """Serve the archive in a fork, which must be alive at the end."""
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            os.close(reading)
            _serve(self._directory, writing)
        os.close(writing)
        try:
            port = int(os.read(reading, 16) or b"0")
            with closing(Client(f"http://127.0.0.1:{port}", retries=0, timeout_s=30)) as client:
                yield client
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                child = 0
                self._tried.faults.append(f"the server ended with {os.waitstatus_to_exitcode(status)}")
        finally:
            os.close(reading)
            if child:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)


def _serve(directory: Path, writing: int) -> None:
    def told(note: Note) -> None:
        if isinstance(note, Serves):
            os.write(writing, str(note.port).encode())

    try:
        archive = Archive.open(directory, options=_OPTIONS)
        plan = Plan("", 0, False, _OPTIONS, 0)
        serve(archive, archive.instance(INSTANCE), Book(Ledger(), told), plan, copies_of(directory))
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)
