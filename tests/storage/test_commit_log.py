"""The commit log: what was acknowledged is found again, and damage is never taken for the end."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import sizes
from tests.strategies import many, stored_events
from yamcs_archive import Event
from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError, OutOfSpaceError
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk import log_files
from yamcs_archive.storage.disk.log_chain import LogGoneError, read_log
from yamcs_archive.storage.disk.log_files import read_end, segment_numbers
from yamcs_archive.storage.format.event_columns import from_event_columns, to_event_columns
from yamcs_archive.storage.format.log_records import (
    LoggedCommit,
    LogRecord,
    decode_payload,
    encode_payload,
)
from yamcs_archive.storage.format.log_segments import (
    FRAME_BYTES,
    HEADER_BYTES,
    NOWHERE,
    SegmentHeader,
    decode_end,
    decode_header,
    frame,
)
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.write import commit_log
from yamcs_archive.storage.write.commit_log import CommitLog, LogWriteError


def record(number: int, text: str = "m", events: int = 1) -> bytes:
    made = [
        Event(f"{text}{n}", "S", generation_time=n, seq_number=number, reception_time=n)
        for n in range(events)
    ]
    columns: Columns[int] = Columns.of(made)
    state = SourceState(number, number, events)
    return encode_payload(
        LogRecord(number, [LoggedCommit(number, 9, columns, [(0, events - 1)])], [("S", state)])
    )


def numbers(records: Iterable[LogRecord]) -> list[int]:
    return [found.sequence for found in records]


def opened(folder: Path, checkpoint: int = 0) -> tuple[CommitLog, list[int]]:
    log = CommitLog(folder)
    return log, numbers(log.recover(checkpoint))


def filled(folder: Path, count: int, text: str = "m") -> CommitLog:
    log, found = opened(folder)
    for number in range(len(found) + 1, len(found) + count + 1):
        assert log.append(record(number, text)) == number
    return log


@given(st.one_of(st.lists(stored_events, min_size=1, max_size=3), many(stored_events, 300)))
@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=60)
def test_events_are_the_same_after_they_were_encoded_in_either_form(events: list[Event]) -> None:
    if not events:
        return
    columns: Columns[int] = Columns.of(events)
    for form in (columns, StoredVectors.of(columns, 7)):
        found = from_event_columns(to_event_columns(form))
        assert list(found.events()) == events
        payload = encode_payload(LogRecord(3, [LoggedCommit(8, -5, form, [(0, len(events) - 1)])]))
        [commit] = decode_payload(3, payload).commits
        assert (commit.number, commit.time, list(commit.events.events())) == (8, -5, events)


@pytest.mark.parametrize("sources", [1, 2, 255, 256, 257, 300])
def test_a_table_of_many_texts_is_the_same_in_either_form(sources: int) -> None:
    events = [
        Event("m", source=f"S{n % sources}", generation_time=n, seq_number=n, reception_time=n)
        for n in range(2 * sources)
    ]
    columns: Columns[int] = Columns.of(events)
    for form in (columns, StoredVectors.of(columns, 1)):
        found = from_event_columns(to_event_columns(form))
        assert [event.source for event in found.events()] == columns.source


def plain(size: int) -> Columns[int]:
    return Columns.of(
        [Event(f"m{n}", "S", generation_time=n, seq_number=-n, reception_time=n + 5) for n in range(size)]
    )


@pytest.mark.parametrize("more", [{}, {"extensions": b"x"}, {"extra": {"a": "b"}}, {"type": "T"}])
@pytest.mark.parametrize("size", sizes.around(["storage.format.event_columns._VECTOR_EVENTS_MIN"]))
def test_few_and_many_events_are_the_same_after_they_were_decoded(size: int, more: dict[str, Any]) -> None:
    events = plain(size).events()
    events[size // 2] = msgspec.structs.replace(events[size // 2], **more)
    assert list(from_event_columns(to_event_columns(Columns.of(events))).events()) == events


@given(st.binary(max_size=60))
def test_bytes_that_are_no_payload_are_refused(data: bytes) -> None:
    with pytest.raises(DamagedError):
        decode_payload(1, data)
    assert decode_end(data) is None


@pytest.mark.parametrize("broken", [{"sources": None}, {"severities": b"\x07"}, {"times": b""}, {"size": 2}])
def test_columns_that_do_not_fit_each_other_are_refused(broken: dict[str, object]) -> None:
    event = Event("m", "S", generation_time=1, seq_number=1, reception_time=1)
    found = to_event_columns(Columns.of([event]))
    for name, value in broken.items():
        setattr(found, name, type(found.sources)([None], b"") if value is None else value)
    with pytest.raises(ValueError):  # noqa: PT011  # each has another text
        from_event_columns(found)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("severities", value) for value in (b"\x07" * 64, b"\0" * 63, b"")),
        *((name, value) for name in ("times", "numbers", "delays") for value in (b"", bytes(8 * 63))),
        ("delays", struct.pack("<64q", *[0] * 63, 2**63 - 1)),
        *(("sources", value) for value in (["a", None], ["a", "b", "c"])),
        ("extensions", [b""] * 63),
        ("size", 65),
    ],
)
def test_columns_of_many_events_that_do_not_fit_each_other_are_refused(name: str, value: object) -> None:
    found = to_event_columns(plain(64))
    if name == "sources":
        assert isinstance(value, list)
        value = type(found.sources)(value, bytes(63) + bytes([len(value)]))
    setattr(found, name, value)
    with pytest.raises((ValueError, OverflowError)):
        from_event_columns(found)


def test_what_was_appended_is_found_again_and_a_new_segment_begins(tmp_path: Path) -> None:
    log = filled(tmp_path, 5)
    log.close()
    log, found = opened(tmp_path)
    assert found == [1, 2, 3, 4, 5]
    assert log.append(record(6)) == 6
    log.close()
    assert segment_numbers(tmp_path) == [1, 2]
    assert opened(tmp_path)[1] == [1, 2, 3, 4, 5, 6]
    assert opened(tmp_path, 5)[1] == [6]
    assert segment_numbers(tmp_path) == [2]  # all of the first is in LMDB
    with pytest.raises(LogGoneError):
        read_log(tmp_path, 2)


def test_a_log_of_which_lmdb_has_everything_leaves_no_segment(tmp_path: Path) -> None:
    filled(tmp_path, 3).close()
    assert opened(tmp_path, 3)[1] == []
    assert segment_numbers(tmp_path) == []
    log, found = opened(tmp_path, 3)
    assert (found, log.append(record(4))) == ([], 4)
    log.close()
    assert opened(tmp_path, 3)[1] == [4]


@pytest.mark.parametrize("size", [1, 100_000, 262_000, 5 << 20])
def test_records_of_any_size_are_found_again(tmp_path: Path, size: int) -> None:
    log, _ = opened(tmp_path)
    for number in range(1, 5):
        log.append(record(number, "m" * size))
    log.close()
    log, found = opened(tmp_path)
    assert found == [1, 2, 3, 4]
    log.close()


def lose_end(folder: Path) -> None:
    """Do what a power cut may do to a file that is never synced."""
    (folder / "log.end").unlink()


def test_a_record_torn_at_any_byte_is_the_end(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    begin = read_log(tmp_path, 0).records[-1].before.offset
    end = log.place.offset
    log.close()
    lose_end(tmp_path)
    whole = (tmp_path / "log-1").read_bytes()
    for place in range(begin, end - 7, 5):
        (tmp_path / "log-1").write_bytes(whole[:place] + bytes(len(whole) - place))
        assert [found.sequence for found in read_log(tmp_path, 0).records] == [1, 2]


def test_a_torn_record_before_the_acknowledged_end_is_damage(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    end = log.place.offset
    log.close()
    whole = bytearray((tmp_path / "log-1").read_bytes())
    whole[end - 12] ^= 1
    (tmp_path / "log-1").write_bytes(whole)
    with pytest.raises(DamagedError, match="acknowledged"):
        read_log(tmp_path, 0)
    lose_end(tmp_path)  # now nobody can tell it from a torn one
    assert [found.sequence for found in read_log(tmp_path, 0).records] == [1, 2]


def test_a_flipped_bit_anywhere_before_the_last_record_is_damage(tmp_path: Path) -> None:
    log = filled(tmp_path, 3)
    log.close()
    lose_end(tmp_path)
    last = read_log(tmp_path, 0).records[-1].before.offset
    whole = (tmp_path / "log-1").read_bytes()
    for place in range(last):
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        (tmp_path / "log-1").write_bytes(flipped)
        try:
            records = read_log(tmp_path, 0).records
        except DamagedError:
            continue
        # Only the zeros between two records are covered by nothing.
        assert [found.sequence for found in records] == [1, 2, 3], place
        assert whole[place] == 0


def test_bytes_of_an_earlier_segment_are_no_record(tmp_path: Path) -> None:
    header = SegmentHeader(77, 1, 1, NOWHERE)
    place = header.begin
    data = header.encode()
    for number in (1, 2):
        framed, place = frame(record(number), number, place)
        data += framed
    other = SegmentHeader(78, 1, 1, NOWHERE)
    first, place = frame(record(1), 1, other.begin)
    assert len(first) == len(frame(record(1), 1, header.begin)[0])
    stale = other.encode() + first + data[HEADER_BYTES + len(first) :]
    (tmp_path / "log-1").write_bytes(stale + bytes(4096))
    assert [found.sequence for found in read_log(tmp_path, 0).records] == [1]


def test_a_message_that_looks_like_a_record_passes_for_none(tmp_path: Path) -> None:
    log, _ = opened(tmp_path)
    inner, _ = frame(record(2), 2, SegmentHeader(1, 1, 1, NOWHERE).begin)
    log.append(record(1, inner.decode("latin-1") * 20))
    end = log.place.offset
    log.close()
    lose_end(tmp_path)
    path = tmp_path / "log-1"
    whole = bytearray(path.read_bytes())
    whole[end - 12] ^= 1
    path.write_bytes(whole)
    assert read_log(tmp_path, 0).records == []  # torn, and nothing valid is behind it


@given(st.binary(min_size=64, max_size=64))
def test_a_header_of_other_bytes_is_damage_or_nothing(data: bytes) -> None:
    if any(data):
        with pytest.raises(DamagedError):
            decode_header(data, 1)
    else:
        assert decode_header(data, 1) is None


@pytest.mark.parametrize("kept", [1, 7, 8, 12, 40, 63])
def test_a_header_torn_within_itself_is_no_segment(tmp_path: Path, kept: int) -> None:
    """The first write of a segment is its header and its first record: nothing of it was acknowledged."""
    log = filled(tmp_path, 2)
    log.roll()
    log.append(record(3))
    log.close()
    lose_end(tmp_path)
    second = tmp_path / "log-2"
    whole = second.read_bytes()
    second.write_bytes(whole[:kept] + bytes(len(whole) - kept))
    assert opened(tmp_path)[1] == [1, 2]
    assert 2 not in segment_numbers(tmp_path)
    flipped = bytearray(whole)
    flipped[kept] ^= 1
    for segment in tmp_path.glob("log-*"):
        segment.unlink()
    second.write_bytes(flipped)
    with pytest.raises(DamagedError, match="log-2"):
        read_log(tmp_path, 2)


class Broken:
    """A medium that fails from some call on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, good: int, error: int = errno.EIO) -> None:
        real = getattr(os, name)
        self.calls = 0

        def call(*args: object) -> object:
            self.calls += 1
            if self.calls > good:
                raise OSError(error, os.strerror(error))
            return real(*args)

        monkeypatch.setattr(os, name, call)


