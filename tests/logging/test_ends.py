"""The ends of a process: what was logged before is stored, or it is said what is not."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S
from yamcs_archive import Archive

PROGRAM = """
import atexit, logging, os, signal, sys, threading, time
def late():
    log.info("in atexit")
atexit.register(late)  # runs after every function that is registered later
from yamcs_archive import Archive
from yamcs_archive.logging import ArchiveHandler
log = logging.getLogger("bench")
log.setLevel("DEBUG")
"""
OWN = 'handler = ArchiveHandler("sim", path=sys.argv[1])\n'
GIVEN = (
    'archive = Archive.open(sys.argv[1])\nhandler = ArchiveHandler(archive.instance("sim", create=True))\n'
)
LOGGING = "log.addHandler(handler)\nfor n in range(100): log.info('%d', n)\n"


def ended(tmp_path: Path, code: str, place: str = OWN) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + place + LOGGING + code, str(tmp_path / "a")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    return done.returncode, done.stderr


def messages(tmp_path: Path) -> list[str]:
    with Archive.open(tmp_path / "a") as archive:
        return [event.message for event in archive.instance("sim").events()]


ALL = [str(n) for n in range(100)]


@pytest.mark.parametrize("place", [OWN, GIVEN], ids=["own archive", "given instance"])
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("raise ValueError('x')", 1),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(30)", -signal.SIGINT),
        ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(4)); os.kill(os.getpid(), signal.SIGTERM)", 4),
    ],
    ids=["end", "sys.exit", "exception", "Ctrl-C", "SIGTERM handled"],
)
def test_all_is_stored_at_an_ordinary_end(tmp_path: Path, code: str, status: int, place: str) -> None:
    found, said = ended(tmp_path, code, place)
    assert found == status, said
    stored = messages(tmp_path)
    assert stored[:100] == ALL
    if place == OWN:  # its archive is open until logging ends
        assert stored[100:] == ["in atexit"]
        assert "yamcs_archive" not in said
    else:  # the archive of the program is closed by then, and that is said
        assert stored[100:] == []
        assert "the archive is closed" in said


def test_what_is_logged_from_a_thread_until_its_end_is_stored(tmp_path: Path) -> None:
    code = """
def work():
    time.sleep(0.3)
    log.info("last of the thread")
threading.Thread(target=work).start()
"""
    assert ended(tmp_path, code) == (0, "")
    assert messages(tmp_path)[100:] == ["last of the thread", "in atexit"]


def test_what_is_logged_for_the_first_time_at_the_end_is_stored(tmp_path: Path) -> None:
    status, said = ended(
        tmp_path, "", OWN.replace("handler =", "log.addHandler(logging.NullHandler()); handler =")
    )
    assert (status, said) == (0, "")
    code = "import atexit; log.removeHandler(handler); atexit.register(log.addHandler, handler)"
    other = tmp_path / "other"
    other.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM + OWN + "log.addHandler(handler)\n" + code, str(other / "a")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    )
    assert done.stderr == ""
    assert messages(other) == ["in atexit"]


@pytest.mark.parametrize(
    ("code", "status"),
    [("os._exit(0)", 0), ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL)],
    ids=["os._exit", "SIGKILL"],
)
def test_an_end_that_runs_nothing_loses_what_waits_and_no_more(
    tmp_path: Path, code: str, status: int
) -> None:
    flushed = f"handler.flush()\nfor n in range(100): log.info('more %d', n)\n{code}"
    assert ended(tmp_path, flushed)[0] == status
    found = messages(tmp_path)
    assert found[:100] == ALL
    assert found[100:] == [f"more {n}" for n in range(len(found) - 100)]


def test_a_place_that_cannot_store_holds_up_the_end_for_a_bounded_time(tmp_path: Path) -> None:
    place = 'handler = ArchiveHandler("sim", url="http://127.0.0.1:9", flush_s=0.2)\n'
    status, said = ended(tmp_path, "", place)
    assert status == 0
    assert "cannot store in sim at http://127.0.0.1:9" in said
    assert "100 records could not be stored" in said


def test_dict_config_makes_and_closes_it_under_the_lock_of_logging(tmp_path: Path) -> None:
    code = """
import logging.config
def configure():
    logging.config.dictConfig({
        "version": 1,
        "handlers": {"a": {
            "class": "yamcs_archive.logging.ArchiveHandler", "instance": "sim", "path": sys.argv[1]
        }},
        "root": {"handlers": ["a"], "level": "INFO"},
    })
for number in range(3):  # from the first one on, the engine is loaded within dictConfig
    configure()
    logging.error("%d", number)
"""
    done = subprocess.run(
        [sys.executable, "-c", "import sys\n" + code, str(tmp_path / "a")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert messages(tmp_path) == ["0", "1", "2"]


def test_a_handler_that_was_never_used_is_closed_too(tmp_path: Path) -> None:
    status, said = ended(
        tmp_path, "", OWN.replace("handler =", "other =") + "handler = logging.NullHandler()\n"
    )
    assert (status, said) == (0, "")
    assert messages(tmp_path) == []
