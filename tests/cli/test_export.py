"""``events export`` writes what ``events import`` stores again, whole or not at all, and resumes."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.child import ROOT, WAIT_S, stopping
from tests.cli.conftest import Run
from tests.examples import of_full
from tests.http.feeds import waitress_server
from tests.importers.test_file import command, events_in
from tests.strategies import many, stored_events
from yamcs_archive import Archive, Event, Instance, Severity
from yamcs_archive.cli import events_export
from yamcs_archive.files import export
from yamcs_archive.files.forms import FORMS
from yamcs_archive.files.part_file import PartFile
from yamcs_archive.instance import Instance as LocalInstance

NAMES = [
    *("a.jsonl", "a.ndjson.gz", "a.json.zst", "a.csv", "a.csv.gz", "a.csv.zst", "a.msgpack", "a.msgpack.zst"),
    *("a.msgpack.gz", "a.parquet", "a.arrow", "a.feather", "a.arrows"),
]


def history(count: int, first: int = 0) -> list[Event]:
    return [
        Event(
            f"m{n}",
            source=f"S{n % 3}",
            severity=Severity(n % 7),
            type=(None, "", "T")[n % 3],
            generation_time=n * 1001,
            seq_number=n,
            reception_time=n,
            created_by=(None, "", "ada")[n % 3],
            extensions=b"\xa0\x06\x01" if n % 5 == 0 else b"",
            extra={"k": "v"} if n % 4 == 0 else {},
        )
        for n in range(first, first + count)
    ]


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A directory with 2,000 events in ``sim``, stored in two commits, the later ones first."""
    with Archive.open(tmp_path / "data") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(history(1000, 1000))
        sim.append_many(history(1000))
    return tmp_path / "data"


@pytest.mark.parametrize("name", NAMES)
def test_each_form_is_imported_as_equal_events(run: Run, tmp_path: Path, filled: Path, name: str) -> None:
    path = tmp_path / name
    ran = run("events", "export", path, "--data", filled)
    assert (ran.status, ran.err) == (0, "")
    assert ran.out == f"2000 events, {path.stat().st_size} bytes: {path}\n"
    into = ("events", "import", path, "--data", tmp_path / "new", "--instance", "copy")
    for stored in (2000, 0):
        ran = run(*into)
        assert ran.out.startswith(f"2000 read, {stored} stored, {2000 - stored} duplicates, 0 conflicts")
        assert ran.status == 0
    assert events_in(tmp_path / "new", "copy") == history(2000)
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted({name, "data", "new"})


def test_tables_that_other_programs_wrote_anew_are_imported(run: Run, tmp_path: Path, filled: Path) -> None:
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    path = tmp_path / "a.parquet"
    assert run("events", "export", path, "--data", filled, "--filter", "m1").status == 0
    count = len(polars.read_parquet(path))
    assert count > 100
    polars.read_parquet(path).write_parquet(tmp_path / "polars.parquet")
    polars.read_parquet(path).write_ipc(tmp_path / "polars.arrow")
    polars.read_parquet(path).write_ipc_stream(tmp_path / "polars.arrows")
    bare = pandas.read_parquet(path)
    bare = bare[bare["extra"].map(len) == 0]
    bare.to_parquet(tmp_path / "pandas.parquet")
    for name, events in (
        *(("polars.parquet", count), ("polars.arrow", count), ("polars.arrows", count)),
        ("pandas.parquet", len(bare)),
    ):
        ran = run("events", "import", tmp_path / name, "--data", tmp_path / name[:8], "--instance", "sim")
        assert ran.out.startswith(f"{events} read, "), ran.err
        assert events_in(tmp_path / name[:8])[0] in history(2000)


@pytest.mark.parametrize("name", ["a.jsonl.zst", "a.csv", "a.msgpack", "a.parquet", "a.arrow"])
def test_with_the_order_kept_events_arrive_as_they_did(run: Run, tmp_path: Path, name: str) -> None:
    arrived = [*history(300, 1000), *history(700, 100), *history(60)[::-1], *history(40, 60)]
    with Archive.open(tmp_path / "data") as archive:
        sim = archive.instance("sim", create=True)
        for at in range(0, len(arrived), 13):
            sim.append_many(arrived[at : at + 13])
        expected = [change.event for change in sim.changes()]
    path = tmp_path / name
    assert run("events", "export", path, "--data", tmp_path / "data", "--order", "commit").status == 0
    into = ("events", "import", path, "--data", tmp_path / "new", "--instance", "sim", "--keep-order")
    for _ in range(2):
        assert run(*into).status == 0
        with Archive.open(tmp_path / "new", readonly=True) as archive:
            assert [change.event for change in archive.instance("sim").changes()] == expected
    assert expected != sorted(expected, key=lambda event: event.key)


