"""Little address space: maps fit into it and grow within it, and a refused growth does no harm."""

from pathlib import Path

import pytest

from tests.child import run_in_fork
from yamcs_archive import Archive, Event, Options
from yamcs_archive.storage.disk import lmdb_open

_LIMITED = """
    import os, resource

    def size():
        lines = open("/proc/self/status").read().splitlines()
        return int(next(line for line in lines if line.startswith("VmSize")).split()[1]) << 10

    def limit(more_bytes):
        resource.setrlimit(resource.RLIMIT_AS, (size() + more_bytes, resource.RLIM_INFINITY))

    def lift():
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    MIB = 1 << 20
    path = sys.argv[1]
"""


def limited(code: str, *arguments: object) -> list[str]:
    return run_in_fork(_LIMITED + code, *arguments).splitlines()


@pytest.mark.parametrize("told_before", [True, False])
def test_a_map_that_cannot_grow_is_as_it_was_and_grows_when_there_is_room(
    tmp_path: Path, told_before: bool
) -> None:
    printed = limited(
        """
    import mmap
    from yamcs_archive.storage.disk import environment
    from yamcs_archive.storage.write import checkpointer
    checkpointer._TRY_AGAIN_S = 0.0
    may_grow = environment.may_grow
    if sys.argv[2] == "False":  # as when another thread takes the room meanwhile: LMDB loses its map then
        environment.may_grow = lambda more_bytes: more_bytes > 4 * MIB or may_grow(more_bytes)
    archive = Archive.open(path, options=Options(map_bytes=8 * MIB, maintenance=False))
    sim = archive.instance("sim", create=True)
    parked = sim.events()
    sim.append_many(Event(f"{n}", generation_time=n) for n in range(10))
    next(parked)
    limit((38 + 24) * MIB)  # for a map of half as much again, and what must be left
    stored = 10
    for _ in range(2):
        others = mmap.mmap(-1, 24 * MIB)  # memory that somebody else needs while the map cannot grow
        try:
            while True:
                sim.append(Event(os.urandom(200_000).hex(), generation_time=stored))
                stored += 1
        except OutOfSpaceError as error:
            print("ulimit -v" in str(error), "map_bytes" in str(error), "--map-bytes" in str(error))
        others.close()
        counts = [sum(1 for _ in sim.events()), sum(1 for _ in sim.changes()), sim.stats().events]
        print(counts == [stored] * 3, 10 + 20 < stored < 10 + 110)
    print(sum(1 for _ in parked) == 9)
    lift()
    sim.append_many(Event(os.urandom(200_000).hex(), generation_time=10_000 + n) for n in range(50))
    print(sum(1 for _ in sim.events()) == stored + 50)
    sim.compact()
    archive.close()
    with Archive.open(path, readonly=True) as archive:
        print(archive.instance("sim").stats().events == stored + 50)
        """,
        tmp_path / "a",
        told_before,
    )
    assert printed == [*["True True True", "True True"] * 2, *["True"] * 3]


def test_a_map_too_large_for_the_address_space_is_read_as_far_as_it_is_filled(
    tmp_path: Path,
) -> None:
    with Archive.open(tmp_path / "a", options=Options(map_bytes=1 << 20, maintenance=False)) as archive:
        archive.instance("sim", create=True).append(Event("first"))
    printed = limited(
        """
    import subprocess
    archive = Archive.open(path, readonly=True, options=Options(map_bytes=MIB))
    sim = archive.instance("sim")
    print(sim.stats().events)
    # In its own process, which is not limited; its map is of 64 GiB from here on, as is written in the file.
    write = (
        "import sys; from yamcs_archive import *;"
        "sim = Archive.open(sys.argv[1], options=Options(maintenance=False)).instance('sim');"
        "sim.append_many(Event('x' * 100_000, source=f'{n}') for n in range(int(sys.argv[2])))"
    )
    for count in (100, 200):
        subprocess.run([sys.executable, "-c", write, path, str(count)], check=True)
        limit(60 * MIB)
        print(sim.stats().events, sum(1 for _ in sim.events()))
        lift()
        """,
        tmp_path / "a",
    )
    assert printed == ["1", "101 101", "301 301"]


def test_a_reader_that_finds_no_room_at_all_says_so_and_reads_when_there_is_some(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(map_bytes=1 << 20, maintenance=False)) as archive:
        archive.instance("sim", create=True).append(Event("first"))
    printed = limited(
        """
    import subprocess
    archive = Archive.open(path, readonly=True, options=Options(map_bytes=MIB))
    sim = archive.instance("sim")
    parked = sim.events()
    next(parked)
    write = (
        "import sys, os; from yamcs_archive import *;"
        "sim = Archive.open(sys.argv[1], options=Options(maintenance=False)).instance('sim');"
        "sim.append_many(Event(os.urandom(200_000).hex()) for n in range(100))"
    )
    subprocess.run([sys.executable, "-c", write, path], check=True)
    limit(10 * MIB)
    for _ in range(3):
        try:
            sim.stats()
        except OutOfSpaceError as error:
            print("ulimit -v" in str(error))
    lift()
    print(sim.stats().events, sum(1 for _ in parked), sum(1 for _ in sim.events()))
        """,
        tmp_path / "a",
    )
    assert printed == ["True"] * 3 + ["101 0 101"]


