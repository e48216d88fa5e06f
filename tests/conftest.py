"""Shared by all tests: settings of hypothesis, a fresh archive, and a list of the client calls that work."""

import gc
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.examples import register_profiles
from yamcs_archive import Archive, Instance

register_profiles()

# A shell makes background processes ignore SIGINT, and their children inherit that. These tests need Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Use one worker more than there are cores, at most 8 (each takes up to 500 MB).

    The tests wait for a third of their time, mostly for fsyncs.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores + 1, 8)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave the objects that a collection of tests makes to themselves.

    They stay to the end, 400,000 of them, and each full pass of the garbage collector took 0.15 s on them.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive with the instance ``sim``, created once: that takes several fsyncs, a copy none."""
    path = tmp_path_factory.mktemp("made") / "archive"
    with Archive.open(path) as made:
        made.instance("sim", create=True)
    return path


@pytest.fixture
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    path = tmp_path / "archive"
    if "sim" in request.fixturenames:
        shutil.copytree(request.getfixturevalue("_made"), path)
    with Archive.open(path) as opened:
        yield opened
        if not request.node.get_closest_marker("damaging"):
            check_sound(opened)


def check_sound(archive: Archive) -> None:
    """Verify all instances of an archive that a test leaves open."""
    if archive.closed:
        return
    for name in archive.instances():
        found = archive.instance(name).verify()
        assert found is not None
        assert found.faults == (), f"instance {name} after the test"


@pytest.fixture
def sim(archive: Archive) -> Instance:
    return archive.instance("sim", create=True)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the calls of official clients that work, by name, so that the log of a whole run has them.

    It must be in this file: with pytest-xdist, the process that prints does not load the conftest of a
    folder.
    """
    passed = [report.nodeid for report in terminalreporter.stats.get("passed", ())]
    names = [name.removeprefix("tests/clients/") for name in passed if name.startswith("tests/clients/")]
    if names:
        terminalreporter.section("what works with other people's clients")
        for name in sorted(names):
            terminalreporter.write_line(name.replace(".py::test_", ": ").replace("test_", "", 1))
