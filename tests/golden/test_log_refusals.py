"""The second reader refuses every log that breaks a rule of the page, and finds every flipped byte.

The checksums are right, except in the cases that are about checksums.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import msgpack
import pytest

from tests.golden.log import END, FRAME, HEADER
from tests.golden.make import HERE
from tests.golden.reader import read
from tests.golden.values import BrokenError

ARCHIVE = HERE / "v2" / "forms" / "archive"
LAST = max((ARCHIVE / "logged" / "gen-1").glob("log-*"), key=lambda path: int(path.name[4:])).name
BEFORE = f"log-{int(LAST[4:]) - 1}"
Change = Callable[[Path], None]
Payload = list[Any]


@pytest.fixture
def logged(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ARCHIVE / "logged", tmp_path / "logged"))


def payload(change: Callable[[Payload], None]) -> Change:
    """Return a change of the payload of the last record, which has one event."""

    def changed(folder: Path) -> None:
        path = folder / LAST
        data = path.read_bytes()
        place = last_place(data)
        epoch, size, sequence, before, _ = FRAME.unpack_from(data, place)
        begin = place + FRAME.size
        value = msgpack.unpackb(data[begin : begin + size], strict_map_key=True)
        change(value)
        packed = msgpack.packb(value)
        head = FRAME.pack(epoch, len(packed), sequence, before, 0)[:-4]
        checksum = crc32(packed, crc32(head))
        path.write_bytes(data[:place] + head + checksum.to_bytes(4, "big") + packed + bytes(-len(packed) % 8))
        (folder / "log.end").unlink()

    return changed


def last_place(data: bytes) -> int:
    """Return the offset of the last whole record of a segment."""
    epoch = HEADER.unpack_from(data)[2]
    found, place = 0, HEADER.size
    while place + FRAME.size <= len(data):
        named, size, _, _, checksum = FRAME.unpack_from(data, place)
        body = data[place + FRAME.size : place + FRAME.size + size]
        if named != epoch or crc32(body, crc32(data[place : place + 20])) != checksum:
            break
        found, place = place, place + FRAME.size + size + -size % 8
    return found


def header(**fields: int | bytes) -> Change:
    """Return a change of fields of the last segment's header, with right checksums."""

    def changed(folder: Path) -> None:
        path = folder / LAST
        data = path.read_bytes()
        names = "magic form epoch number first before before_epoch before_offset before_checksum archive sum"
        values = dict(zip(names.split(), HEADER.unpack_from(data), strict=True))
        packed = HEADER.pack(*(values | fields).values())[:-4]
        packed += crc32(packed).to_bytes(4, "big")
        path.write_bytes(packed + relinked(data[HEADER.size :], crc32(packed)))

    return changed


def relinked(data: bytes, checksum: int) -> bytes:
    """Return records that follow another one, with right checksums."""
    found = b""
    while len(data) >= FRAME.size:
        epoch, size, sequence, _, old = FRAME.unpack_from(data)
        body = data[FRAME.size : FRAME.size + size]
        if crc32(body, crc32(data[:20])) != old:
            break
        head = FRAME.pack(epoch, size, sequence, checksum, 0)[:-4]
        checksum = crc32(body, crc32(head))
        padded = FRAME.size + size + -size % 8
        found += head + checksum.to_bytes(4, "big") + data[FRAME.size : padded]
        data = data[padded:]
    return found + data


def end(offset: int) -> Change:
    """Return a change that moves the acknowledged end within its segment."""

    def changed(folder: Path) -> None:
        number, epoch, _, sequence, zeros, _ = END.unpack((folder / "log.end").read_bytes())
        packed = END.pack(number, epoch, offset, sequence, zeros, 0)[:-4]
        (folder / "log.end").write_bytes(packed + crc32(packed).to_bytes(4, "big"))

    return changed


def put(*path: int, value: Any) -> Callable[[Payload], None]:
    """Return a change of one value within a payload."""

    def changed(found: Payload) -> None:
        for at in path[:-1]:
            found = found[at]
        found[path[-1]] = value

    return changed


