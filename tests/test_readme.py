"""Every block of the README runs as typed and gives the output that it shows; every figure was measured."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import urllib.request
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S, stopping
from tests.server.serving import Served

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS, INSTALL, LIBRARY, TABLE, CURL, LOG, FOLLOW = re.findall(
    r"^```\w+\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
)
PORT = "http://127.0.0.1:8090"


def typed(block: str) -> list[str]:
    """The commands of a block."""
    return [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    # .ci/run runs them, whole and in a fresh checkout.
    make = shutil.which("make")
    assert make is not None
    lines = typed(COMMANDS)
    assert [line.split()[:2] for line in lines] == [["make", "serve"], ["make", "test"]]
    for line in lines:
        subprocess.run(
            [make, "--dry-run", line.split()[1]], cwd=ROOT, check=True, capture_output=True, timeout=WAIT_S
        )
    assert PORT.rpartition(":")[2] in (ROOT / "Makefile").read_text()


def environment_of_a_checkout(tmp_path: Path, checkout: Path) -> dict[str, str]:
    """Make a checkout, and return the environment of commands that install it and download nothing."""
    elsewhere, programs = tmp_path / "packages", tmp_path / "bin"
    for folder in (checkout, elsewhere, programs):
        folder.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    shutil.copytree(
        ROOT / "yamcs_archive", checkout / "yamcs_archive", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(ROOT / "docs" / "man", checkout / "docs" / "man")
    (programs / "python3").symlink_to(sys.executable)
    # It uses the packages of this test run.
    for found in {Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("platlib"))}:
        for package in found.iterdir():
            if "yamcs_archive" not in package.name and not (elsewhere / package.name).exists():
                (elsewhere / package.name).symlink_to(package)
    return {
        "PATH": f"{programs}:/usr/bin:/bin",
        "PYTHONPATH": str(elsewhere),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # as pip reads it: no isolation
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "HOME": str(tmp_path),
    }


@pytest.mark.long
def test_it_is_installed_from_a_checkout_and_the_library_then_runs_there(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    environment = environment_of_a_checkout(tmp_path, checkout)
    for line in typed(INSTALL):
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=checkout,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=2 * WAIT_S,
        )
        assert done.returncode == 0, done.stderr
    (found_package,) = (tmp_path / "ops").glob("lib/python*/site-packages/yamcs_archive")
    printed = subprocess.run(
        [
            tmp_path / "ops" / "bin" / "python",
            "-c",
            f"{LIBRARY}\nimport yamcs_archive as a; print(a.__file__)",
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=WAIT_S,
    ).stdout
    assert printed == f"{shown_by_the_library()}\n{found_package / '__init__.py'}\n"
    assert (tmp_path / "ops" / "bin" / "yamcs-archive").is_file()


def shown_by_the_library() -> str:
    (shown,) = re.findall(r"print\(.*\)  +# (.*)\n", LIBRARY)
    return str(shown)


def test_the_example_of_the_library_prints_the_output_of_its_comment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(LIBRARY.splitlines()) <= 10
    monkeypatch.chdir(tmp_path)
    printed = StringIO()
    with redirect_stdout(printed):
        exec(LIBRARY, {})
        exec(f"from yamcs_archive import Archive\n{TABLE}", {})
    (counted,) = re.findall(r"print\(.*\)  +# (.*)\n", TABLE)
    assert printed.getvalue() == f"{shown_by_the_library()}\n{counted}\n"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """The server of ``make serve``, on a free port, and the command where ``make serve`` installs it."""
    command = tmp_path / ".venv" / "bin" / "yamcs-archive"
    command.parent.mkdir(parents=True)
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m yamcs_archive "$@"\n')
    command.chmod(0o755)
    served = Served(tmp_path / "data", "--port", 0, "--instance", "simulator")
    try:
        yield served
    finally:
        served.close()


def send_example(served: Served) -> str:
    """Send the request of the README as curl would, and return the answer."""
    curl, option, body, url = shlex.split(CURL.removeprefix("$ ").partition("/events/\n")[0] + "/events/")
    assert (curl, option) == ("curl", "-d")
    assert url.startswith(PORT)
    request = urllib.request.Request(
        url.replace(PORT, served.url),
        body.encode(),
        {"content-type": "application/x-www-form-urlencoded"},  # as curl -d sends it
    )
    with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
        return str(reply.read().decode())


def start(line: str, folder: Path, served: Served) -> subprocess.Popen[str]:
    """Start a command line in the folder that contains ``data``, in a process group of its own."""
    return subprocess.Popen(
        ["bash", "-c", line.replace(PORT, served.url)],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def output(line: str, folder: Path, served: Served) -> str:
    """Run a command line to its end, and return its output."""
    with stopping(start(line, folder, served)) as process:
        out, complaints = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0, complaints
    return out


def test_the_seeds_example_is_answered_as_shown_and_found_after_a_kill(
    served: Served, tmp_path: Path
) -> None:
    assert send_example(served) == CURL.partition("/events/\n")[2].removesuffix("\n")
    (command,) = typed(LOG)
    assert output(command, tmp_path, served) == LOG.partition("\n")[2]  # beside the running server
    served.kill()
    assert output(command, tmp_path, served) == LOG.partition("\n")[2]


def test_the_commands_that_follow_copy_and_import_do_so(served: Served, tmp_path: Path) -> None:
    send_example(served)
    follow, mirror, backup, bring_back, yamcs, export, restore = typed(FOLLOW)
    for line in (follow, mirror):
        with stopping(start(line, tmp_path, served)) as process:
            stream = process.stdout if line == follow else process.stderr
            assert stream is not None
            said = ""
            while not re.search("this is a test event|in step", said):
                piece = stream.readline()
                assert piece, f"{line} ended: {said}"
                said += piece
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WAIT_S)
    assert "simulator: full, 1 events" in output(backup, tmp_path, served)
    assert "simulator: 1 events" in output(bring_back, tmp_path, served)
    assert "1 read, 1 stored" in output(yamcs, tmp_path, served)
    output(export, tmp_path, served)
    assert "1 read, 1 stored" in output(restore, tmp_path, served)
    shown = LOG.partition("\n")[2]
    (command,) = typed(LOG)
    for copy in ("copy", "imported", "restored", "brought-back"):
        assert output(command.replace("--data data", f"--data {copy}"), tmp_path, served) == shown


# Figures

_PERFORMANCE = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
_INGEST, _SIZE, _SCAN = (
    "ingest: events/s, durable",
    "ingest: bytes per event, allocated at rest",
    "queries: full scan",
)
_RARE, _READING, _HTTP = "queries: rare source, newest 100", "reading: rare source", "http: events/s, durable"
_ORDERED, _SINGLE = "in order, batches of 10,000", "single append"
FIGURES = {
    "835,000": (_INGEST, _ORDERED, "archive"),
    "302,000": (_INGEST, _ORDERED, "sqlite"),
    "546,000": (_INGEST, _ORDERED, "rocksdb"),
    "17.6": (_SIZE, _ORDERED, "archive"),
    "132": (_SIZE, _ORDERED, "sqlite"),
    "44.0": (_SIZE, _ORDERED, "rocksdb"),
    "53.0": ("http: bytes per event", "batch, rows", "yamcs"),
    "2,140,000": (_SCAN, "at rest", "archive"),
    "611,000": (_SCAN, "at rest", "sqlite"),
    "491,000": (_SCAN, "at rest", "rocksdb"),
    "8.66": (_RARE, "at rest", "archive"),
    "70.0": (_RARE, "at rest", "sqlite"),
    "714": (_RARE, "at rest", "rocksdb"),
    "10.3": (_READING, "over HTTP", "archive"),
    "1,830": (_READING, "over HTTP", "yamcs"),
    "4,630": (_HTTP, "POST, 32 connections", "archive"),
    "2,920": (_HTTP, "POST, 32 connections", "sqlite"),
    "3,440": (_HTTP, "POST, 32 connections", "yamcs"),
    "2,080": (_INGEST, _SINGLE, "archive"),
    "2,960": (_INGEST, _SINGLE, "sqlite"),
    "4,650": (_INGEST, _SINGLE, "rocksdb"),
    "0.048": (_RARE, "at rest", "sqlite indexed"),
    "165,000": (_INGEST, _ORDERED, "sqlite indexed"),
    "181": (_SIZE, _ORDERED, "sqlite indexed"),
}
"""Each figure of the README, and its table, row and column in docs/performance.md."""


def measured(table: str, row: str, column: str) -> float:
    head, *rows = _PERFORMANCE.partition(f"\n{table}")[2].partition("\n")[2].partition("\n\n")[0].splitlines()
    (line,) = (line for line in rows if re.split(r"\s{2,}", line.strip())[0] == row)
    columns = dict(zip(re.split(r"\s{2,}", head.strip()), re.split(r"\s{2,}", line.strip())[1:], strict=True))
    return float(columns[column].split()[0].replace(",", ""))


def test_every_figure_is_one_that_was_measured() -> None:
    section = README.partition("## Five figures")[2].partition("\nMeasured on")[0]
    shown = re.findall(r"(?<![\w.])(\d[\d,.]*\d)(?=/s| \||,| ms| bytes| events/s|;)", section)
    shown = [figure for figure in shown if figure != "10,000"]
    assert sorted(set(shown)) == sorted(FIGURES)
    for figure, place in FIGURES.items():
        assert float(figure.replace(",", "")) == pytest.approx(measured(*place), rel=0.01), figure
    (command,) = re.findall(r'`make bench ARGS="(.*?)"`', README)
    assert f"python -m benchmarks {command} " in _PERFORMANCE
    (day,) = re.findall(r"Measured on (\S+)", README)
    assert day in _PERFORMANCE
