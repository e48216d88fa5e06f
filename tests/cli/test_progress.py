"""The line about long work: on a terminal alone, gone at the end, and one line after Ctrl-C."""

import io
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S, stopping
from tests.cli.terminal import Terminal
from yamcs_archive import Archive, Event
from yamcs_archive.cli.progress import Noted, Progress, amount, duration, pace

PROGRAM = """
    import sys, time
    from yamcs_archive.cli.progress import Progress
    with Progress("sim\\x1b[2J") as progress:
        if sys.argv[1] == "counts":
            for done in range(1, 100):
                progress(done * 10, 1000)
                time.sleep(0.01)
            progress.say("a line")
            time.sleep(0.5)
        else:
            time.sleep(1.2)
    """


def program(folder: Path) -> Path:
    (folder / "program.py").write_text(
        f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{textwrap.dedent(PROGRAM)}"
    )
    return folder / "program.py"


def test_a_terminal_gets_a_line_that_is_renewed_and_gone_at_the_end(tmp_path: Path) -> None:
    terminal = Terminal(program(tmp_path), "counts")
    assert terminal.end() == 0
    assert terminal.shown == ["a line"]
    drawn = re.findall(
        r"\rsim\\x1b\[2J: [\d,]+ of 1,000 events, \d+%(?:, [\d,]+/s, \d s left)?", terminal.sent
    )
    assert len(drawn) > 2
    assert any("left" in line for line in drawn)
    assert "\x1b" not in terminal.sent


def test_work_that_tells_nothing_shows_the_time_that_it_takes(tmp_path: Path) -> None:
    terminal = Terminal(program(tmp_path), "nothing")
    assert terminal.end() == 0
    assert terminal.shown == []
    assert "\rsim\\x1b[2J, 1 s" in terminal.sent


def test_a_line_never_reaches_the_edge_of_the_terminal(tmp_path: Path) -> None:
    terminal = Terminal(program(tmp_path), "counts", columns=20)
    assert terminal.end() == 0
    assert terminal.shown == ["a line"]
    assert max(map(len, re.split(r"[\r\n]", terminal.sent))) == 19


@pytest.fixture
def wide(data: Path) -> Path:
    """An archive whose backup is some 800 kB, however well it is compressed."""
    chance = random.Random(1)
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(chance.randbytes(200).hex(), generation_time=n, seq_number=n) for n in range(4000)
        )
    return data


def interrupt(terminal: Terminal, until: Callable[[str], object]) -> int:
    terminal.read(until)
    terminal.process.send_signal(signal.SIGINT)
    return terminal.end()


@pytest.mark.parametrize("command", ["folder", "stdout"])
def test_ctrl_c_ends_a_backup_with_one_line_about_what_is_done(
    wide: Path, tmp_path: Path, command: str
) -> None:
    copies = tmp_path / "copies"
    target = copies if command == "folder" else "-"
    backup = ("-m", "yamcs_archive", "backup", "--data", wide, "--rate", 200_000, target)
    terminal = Terminal(*backup)
    assert interrupt(terminal, lambda sent: "events, " in sent) == 130
    [line] = terminal.shown
    kept = f"no file of it is left in {copies}" if command == "folder" else "the stream has no end"
    assert re.match(
        rf"yamcs-archive: interrupted: sim: [\d,]+ of 4,000 events, \d+%; {re.escape(kept)}", line
    )
    assert not copies.exists() or not list(copies.iterdir())