@given(st.lists(stored_events, max_size=12, unique_by=lambda event: event.key) | many(stored_events))
@settings(max_examples=of_full(6), deadline=None)
def test_any_events_survive_every_form(events: list[Event]) -> None:
    events = list({event.key: event for event in events}.values())
    with TemporaryDirectory() as folder:
        here = Path(folder)
        with Archive.open(here / "data") as archive:
            archive.instance("sim", create=True).append_many(events)
        for form in FORMS:
            path = here / f"file.{form}"
            assert command("events", "export", path, "--data", here / "data")[0] == 0
            into = ("--data", here / form, "--instance", "sim")
            assert command("events", "import", path, *into)[0] == 0
            if events:
                assert events_in(here / form) == sorted(events, key=lambda event: event.key)
            else:
                assert not (here / form).exists()


def test_through_a_url_nothing_is_lost_either_way(run: Run, tmp_path: Path, filled: Path) -> None:
    for order in ("time", "commit"):
        with Archive.open(filled) as archive, waitress_server(archive) as port:
            url = f"http://127.0.0.1:{port}"
            there, path = tmp_path / "there.msgpack", tmp_path / f"{order}.jsonl"
            ran = run("events", "export", path, "--url", url, "--order", order)
            assert ran.status == 0, ran.err
            assert run("events", "export", there, "--url", url, "--force", "--source", "S1").status == 0
        here = tmp_path / f"{order}-here.jsonl"
        assert run("events", "export", here, "--data", filled, "--order", order).status == 0
        assert path.read_bytes() == here.read_bytes()
        assert run("events", "import", path, "--data", tmp_path / order, "--instance", "sim").status == 0
        assert events_in(tmp_path / order) == history(2000)


def test_options_select_as_those_of_log_do(run: Run, tmp_path: Path, filled: Path) -> None:
    some = ("--data", filled, "-s", "@0.1", "-u", "@1.5", "--source", "S1", "--severity", "distress")
    more = ("--type", "", "--filter", "m1")
    chosen = ("generationTime", "seqNumber", "source", "message")
    shown = run("events", "log", *some, *more, "--format", "jsonl").out.splitlines()
    for order in ("time", "commit"):
        ran = run("events", "export", "-", *some, *more, "--order", order)
        lines = [json.loads(line) for line in ran.out.splitlines()]
        expected = [json.loads(line) for line in shown]
        assert sorted([[one[name] for name in chosen] for one in lines]) == sorted(
            [[one[name] for name in chosen] for one in expected]
        )
        assert len(lines) > 10


def test_commit_order_goes_on_after_the_cursor_that_was_shown(run: Run, tmp_path: Path, filled: Path) -> None:
    def exported(*options: object) -> tuple[list[int], str]:
        ran = run("events", "export", "-", "--data", filled, "--show-cursor", *options)
        assert ran.status == 0
        said = ran.err.split()
        assert said[:2] == ["--", "cursor:"]
        return [json.loads(line)["seqNumber"] for line in ran.out.splitlines()], said[2]

    numbers, cursor = exported("--order", "commit")
    assert numbers == [*range(1000, 2000), *range(1000)]
    assert exported("--after-cursor", cursor) == ([], cursor)
    with Archive.open(filled) as archive:
        archive.instance("sim").append_many(history(5, -5))
    numbers, later = exported("--after-cursor", cursor)
    assert numbers == [*range(-5, 0)]
    assert exported("--order", "time")[1] == later
    assert exported("--after-cursor", later, "--source", "nobody") == ([], later)


def test_a_file_that_is_there_is_not_touched_without_force(run: Run, tmp_path: Path, filled: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("mine")
    ran = run("events", "export", path, "--data", filled)
    assert (ran.status, "--force" in ran.err, path.read_text()) == (1, True, "mine")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "nowhere")
    assert run("events", "export", tmp_path / "link.jsonl", "--data", filled).status == 1
    assert run("events", "export", path, "--data", filled, "--force").status == 0
    assert path.read_bytes().count(b"\n") == 2000
    (tmp_path / "folder.csv").mkdir()
    assert run("events", "export", tmp_path / "folder.csv", "--data", filled, "--force").status == 1
    assert list(tmp_path.glob("*.part*")) == []


