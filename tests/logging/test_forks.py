"""Forked children: nothing of the parent is stored twice, and nothing of the child is lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Instance

PROGRAM = """
import logging, multiprocessing, os, sys, time, threading
from yamcs_archive import Archive
from yamcs_archive.logging import ArchiveHandler
log = logging.getLogger("bench")
log.setLevel("DEBUG")
place, name = sys.argv[1:]
if place.startswith("http"):
    handler = ArchiveHandler("sim", url=place, gather_s=0.05)
elif name == "given":
    archive = Archive.open(place)
    handler = ArchiveHandler(archive.instance("sim", create=True), gather_s=0.05)
else:
    handler = ArchiveHandler("sim", path=place, gather_s=0.05)
log.addHandler(handler)
for n in range(50): log.info("parent %d", n)
def work(number):
    for n in range(50): log.info("child %d %d", number, n)
"""
FORK = """
for number in range(3):
    pid = os.fork()
    if not pid:
        work(number)
        sys.exit(0)
    os.waitpid(pid, 0)
log.info("parent last")
"""
FLUSHED = FORK.replace("sys.exit(0)", "handler.flush(); os._exit(0)")
PROCESSES = """
context = multiprocessing.get_context("fork")
children = [context.Process(target=work, args=(number,)) for number in range(3)]
for child in children: child.start()
for child in children: child.join()
log.info("parent last")
"""
POOL = """
with multiprocessing.get_context("fork").Pool(3) as pool:
    pool.map(work, range(3))
    pool.close()
    pool.join()
log.info("parent last")
"""
EXPECTED = Counter(
    [f"parent {n}" for n in range(50)]
    + [f"child {number} {n}" for number in range(3) for n in range(50)]
    + ["parent last"]
)


def run(code: str, place: object, name: str = "") -> str:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + code, str(place), name],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def messages(path: Path) -> Counter[str]:
    with Archive.open(path) as archive:
        found = archive.instance("sim").verify()
        assert found is not None
        assert found.faults == ()
        return Counter(event.message for event in archive.instance("sim").events())


@pytest.mark.parametrize(
    ("code", "name"),
    [(FORK, "own"), (FLUSHED, "given"), (PROCESSES, "own"), (POOL, "given")],
    ids=["os.fork", "os._exit", "Process", "Pool"],
)
def test_children_of_a_process_with_an_archive_store_by_way_of_it(
    tmp_path: Path, code: str, name: str
) -> None:
    assert run(code, tmp_path / "a", name) == ""
    assert messages(tmp_path / "a") == EXPECTED


@pytest.mark.parametrize("code", [FORK, PROCESSES], ids=["os.fork", "Process"])
def test_children_of_a_process_with_a_url_send_their_own(archive: Archive, sim: Instance, code: str) -> None:
    with uvicorn_at(archive, 0) as port:
        assert run(code, f"http://127.0.0.1:{port}") == ""
    assert Counter(event.message for event in sim.events()) == EXPECTED


def test_a_childs_child_stores_by_way_of_both(tmp_path: Path) -> None:
    code = """
if not os.fork():
    work(0)
    if not os.fork():
        work(1)
        sys.exit(0)
    os.wait()
    sys.exit(0)
os.wait()
work(2)
log.info("parent last")
"""
    assert run(code, tmp_path / "a") == ""
    assert messages(tmp_path / "a") == EXPECTED


def test_a_record_of_any_size_passes_and_a_child_that_is_killed_harms_nothing(tmp_path: Path) -> None:
    code = """
if not os.fork():
    log.info("x" * 1_000_000, extra={"big": "y" * 300_000, "lone": "\\ud800", "huge": 10**5_000})
    handler.handle(logging.makeLogRecord({"msg": "strange", "levelno": object(), "threadName": b"t"}))
    sys.exit(0)
os.wait()
if not (pid := os.fork()):
    while True: log.info("flood")
time.sleep(0.2)
os.kill(pid, 9)
os.wait()
log.info("parent last")
"""
    run(code, tmp_path / "a")
    found = messages(tmp_path / "a")
    assert (found["x" * 1_000_000], found["strange"]) == (1, 1)
    assert found["parent last"] == 1


def test_a_child_that_outlives_its_parent_says_that_it_cannot_store(tmp_path: Path) -> None:
    code = """
reading, writing = os.pipe()
if not os.fork():
    os.close(writing)
    os.read(reading, 1)  # until the parent has ended
    log.info("late")
    sys.exit(0)
"""
    said = run(code, tmp_path / "a")
    assert "by way of the parent of this process" in said
    assert messages(tmp_path / "a") == Counter(f"parent {n}" for n in range(50))


def test_a_fork_while_other_threads_log_stops_nothing(tmp_path: Path) -> None:
    code = """
go_on = True
def flood():
    while go_on: log.info("flood"); time.sleep(0.0005)
threads = [threading.Thread(target=flood) for _ in range(4)]
for thread in threads: thread.start()
for number in range(20):
    if not (pid := os.fork()):
        log.info("child %d 0", number)
        handler.flush()
        os._exit(0)
    os.waitpid(pid, 0)
go_on = False
for thread in threads: thread.join()
"""
    run(code, tmp_path / "a")
    found = messages(tmp_path / "a")
    assert [found[f"child {number} 0"] for number in range(20)] == 20 * [1]
    assert [found[f"parent {number}"] for number in range(50)] == 50 * [1]


def test_a_program_that_is_started_is_no_child_that_logs(tmp_path: Path) -> None:
    code = """
import subprocess
subprocess.run(["true"], check=True, preexec_fn=lambda: None)  # with the functions of a fork
log.info("parent last")
"""
    assert run(code, tmp_path / "a") == ""
    assert messages(tmp_path / "a")["parent last"] == 1
