"""What a power cut leaves: states of a medium, made from the recorded writes of an archive, each opened.

The record has a record of acknowledgements within it, so that each state is compared with what had been
acknowledged by then (``benchmarks/power_cut``).
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from random import Random

import pytest

from benchmarks.crash.offers import Checked, unframed
from benchmarks.power_cut import recording
from benchmarks.power_cut.medium import File, Medium, UnknownActionError, Write
from benchmarks.power_cut.recording import MARKS, Entry, entries, record
from benchmarks.power_cut.replay import Walk, checked, drawn, without_failed
from benchmarks.power_cut.states import SECTOR, State, choosers
from tests.crash.labs import lab

WAIT_S = 240
LOOKS_MAX = 6
needs_compiler = pytest.mark.skipif(
    recording.compiler() is None, reason="no C compiler (cc, or what CC names): writes cannot be recorded"
)


@needs_compiler
def test_every_state_after_a_power_cut_has_what_was_acknowledged(tmp_path: Path) -> None:
    printed = lab("power_cut", "--states", 60, "--seed", 1, "--at-once", 1, "--scratch", tmp_path)
    assert "states 60" in printed
    assert set(tmp_path.iterdir()) == set()


@needs_compiler
@pytest.mark.long
def test_many_states_after_power_cuts_have_what_was_acknowledged(tmp_path: Path) -> None:
    printed = lab("power_cut", "--states", 600, "--seed", 1000, "--scratch", tmp_path)
    kinds = dict(re.findall(r"([a-z][a-z0-9 ]+?) (\d+)(?:, |$)", printed.splitlines()[-1].partition(": ")[2]))
    assert sum(map(int, kinds.values())) == 600
    assert {"all lost", "all kept", "in order", "reordered", "torn at 512", "torn at 4096"} <= kinds.keys()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recording.build(tmp_path_factory.mktemp("library"))


def recorded(library: Path, folder: Path, lives: dict[int, tuple[int, str]]) -> tuple[str, list[Entry]]:
    """Record lives, each with a number of operations and the action in which it dies."""
    root, log = folder / "root", folder / "record"
    root.mkdir()
    for life, (operations, die_in) in lives.items():
        ended = record(library, root, log, (root, log, 7, life, operations), die_in)
        assert (ended == 0) is not bool(die_in), (life, ended)
    return str(root), list(entries(log))


@pytest.fixture(scope="module")
def undisturbed(library: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Entry]]:
    """The path and the record of one life that is not killed."""
    return recorded(library, tmp_path_factory.mktemp("undisturbed"), {0: (80, "")})


@needs_compiler
def test_an_archive_writes_only_what_the_model_knows_and_its_head_within_a_sector(
    undisturbed: tuple[str, list[Entry]],
) -> None:
    root, whole = undisturbed
    medium = Medium(root)
    for entry in whole:
        medium.apply(entry)  # raises for an action that it does not know
    synced = [entry for entry in whole if entry.op == "D"]
    assert len(synced) > 10
    for entry in synced:  # LMDB's head, which makes a commit valid: no medium tears it
        assert entry.offset // SECTOR == (entry.offset + len(entry.text) - 1) // SECTOR
    ops = {entry.op for entry in whole}
    assert {"O", "C", "W", "D", "E", "S", "K", "R", "M"} <= ops


def test_half_of_the_records_have_lives_that_end_in_an_action_that_fails() -> None:
    draws = [drawn(Random(seed)) for seed in range(1000)]
    failing = [ends for fails, ends in draws if fails]
    others = [ends for fails, ends in draws if not fails]
    assert 450 < len(failing) < 550
    assert {len(ends) for ends in failing} == {2, 3}
    assert {len(ends) for ends in others} == {1, 2, 3}
    for kinds, drawn_ends in (("Dsw", failing), ("DSWsw", others)):
        assert {end[0] for ends in drawn_ends for end in ends[:-1]} == set(kinds)
        assert all(ends[-1] == "" for ends in drawn_ends)


@needs_compiler
@pytest.mark.parametrize("death", ["w", "s", "D"])
def test_an_action_that_has_failed_is_a_write_of_the_log_or_of_a_head(
    tmp_path: Path, library: Path, death: str
) -> None:
    _, whole = recorded(library, tmp_path, {0: (30, f"{death}4"), 1: (0, "")})
    left, lost = without_failed(whole)
    assert lost == 1
    assert len(left) == len(whole) - 1
    at = next(at for at, (entry, kept) in enumerate(zip(whole, left, strict=False)) if entry is not kept)
    last = next(nth for nth, entry in enumerate(whole) if nth > at and entry.op == "B")
    opened = [
        entry.text for entry in whole[:at] if (entry.op, entry.descriptor) == ("O", whole[at].descriptor)
    ]
    assert whole[at].op == ("D" if death == "D" else "W")
    assert (b"/data.mdb" if death == "D" else b"/log-") in opened[-1]
    assert not [entry for entry in whole[at + 1 : last] if entry.op in "SE"]  # it died within it


@needs_compiler
@pytest.mark.parametrize("fails", [False, True])
def test_what_a_reopened_archive_shows_is_on_the_medium_already(
    tmp_path: Path, library: Path, undisturbed: tuple[str, list[Entry]], fails: bool
) -> None:
    """The process before died in the sync of a record of the log, which only the page cache may have got.

    What the next process finds there it shows, and acknowledges again as a duplicate. If the sync has failed,
    no later one brings the record to the medium: the system takes the page for written.
    """
    _, whole = undisturbed
    log = {entry.descriptor for entry in whole if entry.op == "O" and b"/log-" in entry.text}
    syncs = [(at, entry) for at, entry in enumerate(whole) if entry.op == "S"]
    nth = next(
        nth
        for nth, (at, sync) in enumerate(syncs, 1)
        if nth > 12 and sync.descriptor in log and [each.op for each in whole[at + 1 : at + 3]] == ["W", "M"]
    )
    root, whole = recorded(library, tmp_path, {0: (30, f"S{nth}"), 1: (0, "")})
    again = [at for at, entry in enumerate(whole) if entry.op == "B"][1]
    if fails:
        whole, lost = without_failed(whole)
        assert lost == 1
        again -= 1
    walk, shown, looked = Walk(root), 0, 0
    for at, entry in enumerate(whole):
        notes = list(unframed(bytearray(entry.text))) if entry.op == "M" else []
        assert walk.step(entry) == []
        if at > again and notes and looked < LOOKS_MAX:
            looked += 1
            state = State(walk.medium, lambda _: [])
            assert checked(state, walk.ledger, tmp_path / "state", "all lost") == []
            shown += sum(len(note.found) for note in notes if isinstance(note, Checked))
    assert shown == 1


@needs_compiler
def test_a_compaction_lasts_before_the_old_generation_goes(
    tmp_path: Path, undisturbed: tuple[str, list[Entry]]
) -> None:
    root, whole = undisturbed
    renamed = [
        at for at, entry in enumerate(whole) if entry.op == "R" and entry.more.endswith(b"/sim/CURRENT")
    ]
    gone = max(at for at, entry in enumerate(whole) if entry.op == "U" and b".old" in entry.text)
    begin = max(at for at in renamed if at < gone)
    assert 0 < gone - begin < 40
    walk, rng = Walk(root), Random(1)
    for at, entry in enumerate(whole[: gone + 1]):
        assert walk.step(entry) == []
        if at >= begin and entry.op in "RU":  # a change of names, which is kept or lost beside others
            for kind, kept in chain.from_iterable(choosers(walk.medium, rng) for _ in range(8)):
                if kind == "reordered":
                    state = State(walk.medium, kept)
                    assert checked(state, walk.ledger, tmp_path / "state", f"{at}") == [], (at, kind)


def entry(op: str, descriptor: int = 3, offset: int = 0, text: str = "", more: str = "") -> Entry:
    return Entry(op, descriptor, offset, text.encode(), more.encode())


def states(*done: Entry, seeds: int = 60) -> Iterator[dict[str, bytes]]:
    """Yield states after some entries, as contents by path."""
    medium = Medium("/r")
    for each in done:
        medium.apply(each)
    for seed in range(seeds):
        for _, kept in choosers(medium, Random(seed)):
            yield State(medium, kept).contents


MADE = (entry("O", text="/r/f", offset=1), entry("O", 4, text="/r"), entry("S", 4))


def test_a_write_may_be_lost_until_its_file_is_synced() -> None:
    written = (*MADE, entry("W", text="abc"))
    assert {found["/f"] for found in states(*written)} == {b"", b"abc"}
    assert {found["/f"] for found in states(*written, entry("S"))} == {b"abc"}


def test_a_name_may_be_lost_until_its_folder_is_synced_whatever_its_file_is() -> None:
    made = (entry("O", text="/r/f", offset=1), entry("W", text="abc"), entry("S"))
    found = [*states(*made)]
    assert {} in found
    assert {"/f": b"abc"} in found
    assert [*states(*made, *MADE[1:])] == [{"/f": b"abc"}] * 60


def test_a_rename_is_there_or_not_and_never_half() -> None:
    new = (entry("O", 5, 1, "/r/new"), entry("W", 5, 0, "new"), entry("S", 5), entry("S", 4))
    renamed = entry("R", -1, 0, "/r/new", "/r/f")
    found = [*states(*MADE, entry("W", text="old"), entry("S"), *new, renamed)]
    assert {tuple(sorted(each.items())) for each in found} == {
        (("/f", b"old"), ("/new", b"new")),
        (("/f", b"new"),),
    }


def test_a_write_is_torn_at_sectors_and_pages() -> None:
    found = {each["/f"] for each in states(*MADE, entry("W", text="x" * 8192))}
    lengths = {len(content) for content in found}
    assert 512 in {content.count(b"x") for content in found}
    assert 4096 in lengths
    assert any(b"\0" * 512 + b"x" * 512 in content for content in found)  # a later piece without an earlier


def test_a_synced_write_lasts_and_nothing_older_comes_back_over_it() -> None:
    older = (*MADE, entry("W", text="oooo"), entry("D", offset=1, text="dd"))
    assert b"" in {found["/f"] for found in states(*older)}
    lasting = {found["/f"] for found in states(*older, entry("E"))}
    assert lasting == {b"\0dd", b"oddo"}


def test_an_action_that_is_not_modelled_is_an_error() -> None:
    medium = Medium("/r")
    for op in "XF":
        with pytest.raises(UnknownActionError):
            medium.apply(entry(op, text="a writable map"))


def test_a_change_of_length_cuts_and_extends() -> None:
    content = bytearray(b"abcd")
    Write(1, 2, None).apply(content)
    Write(2, 4, None).apply(content)
    assert content == b"ab\0\0"
    file = File()
    file.pending.append(Write(1, 3, None))
    file.sync()
    assert bytes(file.durable) == b"\0\0\0"
    assert not file.pending


@needs_compiler
def test_a_fork_that_writes_to_a_recorded_file_is_noticed(tmp_path: Path, library: Path) -> None:
    root, log = tmp_path / "root", tmp_path / "record"
    root.mkdir()
    code = f"""
import os
file = os.open({str(root / "f")!r}, os.O_WRONLY | os.O_CREAT)
marks = os.open({str(root / MARKS)!r}, os.O_WRONLY | os.O_CREAT)
os.write(marks, b"told")
if not os.fork():
    os.write(file, b"mine")
    os._exit(0)
os.wait()
"""
    environment = {"LD_PRELOAD": str(library), "RECORD_ROOT": str(root), "RECORD_LOG": str(log)}
    subprocess.run([sys.executable, "-S", "-c", code], env=environment, check=True, timeout=WAIT_S)
    found = list(entries(log))
    assert [each.op for each in found] == ["B", "O", "O", "M", "F"]
    assert found[3].text == b"told"
