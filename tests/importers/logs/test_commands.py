"""``events import`` of logs: what is stored, shown, refused and said."""

from __future__ import annotations

import base64
import gzip
import json
import os
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.http.feeds import waitress_server
from tests.importers.logs.samples import LOGS, PATTERN
from tests.importers.logs.test_forms import EVENTS_AND_REJECTS
from tests.importers.logs.test_numbering import same_numbers
from tests.importers.test_file import command, events_in
from yamcs_archive import Archive, Instance
from yamcs_archive.cli.reject_file import RejectFile
from yamcs_archive.files.reading import Rejected
from yamcs_archive.importers.formats import FORMATS

OPTIONS = {
    "lines": ["--pattern", PATTERN, "--continuation"],
    "mapped": ["--map", *LOGS["mapped"][1]["mapping"], "--severity", "30=INFO"],
    "syslog": ["--format", "syslog", "--year", "2025"],
}


def arguments(form: str) -> list[str]:
    return [*OPTIONS.get(form, ["--format", form]), "--timezone", "UTC"]


def log(folder: Path, form: str) -> Path:
    path = folder / f"{form}.log"
    path.write_bytes(LOGS[form][0])
    return path


@pytest.mark.parametrize("form", LOGS)
def test_a_log_is_stored_once_and_what_does_not_fit_is_said(
    run: Run, data: Path, tmp_path: Path, form: str
) -> None:
    path = log(tmp_path, form)
    size, rejected = EVENTS_AND_REJECTS[form]
    for stored in (size, 0):
        ran = run("events", "import", path, "--data", data, "--instance", "sim", *arguments(form))
        assert ran.status == 1
        assert ran.out == (
            f"{size + len(rejected)} read, {stored} stored, {size - stored} duplicates, 0 conflicts,"
            f" 0 expired, {len(rejected)} refused\n"
        )
        assert [
            line.split(": ")[1] for line in ran.err.splitlines() if line.startswith("refused")
        ] == rejected
    assert len(events_in(data)) == size


def test_every_log_format_has_a_sample() -> None:
    assert {name for name, entry in FORMATS.items() if entry.is_log} == set(LOGS)


@pytest.mark.parametrize("form", LOGS)
def test_a_dry_run_shows_events_and_makes_nothing(run: Run, tmp_path: Path, form: str) -> None:
    path = log(tmp_path, form)
    size, rejected = EVENTS_AND_REJECTS[form]
    ran = run("events", "import", path, "--data", tmp_path / "new", *arguments(form), "--dry-run")
    assert ran.status == 1
    assert (
        ran.out.splitlines()[-1]
        == f"{size + len(rejected)} read, {len(rejected)} refused; nothing was stored"
    )
    assert ran.out.startswith("SEVERITY")
    assert not (tmp_path / "new").exists()


