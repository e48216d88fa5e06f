"""The check of LMDB's own pages: each has one use, keys are in order, and the heads fit each other."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.storage.test_file_length import data_file
from tests.storage.test_verification import faults_of, filled, verified
from yamcs_archive import Archive, Event, Options
from yamcs_archive.errors import DamagedError, UnavailableError
from yamcs_archive.storage.disk import file_length
from yamcs_archive.storage.disk.lmdb_pages import (
    BRANCH,
    LEAF,
    PageError,
    PageFile,
    Root,
    fault_of_heads,
    flags_of,
    free_pages,
    kind_of,
    nodes,
    number_of,
)
from yamcs_archive.storage.maintain.page_check import _Pages

PAGE = 4096
SMALL = Options(block_events_max=16, run_events_min=8, maintenance=False)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with branches, large values and free pages."""
    directory = tmp_path_factory.mktemp("pages") / "a"
    filled(directory)
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        for n in range(150):
            sim.append(Event(f"row {n} " * 30, source=f"R{n % 3}", generation_time=10**9 + n, seq_number=n))
        sim.append(Event("long " * 3_000, source="L"))
        sim.prune(before=100)
    return directory


@pytest.fixture
def directory(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "a"))


def reasons(file: Path) -> list[str]:
    """What is wrong with the pages of a file, by the check alone: LMDB might not survive them."""
    with PageFile(file) as pages:
        wrong = fault_of_heads(pages.roots)
        return [wrong] if wrong else [fault.reason for fault in _Pages(pages, pages.roots[0]).faults()]


def in_use(file: Path) -> list[int]:
    """Return the pages of the newest state, without the heads of the file."""
    with PageFile(file) as pages:
        state = _Pages(pages, pages.roots[0])
        assert list(state.faults()) == []
        free = {number for numbers in _free(pages) for number in numbers}
        return [number for number in range(2, pages.roots[0].last_page + 1) if number not in free]


def _free(pages: PageFile) -> Iterator[list[int]]:
    tree = pages.roots[0].free_tree
    assert tree is not None
    assert tree.root is not None
    page = pages.page(tree.root)
    for node in nodes(page, LEAF):
        assert node is not None
        yield free_pages(pages.value(page, node)).tolist()


def test_a_sound_archive_has_no_fault_after_any_change(whole: Path) -> None:
    assert reasons(data_file(whole)) == []
    with PageFile(data_file(whole)) as pages:
        [tree] = [root.main_tree for root in pages.roots[:1]]
        assert tree is not None
        assert sum(map(len, _free(pages))) > 3  # the list of free pages is not empty


def test_every_bit_of_the_structure_of_a_page_in_use_is_found(directory: Path) -> None:
    """Its head without two bytes that LMDB does not use, its list of entries, and their heads.

    LMDB rounds an entry up to an even size, so whether one is of an odd size is no structure: a value's
    checksum, with its key, tells that.
    """
    file = data_file(directory)
    raw = file.read_bytes()
    checked = set()
    sizes: list[int] = []
    for number in in_use(file):
        page = raw[number * PAGE : (number + 1) * PAGE]
        if number_of(page) != number or flags_of(page) not in (1, 2, 4):
            continue  # the pages of a large value after its first have no head
        kind = kind_of(page)
        offsets = [0, 7, 10, 11, *range(12, 16)]
        if kind and flags_of(page) not in checked:  # of one page of each kind
            checked.add(flags_of(page))
            found = [node for node in nodes(page, kind) if node is not None]
            offsets += range(16, 16 + 2 * len(found))
            heads = (node.at - len(node.key) - 8 for node in found[:5])
            for at in heads:
                offsets += range(at, at + 8)
                sizes += [number * PAGE + at, number * PAGE + at + 6]
        for at in offsets:
            for bit in range(8):
                changed = bytearray(raw)
                changed[number * PAGE + at] ^= 1 << bit
                file.write_bytes(changed)
                if not bit and number * PAGE + at in sizes and not reasons(file):
                    assert faults_of(directory)
                else:
                    assert reasons(file), (number, at, bit)
    assert checked == {BRANCH, LEAF}


