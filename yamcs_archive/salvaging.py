"""Salvage of an archive: each instance of a damaged directory becomes one of a new archive.

The new directory cannot be opened before everything in it is whole: until then a file in it says that it is
not finished, and it has no marker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from yamcs_archive.errors import InvalidInputError, NotAnArchiveError, UnknownInstanceError
from yamcs_archive.options import Options
from yamcs_archive.results import Salvage
from yamcs_archive.storage.disk.directory import (
    begin_directory,
    create_instance,
    damaged_instances,
    finish_directory,
)
from yamcs_archive.storage.disk.writer_lock import WritersExcluded
from yamcs_archive.storage.failpoints import failpoint
from yamcs_archive.storage.salvage.salvage import CancelledError, salvage

_UNFINISHED = "a salvage to it did not reach its end; delete it and salvage again"


def salvage_archive(
    source: Path,
    target: Path,
    *,
    instances: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
    options: Options | None = None,
) -> dict[str, Salvage] | None:
    """See :meth:`Archive.salvage <yamcs_archive.Archive.salvage>`."""
    if not source.is_dir():
        raise NotAnArchiveError(str(source), "there is no such directory")
    if target.resolve().is_relative_to(source.resolve()):
        raise InvalidInputError("target", str(target), "must not be within the directory that is salvaged")
    known = damaged_instances(source)
    names = known if instances is None else list(dict.fromkeys(instances))
    for name in names:
        if name not in known:
            raise UnknownInstanceError(name, known)
    if not names:
        raise NotAnArchiveError(str(source), "it has no folder of an instance")
    found: dict[str, Salvage] = {}
    with WritersExcluded(source):
        begin_directory(target, _UNFINISHED)
        failpoint("salvage-begun")
        for name in names:
            try:
                found[name] = _salvaged(
                    source,
                    target,
                    name,
                    options or Options(),
                    progress=progress,
                    cancelled=cancelled or _never,
                )
            except CancelledError:
                return None
        failpoint("salvage-complete")
        finish_directory(target)
    return found


def _salvaged(
    source: Path,
    target: Path,
    name: str,
    options: Options,
    *,
    progress: Callable[[str, int, int], None] | None,
    cancelled: Callable[[], bool],
) -> Salvage:
    def told(done: int, all_: int) -> None:
        if progress is not None:
            progress(name, done, all_)

    found: list[Salvage] = []
    create_instance(
        target,
        name,
        lambda draft: found.append(
            salvage(source / name, draft, name, options, progress=told, cancelled=cancelled)
        ),
    )
    return found[0]


def _never() -> bool:
    return False