def test_a_failed_sync_leaves_the_segment_and_the_record_is_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 3)
    with monkeypatch.context() as patch:
        Broken(patch, "fdatasync", 0)
        with pytest.raises(LogWriteError):
            log.append(record(4))
    before = (tmp_path / "log-1").read_bytes()
    assert numbers(log.recover(0)) == [1, 2, 3, 4]
    assert (tmp_path / "log-1").read_bytes() == before
    assert segment_numbers(tmp_path) == [1, 2]
    # The medium may not have the doubtful record where it was written first.
    begin = read_log(tmp_path, 0).records[2].after.offset
    (tmp_path / "log-1").write_bytes(before[:begin] + bytes(len(before) - begin))
    log.append(record(5))
    log.close()
    assert opened(tmp_path)[1] == [1, 2, 3, 4, 5]


def test_nothing_is_told_of_a_doubtful_record_that_cannot_be_carried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 1)
    with monkeypatch.context() as patch:
        broken = Broken(patch, "fdatasync", 0)
        with pytest.raises(LogWriteError):
            log.append(record(2))
        for _ in range(3):
            with pytest.raises(Exception, match="Input/output error"):
                log.recover(0)
        assert broken.calls >= 4
    assert numbers(log.recover(0)) == [1, 2]
    log.append(record(3))
    log.close()
    assert opened(tmp_path)[1] == [1, 2, 3]


