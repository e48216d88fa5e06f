"""``events log --format arrow``: a stream that Arrow reads, with what the log shows."""

import io
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from tests.child import ROOT, WAIT_S, stopping
from tests.cli.conftest import Run
from tests.cli.terminal import Terminal
from tests.server.at_hand import at_hand
from yamcs_archive import Archive, Event, Severity
from yamcs_archive.cli.main import main

pa = pytest.importorskip("pyarrow")
ipc = pytest.importorskip("pyarrow.ipc")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive that all tests read."""
    data = tmp_path_factory.mktemp("filled") / "data"
    with Archive.open(data) as archive:
        archive.instance("sim", create=True).append_many(
            Event(
                f"Step {n}",
                source=f"S{n % 3}",
                severity=Severity.WATCH if n % 2 else Severity.INFO,
                type=None if n % 2 else "even",
                generation_time=n,
                extra={"torque": str(n)} if n % 5 == 0 else {},
            )
            for n in range(9000)
        )
    return data


@pytest.fixture(scope="module")
def url(filled: Path) -> Iterator[str]:
    with at_hand(filled) as served:
        yield served.url


class Output(io.BytesIO):
    """What a command has written, also after it closed it."""

    def close(self) -> None:
        self.flush()


def logged_here(*options: object) -> Any:
    """Return the table of a command that runs in this process: another one loads pyarrow in half a second."""
    output = Output()
    with redirect_stdout(io.TextIOWrapper(output)):
        assert main(["events", "log", "--format", "arrow", *map(str, options)]) == 0
    return ipc.open_stream(output.getvalue()).read_all()


def log(*options: object, status: int = 0) -> tuple[bytes, str]:
    done = subprocess.run(
        [sys.executable, "-m", "yamcs_archive", "events", "log", "--format", "arrow", *map(str, options)],
        cwd=ROOT,
        capture_output=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == status, done.stderr
    return done.stdout, done.stderr.decode()


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-n", "all"),
        ("-n", "5000"),
        ("-n", "3", "--reverse"),
        ("--first", "4097", "-s", "@0"),
        ("-n", "0"),
        ("--source", "S1", "--severity", "watch", "-n", "all"),
    ],
    ids=" ".join,
)
def test_it_has_the_events_that_the_log_shows(
    run: Run, filled: Path, url: str, options: tuple[str, ...]
) -> None:
    for place in (("--data", filled), ("--url", url)):
        found = logged_here(*place, *options)
        lines = run("events", "log", *place, *options, "--format", "tsv", "--columns", "message").out
        assert found["message"].to_pylist() == lines.splitlines()[1:]


def test_a_process_of_its_own_writes_the_same(filled: Path, url: str) -> None:
    for place in (("--data", filled), ("--url", url)):
        assert ipc.open_stream(log(*place, "-n", 5)[0]).read_all() == logged_here(*place, "-n", 5)


def test_it_has_the_columns_that_are_chosen(filled: Path) -> None:
    chosen = (
        "--data",
        filled,
        "--columns",
        "extra.torque,message,type",
        "-n",
        2,
        "-u",
        "1970-01-01T00:00:00.000007Z",
    )
    found = logged_here(*chosen)
    assert found.to_pydict() == {
        "message": ["Step 5", "Step 6"],
        "type": [None, "even"],
        "torque": ["5", None],
    }


def test_a_cursor_comes_on_stderr_and_is_gone_on_from(data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(Event(f"Step {n}") for n in range(3))
    out, err = log("--data", data, "--show-cursor", "-n", 1)
    assert ipc.open_stream(out).read_all().num_rows == 1
    cursor = err.removeprefix("-- cursor: ").strip()
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("later"))
    out, err = log("--data", data, "--after-cursor", cursor)
    assert (ipc.open_stream(out).read_all()["message"].to_pylist(), err) == (["later"], "")


def test_what_cannot_be_is_refused(run: Run, filled: Path) -> None:
    for options, said in (
        (("--follow",), "--follow shows events one by one"),
        (("--columns", "type,extra.type"), "is the name of another column"),
        (("--columns", "commit"), "'commit' is no column; it is only in tables"),
    ):
        ran = run("events", "log", "--data", filled, "--format", "arrow", *options)
        assert (ran.status, ran.out) == (2, "")
        assert said in ran.err
    arrow = ("-m", "yamcs_archive", "events", "log", "--data", filled, "--format", "arrow")
    terminal = Terminal(*arrow, whole=True)
    assert terminal.end() == 2
    assert terminal.shown == [
        "yamcs-archive: an Arrow stream is no text: redirect stdout to a file or a pipe"
    ]


def test_a_reader_that_leaves_is_not_complained_about(filled: Path) -> None:
    command = [*(sys.executable, "-m", "yamcs_archive", "events", "log", "--data", str(filled))]
    with stopping(
        subprocess.Popen(
            [*command, "--format", "arrow", "-n", "all"],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(WAIT_S) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b""


def test_without_the_package_it_is_said_what_to_install(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.ipc", None)
    ran = run("events", "log", "--data", filled, "--format", "arrow")
    assert (ran.status, ran.out) == (1, "")
    assert "this needs the package pyarrow: install" in ran.err
