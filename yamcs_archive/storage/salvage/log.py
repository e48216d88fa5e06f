"""What can be saved of a commit log: every record that is valid by itself, whatever is damaged around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.storage.disk.log_files import read_segment, segment_numbers
from yamcs_archive.storage.format.log_records import LogRecord, decode_payload
from yamcs_archive.storage.format.log_segments import (
    HEADER_BYTES,
    Framed,
    decode_header,
    valid_behind,
    valid_record,
)
from yamcs_archive.storage.format.meta import Checkpoint
from yamcs_archive.storage.salvage.losses import Losses


def saved_records(folder: Path, checkpoint: Checkpoint, losses: Losses) -> list[LogRecord]:
    """Return the records after a checkpoint that can be read and count, in order; note what is lost."""
    found: dict[int, LogRecord] = {}
    for number in segment_numbers(folder):
        for framed in _valid(folder, number, losses):
            if framed.sequence > checkpoint.last:
                try:  # a later segment's copy of a record is the one that counts
                    found[framed.sequence] = decode_payload(framed.sequence, framed.payload)
                except DamagedError as error:
                    losses.add_fact(f"record {framed.sequence} of the log", error.reason)
    carrying = _that_count(found, checkpoint, losses)
    records = [found[sequence] for sequence in sorted(found)]
    expected = checkpoint.last + 1
    for record in records:
        if record.sequence > expected:
            lost = f"records {expected} to {record.sequence - 1} of the log"
            losses.add_range(lost, "they are damaged or missing", None, None, None)
        expected = record.sequence + 1
    return [record for record in records if record.carried is None or record.sequence in carrying]


def _that_count(found: Mapping[int, LogRecord], checkpoint: Checkpoint, losses: Losses) -> set[int]:
    """Return the numbers of the records whose carried events count: the one that LMDB names, and those that
    one that counts names.
    """
    numbers: set[int] = set()
    number = checkpoint.carried
    while number:
        record = found.get(number)
        if record is None or record.carried is None or record.carried.before >= number:
            where = f"record {number} of the log"
            losses.add_range(where, "the late events that it carries are lost", None, None, None)
            break
        numbers.add(number)
        number = record.carried.before
    return numbers


def vectors_of(events: Columns[int] | StoredVectors, commits: Sequence[int]) -> StoredVectors:
    """Return events of a record as vectors, each with the number of its commit."""
    vectors = events if isinstance(events, StoredVectors) else StoredVectors.of(events, 0)
    return vectors._replace(commits=int64s(commits))


def _valid(folder: Path, number: int, losses: Losses) -> list[Framed]:
    """Return the records of a segment that are valid by themselves."""
    try:
        data = read_segment(folder, number)
    except OSError as error:
        losses.add_range(f"log-{number}", str(error), None, None, None)
        return []
    try:
        header = decode_header(data, number)
    except DamagedError as error:
        losses.add_fact(f"log-{number}", error.reason)
        # Every record names the epoch, so the first one tells it as well.
        epoch = int.from_bytes(data[HEADER_BYTES : HEADER_BYTES + 4], "big")
    else:
        if header is None:
            return []
        epoch = header.epoch
    found = []
    at: int | None = HEADER_BYTES
    while at is not None and (at := valid_behind(data, epoch, at)) is not None:
        record = valid_record(data, epoch, at)
        if record is None:
            break
        found.append(record)
        at = record.after.offset
    return found
