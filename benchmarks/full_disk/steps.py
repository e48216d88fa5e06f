"""What an archive is asked for while there is no room: one function for each, in one table.

A step gets a :class:`Stage`. It raises if it was refused; then it can be tried again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

from benchmarks.crash.operations import OPERATIONS
from benchmarks.crash.worker import Worker
from yamcs_archive import Archive, Client, Instance, Options

OTHER, RENAMED, NEW = "other", "renamed", "new"
"""Names of instances beside the compared one: one that is there, its new name, and one that is made."""


@dataclass
class Stage:
    """An archive on a small file system, by itself or over HTTP."""

    worker: Worker
    archive: Archive | None
    client: Client | None
    options: Options

    @property
    def alone(self) -> Archive:
        """The archive of this process."""
        assert self.archive is not None
        return self.archive


class Step(NamedTuple):
    """One kind of work."""

    run: Callable[[Stage], None]
    served: bool = True
    """It can be asked for over HTTP."""
    alone: bool = True


def _of_the_crash_lab(name: str) -> Callable[[Stage], None]:
    return lambda stage: OPERATIONS[name].run(stage.worker)


def _create(stage: Stage) -> None:
    stage.alone.instance(NEW, create=True)


def _rename(stage: Stage) -> None:
    if stage.client is not None:
        stage.client.rename(OTHER, RENAMED)
    else:
        stage.alone.rename(OTHER, RENAMED)


def _delete(stage: Stage) -> None:
    if stage.client is not None:
        stage.client.delete(OTHER, confirm=OTHER)
    else:
        stage.alone.delete(OTHER, confirm=OTHER)


def _open_instance(stage: Stage) -> None:
    stage.alone.instance(OTHER).stats()


def _open(stage: Stage) -> None:
    """Close the archive, and open it again."""
    if not stage.alone.closed:
        stage.alone.close()
    archive = Archive.open(stage.alone.path, options=stage.options)
    try:
        sim = archive.instance("sim")
    except BaseException:
        archive.close()
        raise
    stage.archive, stage.worker.sim = archive, sim


def _read_only(stage: Stage) -> None:
    """Close the archive, and read all of it without the right to write: no block is needed for that."""
    if not stage.alone.closed:
        stage.alone.close()
    with closing(Archive.open(stage.alone.path, readonly=True)) as reading:
        for name in reading.instances():
            sim: Instance = reading.instance(name)
            assert sum(1 for _ in sim.events()) == sim.count()


STEPS: Mapping[str, Step] = {
    **{
        name: Step(_of_the_crash_lab(name), served="client" in OPERATIONS[name].places)
        for name in (
            *("single", "stamped", "late", "batch", "run", "late batch", "many", "large", "large batch"),
            *("submitted", "batch again", "with id", "batch with id"),
            *("settle", "compact", "prune", "backup", "restore"),
        )
    },
    "create": Step(_create, served=False),
    "rename": Step(_rename),
    "delete": Step(_delete),
    "open instance": Step(_open_instance, served=False),
    "open": Step(_open, served=False),
    "read-only": Step(_read_only, served=False),
}
"""Every step, by name."""
