"""Named points that the writing paths pass, so that a test can stop the process at each of them.

In a program nothing is registered and a point costs one comparison. In a test's child process
:data:`on_point` kills, raises or waits.
"""

from __future__ import annotations

from collections.abc import Callable

GROUP_COMMIT_POINTS = (
    "group-taken",
    "outcomes-known",
    "before-commit",
    "after-commit",
    "before-answer",
)
"""The points of a group commit, in the order in which it passes them."""

BLOCK_POINTS = ("block-half-put", "block-put")
"""The points of putting a block, in a group commit or a sealing step: before its summary, and behind it."""

SEAL_POINTS = (
    "seal-begun",
    "block-half-deleted",
    "seal-block-deleted",
    "seal-rows-deleted",
    *BLOCK_POINTS,
    "seal-blocks-put",
    "task-before-commit",
    "task-after-commit",
    "group-joined",
    "group-put",
    "pack-records-deleted",
    "pack-put",
)
"""The points of sealing, of closing a group of blocks and of packing, likewise.

Each of the three passes those that begin with "task", and so does whatever else is run in a transaction
between two group commits."""

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
"""The points of a compaction, likewise. From "compact-held" to "compact-in-use" nobody commits."""

on_point: Callable[[str], None] | None = None


def failpoint(point: str) -> None:
    """Say that ``point`` is reached.

    >>> failpoint("before-commit")
    """
    if on_point is not None:
        on_point(point)
