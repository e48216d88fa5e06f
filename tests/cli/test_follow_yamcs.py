"""``events import yamcs --follow`` as a process: signals, kills, a full file system, what it says."""

from __future__ import annotations

import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S, run, stopping
from tests.cli.conftest import Run
from tests.importers.fake_yamcs import FakeYamcs, faked
from yamcs_archive import Archive, Event


@pytest.fixture
def fake() -> Iterator[FakeYamcs]:
    with faked() as server:
        yield server


def event(n: int, text: str = "") -> Event:
    return Event(text or f"m{n}", source="S", generation_time=n, seq_number=n, reception_time=n)


class Follower:
    """The command, and the lines that it says."""

    def __init__(self, fake: FakeYamcs, data: Path, *options: str, file_bytes: int | None = None) -> None:
        def limit() -> None:
            if file_bytes is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))

        command = ["events", "import", "yamcs", fake.url, "--data", str(data), "--follow", *options]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "yamcs_archive", *command],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=limit,  # noqa: PLW1509  # no threads of the test hold anything that it needs
        )
        self.lines: list[str] = []

    def wait_for(self, text: str) -> None:
        """Read further lines until one has the text."""
        assert self.process.stderr is not None
        ending = threading.Timer(WAIT_S, self.process.kill)
        ending.start()
        try:
            while text not in (line := self.process.stderr.readline()):
                assert line, (text, self.lines)
                self.lines.append(line)
            self.lines.append(line)
        finally:
            ending.cancel()

    def ended(self, sign: int | None) -> tuple[int, str, str]:
        """Send a signal; return the exit status and what else it printed."""
        if sign is not None:
            self.process.send_signal(sign)
        out, err = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, out, err


@contextmanager
def following(
    fake: FakeYamcs, data: Path, *options: str, file_bytes: int | None = None
) -> Iterator[Follower]:
    """Run the command until the block ends; end it if it still runs then."""
    follower = Follower(fake, data, *options, file_bytes=file_bytes)
    with stopping(follower.process):
        yield follower


@pytest.mark.parametrize(
    ("sign", "status"), [(signal.SIGTERM, 0), pytest.param(signal.SIGINT, 130, marks=pytest.mark.long)]
)
def test_a_signal_ends_it_quietly_with_the_counts(
    fake: FakeYamcs, tmp_path: Path, sign: int, status: int
) -> None:
    fake.store(event(1), event(2))
    with following(fake, tmp_path / "data") as follower:
        follower.wait_for("following")
        assert follower.lines == ["there: following; 4 read, 2 stored so far\n"]
        fake.publish(event(3))
        fake.drop()
        follower.wait_for("following")
        assert "trying again" in follower.lines[1]
        ended = follower.ended(sign)
    assert (
        ended
        == (
            status,
            "there: 8 read, 3 stored, 5 duplicates, 0 conflicts, 0 expired, 0 refused\n",
            "",
        )
        or status == 130
    )
    with Archive.open(tmp_path / "data", readonly=True) as archive:
        assert [one.message for one in archive.instance("there").events()] == ["m1", "m2", "m3"]


@pytest.mark.long
def test_after_a_kill_it_goes_on_and_stores_nothing_twice(fake: FakeYamcs, tmp_path: Path) -> None:
    fake.store(*map(event, range(20)))
    with following(fake, tmp_path / "data", "--instance", "copy") as first:
        first.wait_for("following")
        fake.publish(*map(event, range(20, 30)))
        assert first.ended(signal.SIGKILL)[0] == -signal.SIGKILL
    fake.store(*map(event, range(30, 40)))
    with following(fake, tmp_path / "data", "--instance", "copy") as second:
        second.wait_for("following")
        assert second.ended(signal.SIGTERM)[0] == 0
    with Archive.open(tmp_path / "data") as archive:
        copy = archive.instance("copy")
        assert [one.seq_number for one in copy.events()] == list(range(40))
        assert len(list(copy.changes())) == 40


@pytest.mark.long
def test_conflicts_are_shown_when_they_come(fake: FakeYamcs, tmp_path: Path) -> None:
    with following(fake, tmp_path / "data") as follower:
        follower.wait_for("following")
        fake.publish(event(1), event(1, "another"))
        follower.wait_for("  there ")
        assert follower.lines[-3:] == [
            f"conflict at {event(1).key}:\n",
            "  here   'm1'\n",
            "  there  'another'\n",
        ]
        status, out, _ = follower.ended(signal.SIGTERM)
    assert (status, "1 conflicts" in out) == (0, True)


@pytest.mark.long
def test_a_full_file_system_ends_it_with_the_reason_and_it_goes_on_with_room(
    fake: FakeYamcs, tmp_path: Path
) -> None:
    fake.store(event(0))
    with following(fake, tmp_path / "data", file_bytes=600_000) as follower:
        follower.wait_for("following")
        fake.publish(*(event(n, f"{n}" * 40_000) for n in range(1, 20)))
        status, out, complaints = follower.ended(None)
    assert status == 1, complaints
    assert "space" in complaints.lower() or "file" in complaints.lower(), complaints
    assert "Traceback" not in complaints
    assert out.startswith("there: ")
    with following(fake, tmp_path / "data") as again:
        again.wait_for("following")
        assert again.ended(signal.SIGTERM)[0] == 0
    with Archive.open(tmp_path / "data", readonly=True) as archive:
        assert [one.seq_number for one in archive.instance("there").events()] == list(range(20))


def test_a_server_that_is_not_there_leaves_nothing_behind(fake: FakeYamcs, tmp_path: Path, run: Run) -> None:
    command = ("events", "import", "yamcs", fake.url, "--data", tmp_path / "data", "--follow")
    assert "leave out --until" in run(*command, "--until", "2026-01-01").err
    fake.history_status = 404
    ran = run(*command)
    assert ran.status == 1
    assert "404" in ran.err
    assert not (tmp_path / "data").exists()


def test_without_the_package_it_says_how_to_install_it(tmp_path: Path) -> None:
    said = run(
        """
        sys.modules["websockets"] = None
        from yamcs_archive.cli.main import main
        sys.stderr = sys.stdout
        command = ["events", "import", "yamcs", "http://127.0.0.1:9", "--data", sys.argv[1], "--follow"]
        sys.exit(main(command))
        """,
        tmp_path / "data",
        status=1,
    )
    assert re.search(r"""-m pip install ('?websockets\S*|"\.\[follow\]")\n""", said)
    assert said.count("\n") == 1
    assert not (tmp_path / "data").exists()