def test_a_dry_run_shows_ten_events_as_they_would_be_stored(run: Run, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "eps.log"
    path.write_text("".join(f"{n} m{n} \x1b[1m\t{'a b' * (n == 3)}\n" for n in range(2500)))
    how = ["--pattern", r"(?P<time>\d+) (?P<message>\S+) (?P<rest>.*)", "--time-format", "unix"]
    ran = run("events", "import", path, *how, "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert len(lines) == 1 + 2 * 10 + 1
    assert lines[7].split() == ["INFO", "1970-01-01T00:00:03Z", "m3", "eps", "-"]
    assert lines[8].startswith("    number=-")
    assert "\x1b" not in ran.out
    assert "rest='" in lines[8]
    assert lines[-1] == "2500 read, 0 refused; nothing was stored"
    assert run("events", "import", path, *how, "--data", data, "--instance", "sim").status == 0
    stored = [event.seq_number for event in events_in(data)[:10]]
    assert [f"number={number}" for number in stored] == [line.split()[0] for line in lines[2:-1:2]]


def test_rejects_go_to_a_file_from_which_they_can_be_imported(run: Run, data: Path, tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.jsonl"
    path = tmp_path / "a.log"
    path.write_bytes(
        b"2026-01-01 00:00:00 [I] A: a\n2026-01-01 00:00:01 [odd] A: b\n2026-01-01 00:00:02 [I] A: \xe9\n"
    )
    into = (
        "events",
        "import",
        path,
        "--data",
        data,
        "--instance",
        "sim",
        "--pattern",
        PATTERN,
        "--timezone",
        "UTC",
    )
    for _ in range(2):  # the file of an earlier import is replaced
        assert run(*into, "--rejects", rejects).status == 1
        first, second = (json.loads(line) for line in rejects.read_text().splitlines())
        assert (first["place"], first["text"]) == ("line 2", "2026-01-01 00:00:01 [odd] A: b")
        assert "--severity odd=INFO" in first["reason"]
        assert base64.b64decode(second["base64"]) == b"2026-01-01 00:00:02 [I] A: \xe9"
        assert list(tmp_path.glob("*.part")) == []
    path.write_text(first["text"])
    assert run(*into, "--rejects", rejects, "--severity", "odd=WATCH").status == 0
    assert rejects.read_bytes() == b""


def test_no_other_file_is_overwritten_by_rejects(run: Run, data: Path, tmp_path: Path) -> None:
    path = log(tmp_path, "cosmos")
    into = ("events", "import", path, "--data", data, "--instance", "sim", "--format", "cosmos", "--rejects")
    for other in (path, tmp_path / "notes.txt"):
        other.touch()
        other.write_bytes(other.read_bytes() or b"mine")
        before = other.read_bytes()
        ran = run(*into, other)
        assert ran.status == 2
        assert "give another name" in ran.err
        assert other.read_bytes() == before
    assert events_in(data) == []
    assert run(*into, tmp_path / "missing" / "rejects.jsonl").status == 1


def test_rejects_are_there_when_an_error_ends_the_import(run: Run, data: Path, tmp_path: Path) -> None:
    path, rejects = tmp_path / "a.log.gz", tmp_path / "r.jsonl"
    path.write_bytes(gzip.compress(LOGS["cosmos"][0] * 100)[:-9])
    ran = run(
        "events",
        "import",
        path,
        "--data",
        data,
        "--instance",
        "sim",
        "--format",
        "cosmos",
        "--rejects",
        rejects,
    )
    assert ran.status == 1
    assert "truncated" in ran.err
    assert rejects.read_bytes().count(b"\n") > 10
    assert len(events_in(data)) > 10


def test_rejects_of_the_archives_own_files(run: Run, data: Path, tmp_path: Path) -> None:
    path, rejects = tmp_path / "a.jsonl", tmp_path / "r.jsonl"
    good = '{"message": "%s", "time": "1970-01-01T00:00:01Z", "sequenceNumber": %d}\n'
    path.write_text(good % ("a", 1) + "bad\n" + '{"message": "b"}\n' + good % ("c", 2))
    into = ("events", "import", path, "--data", data, "--instance", "sim")
    assert run(*into).out == "1 read, 1 stored, 0 duplicates, 0 conflicts, 0 expired\n"
    ran = run(*into, "--rejects", rejects)
    assert ran.out == "4 read, 1 stored, 1 duplicates, 0 conflicts, 0 expired, 2 refused\n"
    assert [json.loads(line)["place"] for line in rejects.read_text().splitlines()] == ["line 2", "line 3"]
    dry = run(*into, "--dry-run")
    assert (dry.status, dry.out.splitlines()[-1]) == (1, "1 read, 0 refused; nothing was stored")


def test_a_pattern_that_matches_nothing_stores_nothing_and_shows_the_first_line(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "app.log"
    path.write_text("\nLorem ipsum\n" + "dolor sit amet\n" * 20_000)
    ran = run(
        "events", "import", path, "--data", tmp_path / "new", "--instance", "sim", "--pattern", "(?P<time>x)"
    )
    assert ran.status == 1
    assert "Lorem ipsum" in ran.err
    assert "does not match the pattern" in ran.err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["a.log"], "does not say what it holds"),
        (["a.log", "--format", "lines"], "needs --pattern"),
        (["a.log", "--format", "mapped"], "needs --map"),
        (["a.log", "--pattern", "(?P<time>.*)", "--map", "message=.m", "time=.t"], "give one of them"),
        (["a.log", "--pattern", "(?P<time>.*)", "--format", "syslog"], "has a form of its own"),
        (["a.log", "--format", "syslog", "--timezone", "Mars"], "--timezone 'Mars': must be a name"),
        (["a.log", "--format", "syslog", "--year", "0"], "--year 0: must be 1 to 9999"),
        (["a.log", "--format", "syslog", "--severity", "x"], "must be WORD=SEVERITY"),
        (["a.log", "--format", "syslog", "--severity", "x=loud"], "must be one of INFO"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    run: Run, data: Path, tmp_path: Path, given: list[str], said: str
) -> None:
    (tmp_path / "a.log").touch()
    ran = run("events", "import", tmp_path / given[0], *given[1:], "--data", data, "--instance", "sim")
    assert (ran.status, said in ran.err) == (2, True), ran.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--pattern", "("], "is no regular expression"),
        (["--pattern", "(?P<time>.*)", "--time-format", "%Q"], "time format"),
        (["--map", "message=.m"], "where the time is"),
    ],
)
def test_patterns_and_formats_that_are_none_say_why(
    run: Run, tmp_path: Path, given: list[str], said: str
) -> None:
    (tmp_path / "a.log").write_text("x\n")
    ran = run("events", "import", tmp_path / "a.log", "--data", tmp_path / "new", "--instance", "sim", *given)
    assert (ran.status, said in ran.err) == (1, True), ran.err
    assert not (tmp_path / "new").exists()


def test_json_lines_with_a_mapping_may_be_called_by_either_name(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"msg":"a","ts":1767225600}\n')
    for given in ([], ["--format", "jsonl"], ["--format", "mapped"]):
        ran = run("events", "import", path, "--map", "message=.msg", "time=.ts", *given, "--dry-run")
        assert ran.out.endswith("1 read, 0 refused; nothing was stored\n")


def test_years_and_zones_that_were_assumed_are_said(run: Run, data: Path, tmp_path: Path) -> None:
    path = tmp_path / "syslog"
    path.write_text("Dec 31 23:59:59 gs1 cron[1]: a\nJan  1 00:00:00 gs1 cron[1]: b\n")
    os.utime(path, (1767312000, 1767312000))  # 2026-01-02
    into = (
        "events",
        "import",
        path,
        "--data",
        data,
        "--instance",
        "sim",
        "--format",
        "syslog",
        "--timezone",
        "UTC",
    )
    ran = run(*into)
    assert (ran.status, ran.out.split(",")[1]) == (0, " 2 stored")
    assert "note: 2 times without a zone, read as UTC\n" in ran.err
    assert "note: no year in the log, taken as 2025 to 2026\n" in ran.err
    with path.open("a") as stream:
        stream.write("Jan  3 00:00:00 gs1 cron[1]: c\n")
    assert "3 read, 1 stored, 2 duplicates" in run(*into).out


def test_a_log_goes_to_a_served_archive_and_accidental_conflicts_are_resolved_there(
    run: Run, archive: Archive, sim: Instance, tmp_path: Path
) -> None:
    path = tmp_path / "a.log"
    first, second = same_numbers()
    path.write_text(f"5 {first}\n")
    how = ["--pattern", r"(?P<time>\d+) (?P<message>.*)", "--time-format", "unix"]
    with waitress_server(archive) as port:
        into = ("events", "import", path, "--url", f"http://127.0.0.1:{port}", "--instance", "sim", *how)
        assert run(*into).out.startswith("1 read, 1 stored")
        path.write_text(f"5 {second}\n5 {second}\n")
        for stored in (2, 0):
            ran = run(*into)
            assert (ran.status, ran.out) == (
                0,
                f"2 read, {stored} stored, {2 - stored} duplicates, 0 conflicts, 0 expired\n",
            )
    assert sorted(event.message for event in sim.events()) == sorted([first, second, second])


def test_a_log_comes_through_a_pipe(data: Path) -> None:
    given = LOGS["journald"][0]
    into = ("events", "import", "-", "--data", data, "--instance", "sim", "--format", "journald")
    status, out, err = command(*into, given=given)
    assert (status, out.decode().split(",")[1]) == (1, " 2 stored")
    assert "refused: entry 3" in err
    status, out, _ = command(*into, "--dry-run", given=given)
    assert out.decode().splitlines()[-1] == "4 read, 2 refused; nothing was stored"


def test_ctrl_c_leaves_the_rejects_so_far_and_what_was_stored(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, rejects = tmp_path / "a.log", tmp_path / "r.jsonl"
    path.write_text("".join(f"{n} m{n}\n" + "bad\n" * (n % 100 == 0) for n in range(25_000)))
    added = RejectFile.add

    def interrupted(self: RejectFile, rejected: Rejected) -> None:
        added(self, rejected)
        if rejected.place == "line 20000":
            raise KeyboardInterrupt

    monkeypatch.setattr(RejectFile, "add", interrupted)
    how = ["--pattern", r"(?P<time>\d+) (?P<message>.*)", "--time-format", "unix", "--rejects", rejects]
    into = ("events", "import", path, "--data", data, "--instance", "sim", *how)
    assert run(*into).status == 130
    assert 10_000 <= len(events_in(data)) < 25_000
    assert rejects.read_bytes().count(b"\n") >= 198
    monkeypatch.setattr(RejectFile, "add", added)
    run(*into)
    assert len(events_in(data)) == 25_000
    assert rejects.read_bytes().count(b"\n") == 250


@pytest.mark.parametrize("form", LOGS)
def test_a_full_disk_for_rejects_is_said_and_leaves_no_half_file(
    run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(RejectFile, "add", full)
    into = ("events", "import", log(tmp_path, form), "--data", data, "--instance", "sim", *arguments(form))
    ran = run(*into, "--rejects", tmp_path / "r.jsonl")
    assert ran.status == 1
    assert "r.jsonl" in ran.err
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["data", f"{form}.log"])
