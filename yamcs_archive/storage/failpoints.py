"""Failpoints: named points in the writing code at which a test can stop the process.

Normally :data:`on_point` is None, and a point costs one comparison. In a test's child process it is a
function that kills the process, raises or waits.
"""

from __future__ import annotations

from collections.abc import Callable

GROUP_COMMIT_POINTS = (
    "group-taken",
    "outcomes-known",
    "before-commit",
    "log-segment-made",
    "log-written",
    "log-synced",
    "after-commit",
    "before-answer",
)
"""The points of a group commit, in the order in which they are reached: "log-segment-made" only if the record
is the first one of a segment. A large run in order is put into blocks instead of the log, and passes
BULK_POINTS."""

RECOVERY_POINTS = ("log-segment-made", "log-carried", "log-written", "log-synced", "log-segment-removed")
"""The points of the recovery of a log with a record in doubt, likewise."""

BLOCK_POINTS = ("block-half-put", "block-put")
"""The points of putting a block, in a large run or a step of maintenance: before its zone map, and after
it."""

BULK_POINTS = (*BLOCK_POINTS, "bulk-before-commit", "after-commit")
"""The points of a large run in order, likewise; those of a checkpoint come before, if events are young."""

LATE_BULK_POINTS = ("log-segment-made", "log-written", "log-synced", "bulk-carried", *BULK_POINTS)
"""The points of a large run that has late events, likewise: the log carries them."""

CHECKPOINT_POINTS = (
    "checkpoint-begun",
    "step-begun",
    "block-half-deleted",
    "step-block-deleted",
    *BLOCK_POINTS,
    "step-blocks-put",
    "checkpoint-blocks-put",
    "checkpoint-put",
    "task-before-commit",
    "task-after-commit",
    "checkpoint-stored",
    "log-segment-removed",
    "group-merged",
    "group-put",
    "pack-records-deleted",
    "pack-put",
)
"""The points of a checkpoint, of closing a group of blocks and of packing, likewise.

Those that begin with "task" are reached by every task in a transaction between two group commits."""

COMPACT_POINTS = (
    "compact-begun",
    "compact-copied",
    "compact-synced",
    "compact-checked",
    "compact-carried",
    "compact-held",
    "compact-compared",
    "compact-drafted",
    "compact-renamed",
    "compact-in-use",
    "compact-switched",
    "compact-cleared",
)
"""The points of a compaction, likewise. From "compact-held" to "compact-in-use" all commits wait."""

SALVAGE_POINTS = ("salvage-begun", "salvage-written", "salvage-verified", "salvage-complete")
"""The points of a salvage, likewise: "salvage-written" and "salvage-verified" for each instance."""
PRUNE_POINTS = (
    "prune-begun",
    "prune-before-horizon",
    "prune-after-horizon",
    "prune-horizon-moved",
    "prune-blocks-deleted",
    "prune-block-cut",
    "prune-records-deleted",
    "prune-ended",
)
"""The points of pruning, likewise; those of a step are reached as well, by each one of the deletion."""

INSTANCE_POINTS = ("instance-before-rename", "instance-renamed", "instance-synced", "instance-removed")
"""The points of renaming an instance, and, with the last one, of deleting one."""
BACKUP_POINTS = (
    "backup-begun",
    "backup-commits-read",
    "backup-slice-read",
    "backup-events-read",
    "backup-written",
    "backup-synced",
    "backup-renamed",
    "backup-named",
    "backup-older-deleted",
)
"""The points of a backup into a folder, likewise; the last one is reached once for each old file."""

RESTORE_POINTS = (
    "restore-put",
    "restore-filled",
    "restore-compared",
    "instance-drafted",
    "instance-renamed",
)
"""The points of a restore, likewise; the last two are those of every new instance. The first is reached after
each transaction."""

on_point: Callable[[str], None] | None = None


def failpoint(point: str) -> None:
    """Call :data:`on_point`, if it is set, with the name of a point.

    >>> failpoint("before-commit")
    """
    if on_point is not None:
        on_point(point)
