"""``compact``: its output and its errors."""

import re
from pathlib import Path

from tests.cli.conftest import Run
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Event


def test_every_instance_is_compacted_unless_some_are_named(run: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Archive.open(data) as archive:
        for name in ("bench", "sim"):
            instance = archive.instance(name, create=True)
            for n in range(300):
                instance.append(Event(f"Step {n}", generation_time=n))
    line = r"(\w+): (\d+) bytes before, (\d+) after, \d+\.\d s"
    ran = run("compact", "--data", data)
    assert (ran.status, ran.err) == (0, "")
    found = [re.fullmatch(line, text) for text in ran.out.splitlines()]
    assert [match and match[1] for match in found] == ["bench", "sim"]
    assert all(match and int(match[2]) > int(match[3]) for match in found)
    ran = run("compact", "--data", data, "sim")
    assert (ran.status, ran.out.partition(":")[0], ran.out.count("\n")) == (0, "sim", 1)
    assert (data / "bench" / "CURRENT").read_text() == "gen-2\n"
    assert (data / "sim" / "CURRENT").read_text() == "gen-3\n"
    assert run("events", "log", "--data", data, "--instance", "sim", "-n", "all").out.count("\n") == 301


def test_an_instance_that_is_not_there_is_named_before_any_is_compacted(run: Run, data: Path) -> None:
    ran = run("compact", "--data", data, "sim", "nosuch")
    assert (ran.status, ran.out) == (1, "")
    assert "No instance named 'nosuch' (there are: sim)" in ran.err
    assert (data / "sim" / "CURRENT").read_text() == "gen-1\n"


def test_a_directory_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    ran = run("compact", "--data", tmp_path / "nosuch")
    assert ran.status == 1
    assert "there is no such directory" in ran.err
    assert not (tmp_path / "nosuch").exists()


def test_a_directory_that_something_else_writes_to_is_refused(run: Run, data: Path) -> None:
    with Archive.open(data) as archive:
        archive.instance("sim").append(Event("a"))
        ran = run("compact", "--data", data)
        assert (ran.status, ran.out) == (1, "")
        assert "in use" in ran.err


def test_a_served_archive_is_compacted_if_it_allows_that(run: Run, data: Path) -> None:
    with Archive.open(data) as archive, uvicorn_at(archive, 0) as port:
        ran = run("compact", "--url", f"http://127.0.0.1:{port}")
        assert (ran.status, ran.out.partition(":")[0]) == (0, "sim")
        assert (data / "sim" / "CURRENT").read_text() == "gen-2\n"
    with Archive.open(data) as archive, uvicorn_at(archive, 0, operations=False) as port:
        ran = run("compact", "--url", f"http://127.0.0.1:{port}", "sim")
        assert ran.status == 1
        assert "--allow-operations" in ran.err
