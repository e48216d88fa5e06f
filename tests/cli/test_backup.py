"""``backup``, ``backup list``, ``restore``, ``verify COPY`` and ``mirror promote``, as they are typed."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.child import ROOT, WAIT_S, stopping
from tests.cli.conftest import Run
from tests.server.at_hand import at_hand
from tests.storage.test_backup import answers, fill
from yamcs_archive import Archive, Client, Event, OtherHistoryError, ServerUnavailableError, errors
from yamcs_archive.cli.main import main
from yamcs_archive.storage import failpoints


@pytest.fixture
def filled(data: Path) -> Path:
    with Archive.open(data) as archive:
        fill(archive.instance("sim"))
        archive.instance("bench", create=True).append(Event("one"))
    return data


def answers_of(data: Path, name: str = "sim") -> list[Any]:
    with Archive.open(data, readonly=True) as archive:
        return answers(archive.instance(name))


def test_a_backup_is_made_listed_verified_and_restored(run: Run, filled: Path, tmp_path: Path) -> None:
    copies, new = tmp_path / "copies", tmp_path / "new"
    ran = run("backup", "--data", filled, copies)
    assert ran.status == 0
    assert [line.split(" events")[0] for line in ran.out.splitlines()] == ["bench: full, 1", "sim: full, 78"]
    with Archive.open(filled) as archive:
        archive.instance("sim").append(Event("more"))
    ran = run("backup", "--data", filled, "--instance", "sim", "--incremental", "--keep", 1, copies)
    assert (ran.status, ran.out.split(" up to")[0]) == (0, "sim: after commit 10, 1 events")
    listed = [json.loads(line) for line in run("backup", "list", copies).out.splitlines()]
    assert [(one["instance"], one["events"], one["after_commit"]) for one in listed] == [
        ("bench", 1, 0),
        ("sim", 78, 0),
        ("sim", 1, 10),
    ]
    assert [run("backup", "list", one["file"]).status for one in listed] == [0, 0, 0]
    ran = run("verify", copies)
    assert (ran.status, ran.out.count(": no faults\n"), ran.out.count("\n")) == (0, 3, 3)
    ran = run("restore", copies, "--data", new)
    assert (ran.status, ran.out.count("\n")) == (0, 2)
    assert answers_of(new) == answers_of(filled)
    assert answers_of(new, "bench") == answers_of(filled, "bench")
    ran = run("restore", copies, "--data", new, "--instance", "sim")
    assert ran.status == 1
    assert "exists already" in ran.err
    assert run("restore", listed[1]["file"], "--data", new, "--instance", "before").status == 0
    assert len(answers_of(new, "before")[0]) == 78


def test_what_is_wrong_with_a_copy_is_a_line_and_an_exit_status(
    run: Run, filled: Path, tmp_path: Path
) -> None:
    copies = tmp_path / "copies"
    run("backup", "--data", filled, copies)
    [bench, sim] = sorted(copies.iterdir())
    whole = sim.read_bytes()
    sim.write_bytes(whole[:200] + bytes([whole[200] ^ 1]) + whole[201:])
    ran = run("verify", copies)
    assert (ran.status, len(ran.out.splitlines())) == (1, 2)
    assert "no faults" in ran.out.splitlines()[0]
    assert ran.out.splitlines()[1].startswith(f"{sim}: ")
    assert "is wrong, before byte" in ran.out
    assert run("verify", bench).status == 0
    assert run("verify", sim).status == 1
    ran = run("restore", copies, "--data", tmp_path / "new", "--instance", "sim")
    assert (ran.status, ran.out) == (1, "")
    assert f"{sim} cannot be used as a backup" in ran.err
    (tmp_path / "empty").mkdir()
    assert run("verify", tmp_path / "empty").status == 1
    assert run("restore", tmp_path / "empty", "--data", tmp_path / "new").status == 1
    assert run("verify", tmp_path / "nosuch").status == 1


def test_a_mistyped_copy_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("YAMCS_ARCHIVE_DATA", raising=False)
    ran = run("verify", "nosuch")
    assert (ran.status, ran.out) == (2, "")
    assert "there is no file or folder 'nosuch' with backups" in ran.err


def test_verify_still_takes_instances_of_a_directory(
    filled: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("YAMCS_ARCHIVE_DATA", str(filled))
    for arguments in (["--data", str(filled), "bench"], ["bench"]):
        assert main(["verify", *arguments]) == 0
        assert capfd.readouterr().out.startswith("bench: 1 events in ")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--after", "x", "copies"],
        ["--incremental", "-"],
        ["--keep", "2", "-"],
        ["--keep", "0", "copies"],
        ["--rate", "0", "copies"],
        [],
    ],
)
def test_a_command_line_that_cannot_be_meant_is_refused(
    run: Run, filled: Path, arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("backup", "--data", filled, *arguments).status == 2
    assert not (tmp_path / "copies").exists()


def test_a_backup_goes_through_a_pipe(filled: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "yamcs_archive"]
    writing = subprocess.Popen(
        [*command, "backup", "--data", str(filled), "-"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with stopping(writing):
        reading = subprocess.run(
            [*command, "restore", "-", "--data", str(tmp_path / "new")],
            cwd=ROOT,
            stdin=writing.stdout,
            capture_output=True,
            check=False,
            timeout=WAIT_S,
        )
        _, said = writing.communicate(timeout=WAIT_S)
    assert (writing.returncode, reading.returncode) == (0, 0), (said, reading.stderr)
    assert said.count(b"; cursor ") == 2
    for name in ("sim", "bench"):
        assert answers_of(tmp_path / "new", name) == answers_of(filled, name)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, bytes, str]]:
    """Runs a command with bytes as stdin; returns its status, its stdout as bytes, and its stderr."""

    def typed(*arguments: object, given: bytes = b"") -> tuple[int, bytes, str]:
        out, complaints = io.BytesIO(), io.StringIO()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
            patched.setattr(sys, "stdout", io.TextIOWrapper(out))
            patched.setattr(sys, "stderr", complaints)
            status = main([str(argument) for argument in arguments])
            sys.stdout.flush()
            return status, out.getvalue(), complaints.getvalue()

    return typed


def test_a_pipe_continues_after_a_cursor_and_a_cut_one_is_refused(
    filled: Path, tmp_path: Path, typed: Callable[..., tuple[int, bytes, str]]
) -> None:
    status, full, said = typed("backup", "--data", filled, "--instance", "sim", "-")
    assert (status, full[:22]) == (0, b"yamcs_archive backup 1")
    cursor = said.strip().rsplit(" ", 1)[1]
    with Archive.open(filled) as archive:
        archive.instance("sim").append(Event("more"))
    status, more, _ = typed(
        *("backup", "--data", filled, "--instance", "sim", "--after", cursor, "--rate", 1 << 30, "-")
    )
    assert status == 0
    assert typed("verify", "-", given=full + more)[0] == 0
    assert typed("restore", "-", "--data", tmp_path / "new", given=full + more)[0] == 0
    assert answers_of(tmp_path / "new") == answers_of(filled)
    for wrong in (more, full[:-1], full + more[:-1], b""):
        status, out, complaint = typed("restore", "-", "--data", tmp_path / "bad", given=wrong)
        assert (status, out) == (1, b""), complaint
        assert complaint.count("\n") == 1
        assert typed("verify", "-", given=wrong)[0] == (0 if wrong is more else 1)


def test_a_served_instance_is_backed_up_by_its_url(run: Run, filled: Path, tmp_path: Path) -> None:
    copies = tmp_path / "copies"
    with at_hand(filled) as served:
        ran = run("backup", "--url", served.url, "--instance", "sim", copies)
        assert (ran.status, ran.out.split(" events")[0]) == (0, "sim: full, 78"), ran.err
        with Client(served.url) as client:
            sim = client.instance("sim")
            sim.append(Event("more", created_by="me"))
            done = sim.backup(copies, incremental=True, keep=1)
            assert (done.manifest.events, done.manifest.after_commit) == (1, 10)
            with pytest.raises(errors.InvalidInputError):
                b"".join(sim.backup_stream("made up"))
            with pytest.raises(errors.UnknownInstanceError):
                client.instance("nosuch", check=False).backup(tmp_path / "nosuch")
    assert list((tmp_path / "nosuch").iterdir()) == []
    assert run("restore", copies, "--data", tmp_path / "new").status == 0
    assert answers_of(tmp_path / "new") == answers_of(filled)
    with at_hand(tmp_path / "new") as served, Client(served.url) as client:
        with pytest.raises(OtherHistoryError):
            b"".join(client.instance("sim").backup_stream(done.manifest.cursor))
        assert client.instance("sim").backup(copies, incremental=True).manifest.full


def test_a_stream_that_breaks_off_leaves_no_file(
    filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(point: str) -> None:
        if point == "backup-events-read":
            raise errors.UnavailableError("broken")

    monkeypatch.setattr(failpoints, "on_point", fail)
    monkeypatch.setattr("yamcs_archive.storage.backup.encoder.BACKUP_CHUNK_BYTES", 1)
    with at_hand(filled) as served, Client(served.url, retries=0) as client:
        sim = client.instance("sim")
        with pytest.raises(ServerUnavailableError):
            sim.backup(tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_promoted_copy_takes_events_and_follows_only_as_a_new_copy(
    run: Run, filled: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with at_hand(filled) as served:
        follow = ["mirror", served.url, "--data", copy, "--instance", "sim", "--once"]
        assert run(*follow).status == 0
        promote = ["mirror", "promote", "--data", copy, "--instance", "sim"]
        with Archive.open(copy, holder="a server at 127.0.0.1:1") as archive:
            ran = run(*promote)
            assert (ran.status, ran.out) == (1, "")
            assert "this process" in ran.err or "127.0.0.1:1" in ran.err
            cursor = archive.instance("sim").cursor()
        ran = run(*promote)
        assert (ran.status, ran.out.split(" and")[0]) == (0, f"sim: was a mirror of sim at {served.url},")
        assert run(*promote).status == 1
        with Archive.open(copy) as archive:
            sim = archive.instance("sim")
            stored = sim.append(Event("its own")).event
            assert [change.event for change in sim.changes(after=cursor)] == [stored]
        ran = run(*follow)
        assert ran.status == 1
        assert "has events of its own" in ran.err
        assert run(*follow, "--resync").status == 0
    assert answers_of(copy)[0] == answers_of(filled)[0]
    with Archive.open(copy, readonly=True) as archive:
        [kept] = [name for name in archive.instances() if name != "sim"]
        assert stored in list(archive.instance(kept).events())
    assert run("mirror", "promote", "--data", copy).status == 2
    assert run("mirror", "promote", "--data", tmp_path / "nosuch", "--instance", "sim").status == 1
