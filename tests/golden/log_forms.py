"""Writes instances whose logs have every form of the commit log; see :mod:`tests.golden.every_form`.

What only a crash leaves is made by hand: segments that should have been removed, a torn record, an
acknowledged end that is older than the log, or missing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from yamcs_archive import Event, Severity
from yamcs_archive.errors import UnavailableError
from yamcs_archive.instance import Instance
from yamcs_archive.storage import failpoints
from yamcs_archive.storage.disk.log_files import segment_numbers
from yamcs_archive.storage.format.log_segments import FRAME_BYTES, decode_header, frame, records_from

Open = Callable[..., AbstractContextManager[Instance]]
"""Opens an instance for writing, created if it is missing; options may be given."""
NAMES = ("logged", "cut", "kept")
_SEVERITIES = tuple(Severity)


def fill(directory: Path, opened: Open) -> None:
    """Write the instances into an archive's directory."""
    epochs = itertools.count(0x5EED0001)
    with (
        patch("secrets.randbits", lambda bits: next(epochs)),
        patch("yamcs_archive.storage.young.views.TABLE_EVENTS_LEFT_MAX", 10_000),
    ):
        _fill_logged(directory / "logged" / "gen-1", opened)
        _fill_cut(directory / "cut" / "gen-1", opened)
        _fill_kept(directory / "kept" / "gen-1", opened)
    for segment in (directory / "logged" / "gen-1").glob("log-*"):
        if segment.stat().st_size > 1 << 16:
            _shorten(segment)


def _event(message: str, source: str, time: int, number: int, delay: int = 0, **more: Any) -> Event:
    return Event(
        message, source=source, generation_time=time, seq_number=number, reception_time=time + delay, **more
    )


def _fill_logged(generation: Path, opened: Open) -> None:
    """Write several segments, the last one torn, with every form of a record and of columns."""
    with opened("logged") as logged:
        logged.append(_event("alone", "A", 5_000, 1))
        logged.settle()
        logged.append_many([_event("block", "B", 100 * n, n) for n in range(20)])
        logged.settle()
        logged.append(_event("between", "B", 2_150, 50))
        logged.append_many([_event("around", "B", 2_000 + 100 * n, 30 + n) for n in range(4)])
        _checkpoint(logged, 0)
        logged.append_many([_event("around again", "B", 2_050 + 100 * n, 40 + n) for n in range(4)])
        _checkpoint(logged, 0)  # one commit of several runs by itself
        logged.append(_event("late", "L", 1_050, 0))
        _checkpoint(logged, 9)
    with opened("logged", run_events_min=8) as logged:  # a large run with a late event
        bulk = [_event("bulk", "B", 5_100 + n, 20 + n) for n in range(8)]
        logged.append_many([_event("late too", "L", 1_350, 9), *bulk])
    with opened("logged") as logged:
        logged.append(_event("young", "B", 6_000, 1, -3))
        _append_columns(logged)
        with _failing("checkpoint-carried"):
            _checkpoint(logged, 9)
        logged.append_many([_event("run", "B", 9_000 + 10 * n, 60 + n) for n in range(3)])
        logged.append_many([_event("runs", "B", 8_995 + 10 * n, 70 + n) for n in range(4)])
    (generation / "log.end").unlink()
    with opened("logged") as logged:  # the doubtful record is written anew
        logged.append(_event("asked", "Q", 9_100, 1), request_id="first")
        logged.append(_event("asked", "Q", 9_100, 1), request_id="a retry")
        logged.append_many([_event("asked", "Q", 9_200 + n, 2 + n) for n in range(2)], request_id="several")
    _tear(generation)
    with opened("logged") as logged:
        logged.append(_event("after a tear", "B", 9_900, 99))
    _tear(generation)


def _append_columns(logged: Instance) -> None:
    """Append commits of all forms of columns."""
    logged.append(
        _event(
            "all fields",
            "é",
            6_100,
            -1,
            severity=Severity.ERROR,
            type="T",
            created_by="me",
            extensions=b"\xa0\6\1",
            extra={"a": "ß"},
        )
    )
    for start, count in ((6_300, 256), (6_600, 257)):
        logged.append_many([_event("", f"W{n}", start + n, n) for n in range(count)])
    logged.append_many(
        [
            _event(
                f"Höhe {n}\0\U0001f680",
                "C",
                -5_000 + 10 * n,
                n,
                severity=_SEVERITIES[n],
                type=("", "T", None)[n % 3],
                created_by=(None, "me")[n % 2],
                extensions=b"\xa0\6\1" if n == 1 else b"",
                extra={"unit": "V", "": ""} if n == 2 else {},
            )
            for n in range(len(_SEVERITIES))
        ]
    )


def _fill_cut(generation: Path, opened: Open) -> None:
    """Write a log that was acknowledged beyond the end that the medium has, as a power cut leaves it."""
    with opened("cut") as cut:
        cut.append(_event("first", "A", 1, 1))
        end = (generation / "log.end").read_bytes()
        cut.append(_event("second", "A", 2, 2))
    (generation / "log.end").write_bytes(end)
    (generation / "log-7").write_bytes(bytes(4096))
    (generation / "log-8").write_bytes(b"yarclog\0\0\0\0\1" + bytes(500))


def _fill_kept(generation: Path, opened: Open) -> None:
    """Write a log of which LMDB has everything, without an acknowledged end, and zeros not cut off."""
    with opened("kept") as kept:
        kept.append(_event("first", "A", 1, 1))
        kept.append(_event("second", "A", 2, 2))
    [number] = segment_numbers(generation)
    segment = generation / f"log-{number}"
    kept_bytes = segment.read_bytes()
    with opened("kept") as kept:
        kept.settle()
    segment.write_bytes(kept_bytes + bytes(512))
    (generation / "log.end").unlink()


def _checkpoint(instance: Instance, left_max: int) -> None:
    """Put what is young into blocks, but for some late events."""
    store: Any = instance._store  # below every public door
    with patch("yamcs_archive.storage.write.checkpoint.PACK_COMMITS_MAX", 1):
        store._writer.checkpoint_all(left_max)


@contextmanager
def _failing(point: str) -> Iterator[None]:
    """Let a step fail once, and expect that."""

    def fail(name: str) -> None:
        if name == point:
            raise UnavailableError(point)

    with patch.object(failpoints, "on_point", fail), pytest.raises(UnavailableError):
        yield


def _tear(generation: Path) -> None:
    """Write the first part of a record behind the last one, as a power cut leaves it."""
    number = segment_numbers(generation)[-1]
    path = generation / f"log-{number}"
    data = memoryview(path.read_bytes())
    header = decode_header(data, number)
    if header is None:
        raise AssertionError("the newest segment is empty")
    *_, last = records_from(data, header.begin, header.first, len(data))
    torn, _ = frame(bytes(last.payload), last.sequence + 1, last.after)
    path.write_bytes(bytes(data) + torn[: FRAME_BYTES + 40] + bytes(200))


def _shorten(segment: Path) -> None:
    """Cut most zeros off a segment that a failure has left: a golden archive is small."""
    used = segment.read_bytes().rstrip(b"\0")
    segment.write_bytes(used + bytes(-len(used) % 8 + 64))