def test_devices_and_pipes_are_written_as_they_are(run: Run, tmp_path: Path, filled: Path) -> None:
    assert run("events", "export", "/dev/null", "--data", filled, "--format", "csv").status == 0
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    assert run("events", "export", pipe, "--data", filled, "--format", "jsonl").status == 0
    reader.join()
    assert got[0].count(b"\n") == 2000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a.txt",), "--format"),
        (("a.parquet.gz",), "compressed within"),
        (("a.arrow", "--compression", "zstd"), "compressed within"),
        (("a.jsonl", "--after-cursor", "x", "--order", "time"), "--order commit"),
        (("a.jsonl", "--format", "xml"), "choose from"),
        (("a.jsonl", "--skip-damaged", "--order", "commit"), "--order time"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    run: Run, tmp_path: Path, filled: Path, arguments: tuple[str, ...], said: str
) -> None:
    ran = run("events", "export", tmp_path / arguments[0], "--data", filled, *arguments[1:])
    assert (ran.status, said in ran.err, ran.out) == (2, True, "")
    assert [each.name for each in tmp_path.iterdir()] == ["data"]


def test_the_compression_may_be_named(run: Run, tmp_path: Path, filled: Path) -> None:
    path = tmp_path / "a.jsonl"
    assert run("events", "export", path, "--data", filled, "--compression", "gzip").status == 0
    assert gzip.decompress(path.read_bytes()).count(b"\n") == 2000
    plain = tmp_path / "a.jsonl.gz"
    assert run("events", "export", plain, "--data", filled, "--compression", "none").status == 0
    assert plain.read_bytes() == gzip.decompress(path.read_bytes())


class Stop(Exception):  # noqa: N818
    pass


def breaking(monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int, checkpoint_s: float) -> None:
    """Let the reading of events break after some batches of a hundred events."""
    real = LocalInstance.event_vectors
    real_write = export.write_events

    def event_vectors(self: LocalInstance, **given: Any) -> Iterator[Any]:
        passed = 0
        for events in real(self, **given):
            for start in range(0, events.size, 100):
                if passed == after:
                    raise error
                passed += 1
                yield events.cut(start, start + 100)

    def write(*given: Any, **options: Any) -> int:
        return real_write(*given, **options, checkpoint_s=checkpoint_s)

    monkeypatch.setattr(LocalInstance, "event_vectors", event_vectors)
    monkeypatch.setattr(events_export, "write_events", write)


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.msgpack", "a.jsonl.gz", "a.csv.zst"])
@pytest.mark.parametrize("broken", [(1, KeyboardInterrupt()), (19, OSError(errno.EIO, "Input/output error"))])
def test_an_interrupted_export_goes_on_where_it_was(
    run: Run,
    filled: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    broken: tuple[int, BaseException],
) -> None:
    (after, error), tmp_path = broken, filled.parent
    path = tmp_path / name
    given = ("events", "export", path, "--data", filled)
    with monkeypatch.context() as patch:
        breaking(patch, error, after, checkpoint_s=0)
        for _ in range(2):  # the second begins anew
            ran = run(*given)
            assert ran.status == (130 if isinstance(error, KeyboardInterrupt) else 1)
            assert f"{after * 100} events are in {name}.part: --resume goes on after them" in ran.err
            assert not path.exists()
    with (tmp_path / f"{name}.part").open("ab") as part:
        part.write(b"half a record, half a frame")  # what was written after the last checkpoint
    with monkeypatch.context() as patch:
        breaking(patch, error, 0, checkpoint_s=0)
        assert run(*given, "--resume").status != 0
    ran = run(*given, "--resume")
    assert ran.out.startswith("2000 events, ")
    into = ("--data", tmp_path / "new", "--instance", "sim")
    assert run("events", "import", path, *into).out.startswith("2000 read, 2000 stored")
    assert events_in(tmp_path / "new") == history(2000)
    assert sorted(each.name for each in tmp_path.iterdir()) == [name, "data", "new"]


