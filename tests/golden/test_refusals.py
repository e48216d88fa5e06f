"""The second reader refuses every archive that breaks a rule; otherwise a wrong golden archive could pass.

Each case alters one thing in a copy of the golden archive of all forms. The checksums are right, except in
the cases that are about checksums.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.golden import records
from tests.golden.altering import Copy, at
from tests.golden.blocks import block
from tests.golden.changes import (
    BEYOND_ALL,
    Change,
    alter,
    alter_body,
    alter_chunks,
    alter_keys,
    any_of,
    any_part,
    both,
    divided_by_one,
    folding,
    group,
    hashed,
    hashed_group,
    header,
    is_of_two_parts,
    mark_all_plain,
    meta,
    move,
    named,
    named_group,
    one_info_more,
    remove,
    several,
    single,
    ten_apart,
    wide,
    with_a_trailing_byte,
    with_half_a_header,
    with_late_as_main,
    with_trailing_text,
    without_the_last_chunk,
)
from tests.golden.make import HERE
from tests.golden.reader import NAMES, instances
from tests.golden.texts import text_filter
from tests.golden.values import BrokenError

ARCHIVE = HERE / "v2" / "forms" / "archive"
ROWS_ARCHIVE = HERE / "v1" / "counts" / "archive"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return Path(shutil.copytree(ARCHIVE, tmp_path / "archive"))


@pytest.fixture
def earlier(tmp_path: Path) -> Path:
    """An archive of version 1, which has rows."""
    return Path(shutil.copytree(ROWS_ARCHIVE, tmp_path / "earlier"))


CASES: dict[str, tuple[str, Change]] = {
    "format": ("format is 3", meta("format", 3)),
    "format, of what has a log": ("meta has", meta("format", 1)),
    "checkpoint": ("the checkpoint is", meta("checkpoint", [5, 5, -1])),
    "checkpoint, no array": ("no array of 3", meta("checkpoint", 5)),
    "reader": ("no reader", meta("reader", "soon")),
    "meta, another key": ("meta has", meta("epoch", 0)),
    "meta, a key that is no text": ("no UTF-8", move("meta", any_of, lambda key: b"\xff")),
    "meta, no key": ("meta has", remove("meta", lambda pair: pair.key == b"horizon_commit")),
    "lineage": ("not 8 bytes", meta("lineage", b"7 bytes")),
    "horizon": ("before no horizon", meta("horizon_commit", 1)),
    "pruned, horizon beyond its commit": (
        "none of those up to horizon_commit",
        both(meta("horizon", 5_000_000), alter("sources", lambda pair: pair.key == b"P", at(0, 0))),
    ),
    "pruned, more events than the commit had": ("more events than 1", alter("commits", single, at(2, 1))),
    "another sub-database": ("sub-databases are", lambda copy: copy.add_database("more")),
    "mirrored": ("no array of 3", meta("mirrored", ["url", "instance"])),
    "source, events": ("events, not", alter("sources", any_of, at(0, lambda held: held + 1))),
    "source, number": ("greater ones than", alter("sources", any_of, at(1, lambda held: held - 1))),
    "source, time": ("greater ones than", alter("sources", any_of, at(2, lambda held: held + 1))),
    "source, nil": ("nothing greatest", alter("sources", any_of, at(1, None))),
    "source, key": ("is no source", move("sources", any_of, lambda key: key + b"\0")),
    "source, none": ("not in sources", remove("sources", any_of)),
    "row, defaults": (
        "ends with a default",
        alter("rows", lambda row: len(row.body) == 4, lambda row: [*row, None]),
    ),
    "row, severity": ("from 0 to 6", alter("rows", any_of, at(2, 7))),
    "row, commit": ("has no record", alter("rows", any_of, at(0, 10**6))),
    "row, key": ("no event key", move("rows", any_of, lambda key: key[:-5] + b"\1" + key[-4:])),
    "row, twice": (
        "stored twice",
        move("rows", any_of, lambda key: b"\x7f\xfc\x72\x81\x5b\x39\x80\0W0\0\x80\0\0\0"),
    ),
    "summary, level": ("of level 02", move("summaries", group, lambda key: b"\2" + key[1:])),
    "summary, a level too high": (
        "one summary for each",
        move("summaries", hashed, lambda key: b"\1" + key[1:]),
    ),
    "summary, none": ("one summary for each", remove("summaries", named)),
    "summary, last key": (
        "ends elsewhere",
        alter("summaries", hashed, at(0, lambda key: key[:-1] + b"\xfe")),
    ),
    "summary, events": ("by severity", alter("summaries", hashed, at(1, lambda events: events + 1))),
    "summary, events of both": (
        "counts other events",
        alter("summaries", hashed, lambda body: at(1, body[1] + 1)(at(6, one_info_more)(body))),
    ),
    "summary, counts": (
        "counts other severities",
        alter("summaries", hashed, at(6, lambda counts: counts[1:] + counts[:1])),
    ),
    "group, counts": (
        "counts other severities",
        alter("summaries", group, at(6, lambda counts: counts[1:] + counts[:1])),
    ),
    "summary, a count less": ("no array of 7", alter("summaries", hashed, at(6, lambda counts: counts[1:]))),
    "summary, a value more": ("has 8 values", alter("summaries", hashed, lambda body: [*body, 0])),
    "summary, a hash less": ("lacks source", alter("summaries", hashed, at(2, lambda found: found[:-4]))),
    "summary, part of a hash": ("cut off", alter("summaries", hashed, at(2, lambda found: found[:-1]))),
    "summary, order of hashes": (
        "not in order, each once",
        alter("summaries", hashed, at(2, lambda found: found[:1] + found[5:9] + found[1:5] + found[9:])),
    ),
    "summary, a hash twice": (
        "not in order, each once",
        alter("summaries", hashed, at(2, lambda found: found[:5] + found[1:])),
    ),
    "summary, another name": ("lacks source", alter("summaries", named, at(2, b"\0other\0"))),
    "summary, no NUL after": (
        "NUL before and after",
        alter("summaries", named, at(2, lambda found: found[:-1])),
    ),
    "summary, 17 names": (
        "has 17 names",
        alter("summaries", named, at(2, b"\0" + b"".join(b"%c\0" % letter for letter in range(65, 82)))),
    ),
    "summary, severities": ("lacks severity", alter("summaries", hashed, at(3, 2))),
    "summary, commits": ("lacks commit", alter("summaries", hashed, lambda body: at(4, 2)(at(5, 2)(body)))),
    "group, key": ("begins with no block", move("summaries", group, lambda key: key[:-1] + b"\1")),
    "group, last key": (
        "ends within a block",
        alter("summaries", hashed_group, at(0, b"\x7f\xff\xa5\x0c\xef\x85\xc0\0W0\0\x80\0\0\0")),
    ),
    "group, events": ("by severity", alter("summaries", hashed_group, at(1, lambda events: events - 1))),
    "group, a hash less": ("lacks source", alter("summaries", hashed_group, at(2, lambda found: found[:-4]))),
    "group, another name": ("lacks source", alter("summaries", named_group, at(2, b"\0other\0"))),
    "group, severities": ("lacks severity", alter("summaries", hashed_group, at(3, 2))),
    "group, commits": ("lacks commit", alter("summaries", hashed_group, at(5, 1))),
    "groups, overlap": ("groups overlap", alter("summaries", group, at(0, BEYOND_ALL))),
    "texts, bits": ("excludes", alter("texts", any_of, lambda body: zstandard.compress(bytes(8192)))),
    "texts, bits of a group": (
        "excludes",
        alter("texts", group, lambda body: zstandard.compress(bytes(8192))),
    ),
    "texts, size": ("another size", alter("texts", any_of, lambda body: zstandard.compress(bytes(8191)))),
    "texts, no frame": ("no zstd frame", alter("texts", any_of, lambda body: body[:-1] + b"\xff")),
    "texts, folding": (
        "should hold anything",
        alter("texts", lambda pair: pair.body is None, lambda body: zstandard.compress(b"\xff" * 8192)),
    ),
    "texts, of nothing": (
        "no summary",
        move("texts", group, lambda key: key[:-1] + b"\1"),
    ),
    "texts, level": ("of level 02", move("texts", group, lambda key: b"\2" + key[1:])),
    "texts, none": ("no sub-database texts", lambda copy: copy.drop_database("texts")),
    "commit, key": ("no commit's number", move("commits", any_of, lambda key: key + b"\0")),
    "commit, a run that falls": (
        "does not rise",
        alter("commits", single, at(3, lambda runs: [runs[0][::-1]])),
    ),
    "commit, nothing": ("is empty", alter("commits", any_of, lambda body: [])),
    "commit, kind": ("is of kind 2", alter("commits", any_of, at(0, 2))),
    "commit, none": ("have gaps", remove("commits", several)),
    "commit, events": ("events, not", alter("commits", single, at(2, lambda events: events + 1))),
    "commit, runs": ("in none of its runs", alter("commits", single, at(3, lambda runs: [runs[0][1]]))),
    "commits, count": ("planes are not those", alter("commits", several, at(1, lambda count: count + 1))),
    "commits, order of runs": (
        "not in order, or overlap",
        alter("commits", lambda pair: len(pair.body[-1]) > 1, lambda body: [*body[:-1], body[-1][::-1]]),
    ),
    "request, key": ("no user, NUL and id", move("requests", any_of, lambda key: key + b"\0")),
    "request, no event": (
        "points to no event",
        alter("requests", any_of, at(2, lambda keys: [keys[0][:-1] + b"\x99"])),
    ),
    "request, two events": ("no array of 1", alter("requests", any_of, at(2, lambda keys: keys * 2))),
    "request, digest": ("digest of something else", alter("requests", any_of, at(1, bytes(16)))),
    "request, part of a digest": ("not 16 bytes", alter("requests", any_of, at(1, bytes(15)))),
    "block, half a header": ("shorter than a header", with_half_a_header),
    "block, over another": (
        "blocks overlap",
        alter_keys(ten_apart, at(1, b"\0" + (100).to_bytes(8, "big"))),
    ),
    "block, no events": ("has 0 events", header(events=0)),
    "block, too many events": ("has 65537 events", header(events=65_537)),
    "block, another size": ("another content size", header(key_raw=1)),
    "block, a bomb": ("says that it has", header(body_raw=(1 << 30) + 1)),
    "block, cut off": ("ends before its chunks", header(text_bytes=10**6)),
    "block, a late part for a main one": ("first checksum of blocks", with_late_as_main),
    "block, trailing byte": ("bytes after the second part", with_a_trailing_byte),
    "block, late before the first": (
        "not between its own first and last",
        alter_keys(any_part, at(0, -(10**6)), part=1),
    ),
    "block, another first event": (
        "begins with another event",
        alter_keys(wide, at(0, lambda time: time - 1)),
    ),
    "block, order": ("in the order of keys", alter_keys(wide, at(1, bytes(9)), part=0)),
    "block, severities": ("are no codes", alter_keys(wide, at(6, lambda codes: b"\7" + codes[1:]))),
    "block, sources": ("those that occur", alter_keys(wide, at(2, lambda names: [*names[:-1], "~"][::-1]))),
    "block, a source that does not occur": (
        "those that occur",
        alter_keys(wide, at(2, lambda names: [*names, "~"])),
    ),
    "wide index of bytes": ("width 0 have 256 bytes", alter_keys(wide, at(3, bytes(257)))),
    "wide index, beyond": ("an index of", alter_keys(wide, at(3, b"\0" + (257).to_bytes(8, "big")))),
    "wide index, below 0": ("an index of", alter_keys(wide, at(3, b"\0" + b"\xff" * 8))),
    "wide table, an entry twice": (
        "no table of texts",
        alter_body(wide, at(2, lambda types: [[*types[0][:-1], types[0][0]], types[1]])),
    ),
    "wide table, users": (
        "an index of",
        alter_body(wide, at(5, lambda users: [users[0], b"\0" + b"\1" * 8])),
    ),
    "table of nothing": ("no table of texts", alter_body(wide, at(2, [[None], bytes(257)]))),
    "integers, a divisor of 1": (
        "divides nothing",
        alter_keys(lambda part: 0 < part.keys[1][0] < 128, at(1, divided_by_one)),
    ),
    "integers, width": ("integers begin with 3", alter_keys(wide, at(7, b"\3" + bytes(3 * 257)))),
    "integers, a value of none": (
        "value of no integers",
        alter_keys(lambda part: len(part.keys[6]) == 1, at(1, b"\0" + b"\1" * 8)),
    ),
    "chunk, none": ("have 240 messages", lambda copy: copy.alter_part(wide, without_the_last_chunk)),
    "chunk, more bytes": ("fewer than their bytes", with_trailing_text),
    "chunk, plain": ("is not plain", alter_body(folding, mark_all_plain)),
    "chunk, white space": (
        "form of a message chunk",
        alter_chunks(at(0, lambda text: text.replace(b",", b", "))),
    ),
    "chunk, a message less": ("messages, not 20", alter_chunks(at(0, b'[""]'))),
    "chunk, of no text": ("is no str", alter_chunks(at(0, lambda text: text.replace(b'""', b"0", 1)))),
    "extensions": ("no array of 257", alter_body(wide, at(6, [b""]))),
    "extra": ("is no map", alter_body(wide, at(7, [[]] * 257))),
    "reception": ("does not say what", alter_body(wide, at(0, 1))),
}


@pytest.mark.parametrize("case", CASES)
def test_the_second_reader_refuses_an_archive_that_breaks_a_rule_of_the_page(
    case: str, archive: Path, earlier: Path
) -> None:
    reason, change = CASES[case]
    of_rows = case.startswith("row")
    copy = Copy((earlier if of_rows else archive) / ("pruned" if case.startswith("pruned") else "forms"))
    copy.read()
    change(copy)
    with pytest.raises(BrokenError, match=reason):
        copy.read()


DECODERS: dict[str, Callable[[bytes, bytes], Any]] = {
    "meta": lambda key, value: records.meta({key: value}, set()),
    "sources": lambda key, value: records.source(key, value, set()),
    "rows": lambda key, value: records.row(key, value, set()),
    "blocks": lambda key, value: block(key, value, set()),
    "summaries": lambda key, value: records.summary(key, value, set()),
    "commits": lambda key, value: records.commits(key, value, set()),
    "requests": lambda key, value: records.request(key, value, set()),
    "texts": lambda key, value: text_filter(key, value, set()),
}


@pytest.mark.parametrize("name", NAMES)
def test_no_bit_of_a_value_may_change(name: str, archive: Path, earlier: Path) -> None:
    key, value = max(
        Copy((earlier if name == "rows" else archive) / "forms").raw(name),
        key=lambda pair: is_of_two_parts(name, pair[1]),
    )
    for place in range(len(value)):
        for bit in (1, 128):
            changed = bytearray(value)
            changed[place] ^= bit
            with pytest.raises(BrokenError, match="checksum"):
                DECODERS[name](key, bytes(changed))


@pytest.mark.parametrize("name", NAMES)
def test_a_value_under_the_key_of_another_is_refused(name: str, archive: Path, earlier: Path) -> None:
    copy = Copy((earlier if name == "rows" else archive) / "forms")
    (key, _), (_, value) = copy.raw(name)[:2]
    copy.put_raw(name, key, value)
    with pytest.raises(BrokenError, match="checksum"):
        copy.read()


@pytest.mark.parametrize("text", ["gen-2", "gen-02\n", "gen-2\n\n", ".gen-1.old\n"], ids=re.escape)
def test_a_file_that_names_no_generation_is_refused(text: str, archive: Path) -> None:
    copy = Copy(archive / "forms")
    (copy.instance / "CURRENT").write_text(text)
    with pytest.raises(BrokenError, match="names no generation"):
        copy.read()


def test_another_layout_is_refused(archive: Path) -> None:
    assert len(instances(archive)) == 7
    (archive / "ARCHIVE").write_text("yamcs_archive directory, layout 2\n")
    with pytest.raises(BrokenError, match="something else"):
        instances(archive)
