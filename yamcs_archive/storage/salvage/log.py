"""What can be saved of a commit log: every record that is valid by itself, whatever is damaged around it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.storage.disk.log_readable import readable_log
from yamcs_archive.storage.format.log_records import LogRecord
from yamcs_archive.storage.format.meta import Checkpoint
from yamcs_archive.storage.salvage.losses import Losses


def saved_records(
    folder: Path, checkpoint: Checkpoint, archive: bytes | None, losses: Losses
) -> list[LogRecord]:
    """Return the records after a checkpoint that can be read and count, in order; note what is lost."""
    found = readable_log(folder, checkpoint, archive)
    for lost in found.damage:
        losses.add_range(lost.where, lost.reason, None, None, None)
    carrying = found.carrying
    return [record for record in found.records if record.carried is None or record.sequence in carrying]


def vectors_of(events: Columns[int] | StoredVectors, commits: Sequence[int]) -> StoredVectors:
    """Return events of a record as vectors, each with the number of its commit."""
    vectors = events if isinstance(events, StoredVectors) else StoredVectors.of(events, 0)
    return vectors._replace(commits=int64s(commits))