def column(at: int, value: Any) -> Change:
    """Return a change of one column of a commit of one event."""
    return payload(put(0, 0, 3, at, value=value))


def other_file(folder: Path) -> None:
    (folder / "log-x").touch()


CASES: dict[str, tuple[str, Change]] = {
    "header, form": ("is something else", header(form=2)),
    "header, number": ("is something else", header(number=9)),
    "header, epoch 0": ("of no form", header(epoch=0)),
    "header, predecessor's epoch": ("are missing", header(before_epoch=7)),
    "header, predecessor": ("are missing", header(before=3)),
    "header, place": ("is damaged", header(before_offset=72)),
    "header, first record": ("is damaged", header(first=900)),
    "header, archive": ("of another archive", header(archive=bytes(8))),
    "the last segment is gone": ("acknowledged, is missing", lambda folder: (folder / LAST).unlink()),
    "a segment that is gone": ("are missing", lambda folder: (folder / BEFORE).unlink()),
    "another file": ("what is log-x", other_file),
    "an end beyond the log": ("was acknowledged", end(10_000)),
    "a value more": ("no array of 5", payload(lambda found: found.append(None))),
    "commit, number": ("have gaps", payload(put(0, 0, 0, value=900))),
    "commit, runs": ("an event is in no run", payload(put(0, 0, 2, value=[]))),
    "commit, runs beyond": ("no integer from 0 to", payload(put(0, 0, 2, value=[0, 1]))),
    "columns, a column less": ("no array of 11", payload(lambda found: found[0][0][3].pop())),
    "columns, times": ("are no 1 integers", column(1, b"")),
    "columns, delays": ("are no 1 integers", column(3, bytes(16))),
    "columns, severity": ("are no codes", column(4, b"\7")),
    "columns, severities": ("are no codes", column(4, b"\0\0")),
    "columns, no source": ("no str", column(5, [[None], b""])),
    "columns, an empty source": ("a source is empty", column(5, [[""], b""])),
    "columns, codes of one value": ("codes of a single value", column(6, [["T"], b"\0"])),
    "columns, codes beyond": ("codes for 1 events", column(6, [["T", "U"], b"\2"])),
    "columns, a value twice": ("twice", column(6, [["T", "T"], b"\0"])),
    "columns, messages": ("no array of 1", column(8, [])),
    "columns, extensions": ("no array of 1", column(9, [])),
    "columns, extra": ("no map", column(10, [[]])),
    "source, events": ("events, not", payload(lambda found: found[1][0][1].__setitem__(0, 99))),
    "fact, checksum": ("checksum of meta", payload(put(3, value=[[b"mirrored", bytes(9)]]))),
    "carried, and more": ("has more", payload(put(4, value=[[], b"", 0]))),
}


@pytest.mark.parametrize("case", CASES)
def test_the_second_reader_refuses_a_log_that_breaks_a_rule_of_the_page(case: str, logged: Path) -> None:
    reason, change = CASES[case]
    read(logged)
    change(logged / "gen-1")
    with pytest.raises(BrokenError, match=reason):
        read(logged)


def test_a_flipped_bit_of_the_log_is_found_or_is_that_of_the_torn_end(logged: Path) -> None:
    """In every eleventh byte, because each takes a whole reading."""
    before = read(logged)
    generation = logged / "gen-1"
    stop = HEADER.unpack_from((generation / LAST).read_bytes())[7]
    for path in (generation / BEFORE,):
        data = path.read_bytes()
        for place in range(0, stop, 11):
            path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
            with pytest.raises(BrokenError):
                read(logged)
        path.write_bytes(data)
    path = generation / LAST
    data = path.read_bytes()
    for place in range(last_place(data), len(data), 11):
        path.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        if place < len(data) - 200 - 64:  # the only record, which was acknowledged
            with pytest.raises(BrokenError):
                read(logged)
        else:
            assert read(logged) == before
