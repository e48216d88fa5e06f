"""A file that was cut short is an error when it is opened; one that ends early and is whole is not."""

from __future__ import annotations

import os
from pathlib import Path

import lmdb
import pytest

from tests.storage.test_verification import DATABASES, filled, verified
from yamcs_archive import Archive
from yamcs_archive.errors import DamagedError

PAGE_BYTES = 4096


def data_file(directory: Path) -> Path:
    [found] = (directory / "sim").glob("gen-*/data.mdb")
    return found


def in_a_child(directory: Path, *, readonly: bool) -> str:
    """Open and read everything in a child process; return what came of it."""
    receiving, sending = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with Archive.open(directory, readonly=readonly) as archive:
                found = verified(archive.instance("sim"))
                told = f"{found.events} events, {found.fault_count} faults"
        except DamagedError as error:
            told = f"damaged: {error}"
        except BaseException as error:
            told = f"another error: {error!r}"
        os.write(sending, told.encode())
        os._exit(0)
    os.close(sending)
    with open(receiving, "rb") as pipe:
        told = pipe.read().decode()
    _, ended = os.waitpid(child, 0)
    return told if ended == 0 else f"the process ended with {ended}"


@pytest.mark.parametrize("readonly", [False, True])
def test_a_file_cut_at_any_page_is_damage_and_never_the_end_of_the_process(
    tmp_path: Path, readonly: bool
) -> None:
    filled(tmp_path / "a")
    file = data_file(tmp_path / "a")
    whole = file.read_bytes()
    pages = len(whole) // PAGE_BYTES
    outcomes = set()
    for kept in sorted({0, 1, 2, 3, pages // 2, pages - 2, pages - 1}):
        for more in (0, 100):
            file.write_bytes(whole[: kept * PAGE_BYTES + more])
            told = in_a_child(tmp_path / "a", readonly=readonly)
            assert told.startswith("damaged: ") or told == "73 events, 0 faults", (kept, more, told)
            outcomes.add(told.split(":")[0])
    assert "damaged" in outcomes
    file.write_bytes(whole)
    assert in_a_child(tmp_path / "a", readonly=readonly) == "73 events, 0 faults"


def shortened(directory: Path) -> tuple[int, int]:
    """Let LMDB leave its file too short for its last page; return its length and the end of that page."""
    file = data_file(directory)
    with lmdb.open(str(file.parent), max_dbs=len(DATABASES)) as environment:
        opened = environment.open_db(b"requests", create=False)
        for size in range(1, 400):
            with environment.begin(write=True, db=opened) as transaction:
                for key in range(size):
                    transaction.put(b"~%d" % key, os.urandom(200))
                for key in range(size):
                    transaction.delete(b"~%d" % key)
            needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
            if file.stat().st_size < needed:
                return file.stat().st_size, needed
    raise AssertionError("LMDB wrote every page")


def test_a_file_that_ends_before_its_last_page_is_read_and_a_writer_extends_it(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    short, needed = shortened(tmp_path / "a")
    assert in_a_child(tmp_path / "a", readonly=True) == "73 events, 0 faults"
    assert data_file(tmp_path / "a").stat().st_size == short < needed
    assert in_a_child(tmp_path / "a", readonly=False) == "73 events, 0 faults"
    assert data_file(tmp_path / "a").stat().st_size >= needed