def test_under_a_small_limit_less_is_reserved_and_the_rest_left_to_the_process(tmp_path: Path) -> None:
    printed = limited(
        """
    limit(800 * MIB)
    before = size()
    archive = Archive.open(path)  # 64 GiB as nothing else is said
    sim = archive.instance("sim", create=True)
    print(10 * MIB <= size() - before <= 400 * MIB)
    sim.append_many(Event(os.urandom(400_000).hex(), generation_time=n) for n in range(60))
    room = bytearray(100 * MIB)
    print(sum(1 for _ in sim.events()))
    sim.compact()
    archive.close()
    with Archive.open(path) as archive:
        print(archive.instance("sim").append(Event("more")).duplicate)
        """,
        tmp_path / "a",
    )
    assert printed == ["True", "60", "False"]


def test_many_instances_of_one_process_share_the_address_space_that_there_is(tmp_path: Path) -> None:
    printed = limited(
        """
    limit(4096 * MIB)  # of which a thread may take 136 MiB
    with Archive.open(path, options=Options(maintenance=False)) as archive:
        for n in range(16):
            archive.instance(f"i{n}", create=True).append(Event("a" * 100_000))
        print(sum(archive.instance(f"i{n}").stats().events for n in range(16)))
        """,
        tmp_path / "a",
    )
    assert printed == ["16"]


def test_where_nothing_helps_the_error_names_address_space_and_the_option(tmp_path: Path) -> None:
    printed = limited(
        """
    archive = Archive.open(path, options=Options(maintenance=False))
    archive.instance("sim", create=True).append_many(Event(os.urandom(400_000).hex()) for n in range(20))
    archive.close()
    limit(4 * MIB)
    for readonly in (True, False):
        with Archive.open(path, readonly=readonly) as archive:
            for _ in range(2):
                try:
                    archive.instance("sim")
                except OutOfSpaceError as error:
                    print(error)
            lift()
            print(archive.instance("sim").stats().events)
        limit(4 * MIB)
        """,
        tmp_path / "a",
    )
    assert [line for line in printed if line == "20"] == ["20"] * 2
    errors = [line for line in printed if line != "20"]
    assert len(errors) == 4
    for error in errors:
        assert "no address space for a map of" in error
        assert "(ulimit -v)" in error
        assert "Options(map_bytes=...)" in error
        assert "serve --map-bytes" in error


def test_the_size_that_is_tried_is_halved_until_there_is_room_for_sixteen_such_maps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def free(size_bytes: int) -> bool:
        asked.append(size_bytes)
        return size_bytes <= 256 << 20

    monkeypatch.setattr(lmdb_open, "is_free", free)
    for map_bytes, expected in (
        (64 << 20, 16 << 20),
        (16 << 20, 16 << 20),
        ((16 << 20) + 4096, (8 << 20) + 4096),
    ):
        asked.clear()
        with Archive.open(tmp_path / str(map_bytes), options=Options(map_bytes=map_bytes)) as archive:
            sim = archive.instance("sim", create=True)
            environment = sim._store._environment  # type: ignore[attr-defined]  # there is no public door to it
            assert environment.lmdb.info()["map_size"] // 8192 == expected // 8192
            assert asked[0] == 16 * map_bytes
    monkeypatch.setattr(lmdb_open, "is_free", lambda size_bytes: size_bytes < 64 << 20)
    with Archive.open(tmp_path / "least", options=Options(maintenance=False)) as archive:
        sim = archive.instance("sim", create=True)  # of an empty file it is 1 MiB, which grows
        assert sim.append_many(Event("x" * 100_000, source=f"{n}") for n in range(100)).stored == 100


def test_a_map_larger_than_any_address_space_is_made_smaller(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "a", options=Options(map_bytes=1 << 60)) as archive:
        archive.instance("sim", create=True).append(Event("a"))


def test_a_thread_that_cannot_be_started_leaves_nothing_locked(tmp_path: Path) -> None:
    printed = limited(
        """
    import threading
    start, left = threading.Thread.start, 0

    def begin(thread):
        global left
        if left == 0:
            raise RuntimeError("can't start new thread")
        left -= 1
        start(thread)

    archive = Archive.open(path)
    threading.Thread.start = begin
    for threads in (0, 1):
        left = threads
        try:
            archive.instance("sim", create=True)
        except UnavailableError as error:
            print("can't start new thread; raise the limits" in str(error), threading.active_count())
    threading.Thread.start = start
    print(archive.instance("sim").append(Event("a")).duplicate)
        """,
        tmp_path / "a",
    )
    assert printed == ["True 1", "True 1", "False"]


def test_out_of_space_is_the_error_for_a_copy_that_finds_no_room_either(tmp_path: Path) -> None:
    printed = limited(
        """
    archive = Archive.open(path, options=Options(map_bytes=64 * MIB, maintenance=False))
    sim = archive.instance("sim", create=True)
    sim.append_many(Event(os.urandom(400_000).hex(), generation_time=n) for n in range(80))
    sim.settle()
    limit(20 * MIB)
    try:
        sim.compact()
    except OutOfSpaceError as error:
        print("address space" in str(error))
    print(sum(1 for _ in sim.events()), sim.append(Event("on")).duplicate)
    lift()
    sim.compact()
    print(sim.stats().events)
        """,
        tmp_path / "a",
    )
    assert printed == ["True", "80 False", "81"]