def test_a_failed_first_write_of_a_segment_leaves_it_out_of_the_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 2)
    log.roll()
    with monkeypatch.context() as patch:
        Broken(patch, "fdatasync", 1)  # the one of the zeros
        with pytest.raises(LogWriteError):
            log.append(record(3))
    assert numbers(log.recover(0)) == [1, 2, 3]
    assert 2 not in segment_numbers(tmp_path)
    log.append(record(4))
    log.close()
    assert opened(tmp_path)[1] == [1, 2, 3, 4]


def test_without_space_nothing_is_written_and_the_next_append_may_succeed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = filled(tmp_path, 2)
    log.roll()
    with monkeypatch.context() as patch:
        Broken(patch, "pwrite", 0, errno.ENOSPC)
        with pytest.raises(OutOfSpaceError):
            log.append(record(3))
    assert segment_numbers(tmp_path) == [1]
    assert log.append(record(3)) == 3
    log.close()
    assert opened(tmp_path)[1] == [1, 2, 3]


POINTS = ("log-segment-made", "log-written", "log-synced", "log-carried", "log-segment-removed")


class _Killed(BaseException):
    pass


def killed_at(point: str, nth: int, run: Callable[[], object]) -> bool:
    """Run until a failpoint is reached for the nth time; return whether it was."""
    left = nth

    def act(name: str) -> None:
        nonlocal left
        left -= name == point
        if left == 0 and name == point:
            raise _Killed

    failpoints.on_point = act
    try:
        run()
    except _Killed:
        return True
    finally:
        failpoints.on_point = None
    return False