@pytest.mark.parametrize("more_commits", range(4))
@pytest.mark.parametrize("bit", [0, 1, 2, 3, 31, 63])
@pytest.mark.parametrize("which", [0, 1])
def test_every_bit_of_the_numbers_of_the_two_transactions_is_found(
    directory: Path, which: int, bit: int, more_commits: int
) -> None:
    """Else LMDB would take the older state, and the newest commit would be gone without a word.

    One bit of some numbers makes the newer head look like the predecessor of the older one, as a power cut
    within its write does: that cannot be found.
    """
    with Archive.open(directory, options=SMALL) as archive:
        for n in range(more_commits):
            archive.instance("sim").append(Event(f"more {n}"))
    file = data_file(directory)
    with PageFile(file) as pages:
        page, number = pages.roots[which].page, pages.roots[which].transaction
    if not which and number ^ 1 << bit == number - 2:
        return
    raw = bytearray(file.read_bytes())
    raw[page * PAGE + 16 + 128 + bit // 8] ^= 1 << bit % 8
    file.write_bytes(raw)
    for readonly in (True, False):
        with (
            Archive.open(directory, readonly=readonly) as archive,
            pytest.raises(DamagedError, match=r"its heads are damaged: (they are|one is) of"),
        ):
            archive.instance("sim")


@pytest.mark.parametrize(("offset", "bit"), [(16, 47), (120, 35), (120, 63)])
def test_a_head_with_more_pages_than_there_are_addresses_is_damaged(
    directory: Path, offset: int, bit: int
) -> None:
    file = data_file(directory)
    raw = bytearray(file.read_bytes())
    with PageFile(file) as pages:
        raw[pages.roots[0].page * PAGE + 16 + offset + bit // 8] ^= 1 << bit % 8
    file.write_bytes(raw)
    with Archive.open(directory) as archive, pytest.raises(DamagedError, match="its heads are damaged"):
        archive.instance("sim")


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("offset", [0, 4, 24], ids=["magic", "version", "size of pages"])
def test_a_head_that_cannot_be_read_is_damaged(directory: Path, which: int, offset: int) -> None:
    file = data_file(directory)
    raw = bytearray(file.read_bytes())
    with PageFile(file) as pages:
        raw[pages.roots[which].page * PAGE + 16 + offset + (offset == 24)] ^= 1 << 5
    file.write_bytes(raw)
    with Archive.open(directory) as archive, pytest.raises(DamagedError):
        archive.instance("sim")


def test_every_bit_of_the_list_of_free_pages_is_found(directory: Path) -> None:
    """Else a writer would use a page anew that holds something."""
    file = data_file(directory)
    raw = file.read_bytes()
    with PageFile(file) as pages:
        tree = pages.roots[0].free_tree
        assert tree is not None
        assert tree.root is not None
        begin = tree.root * PAGE
    upper = int.from_bytes(raw[begin + 14 : begin + 16], "little")
    missed = []
    for at in range(begin + upper, begin + PAGE):
        for bit in range(8):
            changed = bytearray(raw)
            changed[at] ^= 1 << bit
            file.write_bytes(changed)
            if not reasons(file):
                missed.append((at - begin, bit))
    # The keys of the list are numbers of transactions: as long as they are in order, all of them are as good.
    with PageFile(data_file(directory)) as pages:
        keys = 8 * 8 * sum(1 for _ in _free(pages))
    assert len(missed) <= keys


def test_verify_tells_of_pages_and_goes_no_further(directory: Path) -> None:
    file = data_file(directory)
    raw = bytearray(file.read_bytes())
    number = next(number for number in in_use(file) if raw[number * PAGE + 10] == BRANCH)
    raw[number * PAGE + 11] ^= 1
    file.write_bytes(raw)
    with Archive.open(directory, readonly=True) as archive:
        for isolated in (False, True):
            found = archive.instance("sim").verify(isolated=isolated)
            assert found is not None
            [fault] = found.faults
            assert fault.where == f"blocks, page {number}"
            assert fault.reason == "its head is damaged"
            assert found.events == 0


def test_a_writer_that_commits_meanwhile_is_no_fault(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(directory, options=SMALL) as archive:
        sim = archive.instance("sim")
        begin = PageFile.__init__
        commits = [0, *[2, 3, 4] * 4]

        def slowly(self: PageFile, path: Path) -> None:
            for _ in range(commits.pop() if commits else 0):
                sim.append(Event("meanwhile"))
                sim._store._writer.checkpoint_all()  # type: ignore[attr-defined]  # LMDB gets it
            begin(self, path)

        monkeypatch.setattr(PageFile, "__init__", slowly)
        assert verified(sim).faults == ()
        assert not commits


def test_a_file_that_cannot_be_opened_is_no_damage(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: PageFile, path: Path) -> None:
        raise PageError("Too many open files")

    with Archive.open(directory, readonly=True) as archive:
        sim = archive.instance("sim")
        monkeypatch.setattr(PageFile, "__init__", refuse)
        with pytest.raises(UnavailableError, match="Too many open files"):
            sim.verify()


def test_heads_that_change_while_an_archive_is_opened_are_read_again(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ["they change", "they change", ""]
    monkeypatch.setattr(file_length, "fault_of_heads", lambda _: said.pop(0))
    roots = PageFile._roots
    monkeypatch.setattr(PageFile, "_roots", lambda self: [*roots(self)[:1], Root(len(said), None)])
    with Archive.open(directory, readonly=True) as archive:
        assert archive.instance("sim").count() > 0
    assert said == []
