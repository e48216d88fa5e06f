"""The methods of an instance that make a backup of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from yamcs_archive import arguments
from yamcs_archive.instance.following import Following
from yamcs_archive.results import Backup


class BackingUp(Following):
    """Makes backups."""

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        incremental: bool = False,
        keep: int | None = None,
        rate_bytes_per_s: int | None = None,
    ) -> Backup:
        """Write a backup to a folder, which is created if it is missing; durable on return.

        It has all events that are stored now, with sources, commits and request ids; others read and append
        meanwhile. ``incremental``: only what was stored since the newest backup of this instance there; a
        full one is made if there is none, or if the instance has another history since. ``keep`` is the
        number of full backups that are kept, each with the incremental ones after it; older files of this
        instance are deleted. ``rate_bytes_per_s`` is the greatest rate of writing.

        After a failure, or a kill at any moment, there is either the whole file or none. Raises
        :class:`~yamcs_archive.errors.OutOfSpaceError`, LockedError while another backup is written there,
        DamagedError if something that is stored is damaged, ClosedError, ForkedError.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        >>> sim.backup(directory / "copies").manifest.events
        5
        >>> _ = sim.append(Event("Step 5", generation_time=5))
        >>> sim.backup(directory / "copies", incremental=True).manifest.events
        1
        """
        self._check_open()
        from yamcs_archive.backups import new_backup  # noqa: PLC0415  # few programs need it

        return new_backup(self, target, incremental=incremental, keep=keep, rate_bytes_per_s=rate_bytes_per_s)

    def backup_stream(
        self,
        after: str | None = None,
        *,
        progress: Callable[[int, int], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
    ) -> Iterator[bytes]:
        """Return an iterator over the bytes of a backup: those of a file of :meth:`backup`.

        ``after``: only what was stored after the backup with this cursor (``BackupManifest.cursor``).
        ``progress`` is called from time to time with the number of events read, and with that of all; once
        ``cancelled`` returns True, the iterator raises ClosedError. An error leaves the stream without its
        end, so that it is never taken for a whole one.

        Raises BadCursorError and OtherHistoryError at once; later DamagedError, ClosedError, and
        UnavailableError if events were pruned meanwhile.

        >>> _ = sim.append(Event("First"))
        >>> b"".join(sim.backup_stream())[:22]
        b'yamcs_archive backup 1'
        """
        self._check_open()
        after = None if after is None else arguments.text("after", after)
        progress, cancelled = (
            arguments.callback("progress", progress),
            arguments.callback("cancelled", cancelled),
        )
        return self._store.backup(after, progress or _ignore, cancelled or _never)


def _ignore(_read: int, _all: int) -> None:
    pass


def _never() -> bool:
    return False