@pytest.mark.parametrize("point", POINTS)
def test_a_process_that_dies_at_any_point_leaves_all_that_was_acknowledged(
    tmp_path: Path, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_log, "SEGMENT_BYTES_MAX", 600)
    reached = 0
    for nth in range(1, 8):
        folder = tmp_path / f"{nth}"
        folder.mkdir()
        acknowledged = 0

        def life(folder: Path = folder) -> None:
            nonlocal acknowledged
            for _ in range(3):
                log, found = opened(folder, max(0, acknowledged - 3))
                assert not found or found[-1] >= acknowledged
                acknowledged = max(acknowledged, found[-1] if found else 0)
                for _ in range(4):
                    acknowledged = log.append(record(acknowledged + 1))

        reached += killed_at(point, nth, life)
        _, found = opened(folder, max(0, acknowledged - 3))
        assert (
            found == list(range(max(0, acknowledged - 3) + 1, found[-1] + 1)) if found else not acknowledged
        )
        assert not found or found[-1] - acknowledged in (0, 1)
    assert reached or point == "log-carried"


@pytest.mark.parametrize("point", ["log-segment-made", "log-carried", "log-written", "log-synced"])
def test_a_process_that_dies_while_it_carries_a_record_leaves_it(tmp_path: Path, point: str) -> None:
    log = filled(tmp_path, 3)
    assert killed_at("log-written", 1, lambda: log.append(record(4)))
    assert killed_at(point, 1, lambda: opened(tmp_path))
    log, found = opened(tmp_path)
    assert found == [1, 2, 3, 4]
    log.append(record(5))
    log.close()
    assert opened(tmp_path)[1] == [1, 2, 3, 4, 5]


def test_the_acknowledged_end_follows_each_record(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    end = read_end(tmp_path)
    assert end is not None
    assert (end.sequence, end.offset) == (2, log.place.offset)
    killed_at("log-written", 1, lambda: log.append(record(3)))
    assert read_end(tmp_path) == end
    beside = read_log(tmp_path, 0, acknowledged=True)
    assert [found.sequence for found in beside.records] == [1, 2]
    assert [found.sequence for found in read_log(tmp_path, 0).records] == [1, 2, 3]


def test_a_segment_is_cut_at_rest(tmp_path: Path) -> None:
    log = filled(tmp_path, 2)
    assert (tmp_path / "log-1").stat().st_size == log_files.SEGMENT_STEP_BYTES
    log.cut()
    assert (tmp_path / "log-1").stat().st_size == log.place.offset
    log.close()
    assert opened(tmp_path)[1] == [1, 2]
    assert FRAME_BYTES % 8 == 0