def test_only_the_same_export_is_resumed(
    run: Run, tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    given = ("events", "export", path, "--data", filled)
    with monkeypatch.context() as patch:
        breaking(patch, Stop(), 3, checkpoint_s=0)
        with pytest.raises(Stop):
            run(*given)
    for other, named in ((("--source", "S1"), "source"), (("--order", "commit"), "order")):
        ran = run(*given, *other, "--resume")
        assert (ran.status, f"with another {named}" in ran.err) == (1, True)
    assert run(*given, "--resume").out.startswith("2000 events, ")
    assert path.read_bytes().count(b"\n") == 2000


def test_without_a_checkpoint_nothing_is_left(
    run: Run, tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "a.parquet"):
        with monkeypatch.context() as patch:
            breaking(patch, KeyboardInterrupt(), 3, checkpoint_s=60 if name == "a.jsonl" else 0)
            ran = run("events", "export", tmp_path / name, "--data", filled)
        assert (ran.status, "--resume" in ran.err) == (130, False)
        assert [each.name for each in tmp_path.iterdir()] == ["data"]
    ran = run("events", "export", tmp_path / "a.parquet", "--data", filled, "--resume")
    assert (ran.status, "begins anew" in ran.err) == (0, True)


def test_a_commit_order_export_goes_on_after_its_cursor(
    run: Run, tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.jsonl"
    given = ("events", "export", path, "--data", filled, "--order", "commit")
    with monkeypatch.context() as patch:
        real = PartFile.checkpoint

        def checkpoint(self: PartFile, events: int, after: Any) -> None:
            real(self, events, after)
            raise Stop

        patch.setattr(PartFile, "checkpoint", checkpoint)
        patch.setattr(export, "CHECKPOINT_S", 0)
        patch.setattr("yamcs_archive.cli.exported._EVENTS", 100)
        real_write = export.write_events
        patch.setattr(
            events_export,
            "write_events",
            lambda *given, **options: real_write(*given, **options, checkpoint_s=0),
        )
        for count in (1000, 2000):
            with pytest.raises(Stop):
                run(*given, *(() if count == 1000 else ("--resume",)))
            assert json.loads((tmp_path / "a.jsonl.part.json").read_text())["events"] == count
    assert run(*given, "--resume").out.startswith("2000 events, ")
    numbers = [json.loads(line)["seqNumber"] for line in path.read_text().splitlines()]
    assert numbers == [*range(1000, 2000), *range(1000)]


CHILD = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from yamcs_archive.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("name", ["a.csv.zst", "a.parquet"])
def test_a_full_disk_leaves_no_half_file_under_the_name(tmp_path: Path, name: str) -> None:
    """The limit of a file's size stands for a full disk: writing fails after some bytes."""
    with Archive.open(tmp_path / "data") as archive:
        big = [
            Event(os.urandom(400).hex(), generation_time=n, seq_number=n, reception_time=n)
            for n in range(1000)
        ]
        archive.instance("sim", create=True).append_many(big)
    path = tmp_path / name
    there = name == "a.parquet"
    if there:
        path.write_bytes(b"mine")
    ran = subprocess.run(
        [sys.executable, "-c", CHILD, "events", "export", path, "--data", tmp_path / "data", "--force"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert f"{name}.part: File too large" in ran.stderr
    assert path.exists() == there
    assert not there or path.read_bytes() == b"mine"
    assert list(tmp_path.glob("*.part*")) == []


def test_ctrl_c_ends_a_running_export_and_leaves_nothing(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "data") as archive:
        archive.instance("sim", create=True).append_many(history(20_000))
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = subprocess.Popen(
        [
            *(sys.executable, "-m", "yamcs_archive", "events", "export", str(pipe), "--format", "jsonl"),
            *("--data", str(tmp_path / "data")),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The reader reads nothing more: the export waits.
    with stopping(child), pipe.open("rb") as reader:
        assert reader.read(1)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=WAIT_S)
    assert (child.returncode, out) == (130, "")
    assert "Traceback" not in err


def test_a_reader_that_goes_away_is_no_error_with_a_traceback(tmp_path: Path, filled: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "yamcs_archive", "events", "export", "-", "--data", str(filled)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with stopping(child):
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert (child.wait(WAIT_S), child.stderr.read()) == (1, b"")


def test_an_empty_instance_gives_an_empty_file(run: Run, tmp_path: Path, data: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet"):
        assert run("events", "export", tmp_path / name, "--data", data).out.startswith("0 events, ")
        into = ("--data", tmp_path / "new", "--instance", "sim")
        assert run("events", "import", tmp_path / name, *into).out.startswith("0 read")
    assert not (tmp_path / "new").exists()


def test_vectors_after_a_key_are_the_rest(filled: Path) -> None:
    with Archive.open(filled, readonly=True) as archive:
        sim: Instance = archive.instance("sim")
        for at in (0, 999, 1000, 1998):
            key = history(2000)[at].key
            rest = [event for part in sim.event_vectors(after_key=key) for event in part.events()]
            assert rest == history(2000)[at + 1 :]
        assert list(sim.event_vectors(after_key=history(2000)[-1].key)) == []