def test_a_pipe_gets_nothing_but_the_line_after_ctrl_c(wide: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    backup = ["-m", "yamcs_archive", "backup", "--data", wide, "--rate", 200_000, copies]
    with stopping(
        subprocess.Popen([sys.executable, *map(str, backup)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    ) as process:
        while not list(tmp_path.glob("copies/.*")):
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(1)
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130
        assert process.stderr is not None
        [line] = process.stderr.read().splitlines()
        assert line.startswith("yamcs-archive: interrupted: sim")


@pytest.mark.parametrize(
    ("words", "begun"),
    [
        (("events", "import", "-", "--instance", "sim", "--data"), "\r-: "),
        (("restore", "-", "--data"), "\rrestore, "),
        (("verify", "-"), "\r-, "),
    ],
    ids=["import", "restore", "verify"],
)
def test_ctrl_c_ends_the_reading_of_a_stream(words: tuple[str, ...], begun: str, tmp_path: Path) -> None:
    into = [tmp_path / "new"] if words[-1] == "--data" else []
    terminal = Terminal("-m", "yamcs_archive", *words, *into)
    if "import" in words:
        assert terminal.process.stdin is not None
        line = b'{"message": "a", "source": "S", "time": "1970-01-01T00:00:00Z", "sequenceNumber": %d}\n'
        terminal.process.stdin.write(b"".join(line % n for n in range(30_000)))
        terminal.process.stdin.flush()
    assert interrupt(terminal, lambda sent: begun in sent) == 130
    assert [line[:28] for line in terminal.shown] == ["yamcs-archive: interrupted: "]
    assert "restore" not in words or not (tmp_path / "new" / "sim").exists()


VERIFY = f"""
    import os, sys, time
    sys.path.insert(0, {str(ROOT)!r})
    from yamcs_archive.instance import Instance
    from yamcs_archive.cli.main import main
    def verify(self, *, quick, progress):
        progress(7, 4000)
        print(os.getpid(), file=sys.stderr, flush=True)
        time.sleep(60)
    Instance.verify = verify
    sys.exit(main(["verify", "--data", sys.argv[1]]))
    """
INTERRUPTED = "yamcs-archive: interrupted: sim: 7 of 4,000 events, 0%; nothing was changed"


def test_an_interrupt_of_the_command_alone_ends_the_process_that_verifies_too(data: Path) -> None:
    with stopping(
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(VERIFY), data], stderr=subprocess.PIPE, text=True
        )
    ) as process:
        assert process.stderr is not None
        child = int(process.stderr.readline())
        process.send_signal(signal.SIGINT)
        assert process.wait(WAIT_S) == 130
        assert process.stderr.read() == f"{INTERRUPTED}\n"
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


def test_ctrl_c_at_a_terminal_gives_one_line_though_two_processes_get_it(data: Path) -> None:
    terminal = Terminal("-c", textwrap.dedent(VERIFY), data, whole=True)
    terminal.read(lambda sent: "\n" in sent)
    os.killpg(terminal.process.pid, signal.SIGINT)
    assert terminal.end() == 130
    assert [line for line in terminal.shown if not line.isdigit()] == [INTERRUPTED]


def test_a_stderr_that_fails_does_not_end_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.TextIOBase):
        def isatty(self) -> bool:
            return True

        def write(self, _: str) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stderr", Gone())
    with Progress("sim") as progress:
        progress(1, 2)
        time.sleep(0.8)
        progress.say("a line")
    with pytest.raises(KeyboardInterrupt), Progress("sim"):
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("noted", "unit", "shown"),
    [
        (Noted(0, 0), "events", "0 events"),
        (Noted(0, 0, 0), "events", "0 events"),
        (Noted(0, 5, 4), "events", "5 events"),  # some were stored meanwhile
        (Noted(0, 4, 4), "events", "4 of 4 events, 100%"),
        (Noted(0, 999, 1000), "events", "999 of 1,000 events, 99%"),
        (Noted(0, 7, None, 0.5), "events", "7 events, 50%"),
        (Noted(0, 999), "bytes", "999 B"),
        (Noted(0, 1000, 2_000_000), "bytes", "1.0 kB of 2.0 MB, 0%"),
        (Noted(0, 5 * 10**15), "bytes", "5000.0 TB"),
    ],
)
def test_what_is_done(noted: Noted, unit: str, shown: str) -> None:
    assert amount(noted, unit) == shown


@pytest.mark.parametrize(
    ("samples", "shown"),
    [
        ([Noted(1, 5, 10)], ""),
        ([Noted(1, 5, 10), Noted(1, 6, 10)], ""),
        ([Noted(1, 5, 10), Noted(2, 5, 10)], ""),
        ([Noted(1, 5, 10), Noted(2, 6, 10)], ", 1/s, 4 s left"),
        ([Noted(1, 5, 10), Noted(2, 10, 10)], ", 5/s"),
        ([Noted(1, 5), Noted(2, 10)], ", 5/s"),
        ([Noted(1, 5, None, 0.1), Noted(2, 10, None, 0.2)], ", 5/s, 8 s left"),
        ([Noted(1, 5, None, 0.2), Noted(2, 10, None, 0.2)], ", 5/s"),
        ([Noted(1, 5, 4), Noted(2, 10, 9)], ", 5/s"),
    ],
)
def test_the_rate_and_the_time_left(samples: list[Noted], shown: str) -> None:
    assert pace(deque(samples), "events") == shown


def test_a_time_has_at_most_two_units() -> None:
    for seconds, shown in (
        (60, "1 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
        (86_400, "1 d 0 h"),
    ):
        assert duration(seconds) == shown
