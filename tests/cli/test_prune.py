"""``prune``, ``instances rename`` and ``instances delete``: their output and their errors."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Event
from yamcs_archive.times import now_us


@pytest.fixture
def filled(data: Path) -> Path:
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(
            Event(f"m{n}", source="S", generation_time=n * 1_000_000, seq_number=n) for n in range(20)
        )
    return data


def counted(data: Path, name: str = "sim") -> int:
    with Archive.open(data, readonly=True) as archive:
        return archive.instance(name).count()


def test_the_oldest_events_go(run: Run, filled: Path) -> None:
    given = ("prune", "--data", filled, "--instance", "sim", "--before", "1970-01-01T00:00:05Z")
    ran = run(*given, "--dry-run")
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("sim: would prune before 1970-01-01T00:00:05Z: 5 events, about ")
    assert counted(filled) == 20
    ran = run(*given)
    assert ran.out.startswith("sim: pruned before 1970-01-01T00:00:05Z: 5 events, about ")
    assert "5 of S, from 1970-01-01T00:00:00Z to 1970-01-01T00:00:04Z, go" in ran.out
    assert counted(filled) == 15
    assert ": 13 events" in run("prune", "--data", filled, "--max-events", "2").out
    assert run("verify", "--data", filled).status == 0


def test_a_server_prunes_and_names_clocks_in_the_future(run: Run, filled: Path) -> None:
    with Archive.open(filled) as archive:
        archive.instance("sim").append(Event("m", source="F", generation_time=now_us() * 3))
        with uvicorn_at(archive, 0) as port:
            ran = run("prune", "--url", f"http://127.0.0.1:{port}", "--instance", "sim", "--max-events", "5")
            assert ran.status == 0
            assert ": 15 events" in ran.out
            assert "1 of F, from 2" in ran.out
            assert ", stay" in ran.out


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ((), 2, "nothing to remove"),
        (("--dry-run",), 2, "nothing to remove"),
        (("--keep-days", "0"), 2, "--keep-days"),
        (("--max-bytes", "some"), 2, "--max-bytes"),
        (("--before", "9999-01-01T00:00:00Z"), 1, "before '9999-01-01T00:00:00Z': must not be later"),
    ],
)
def test_a_bad_rule_is_named_and_nothing_goes(
    run: Run, filled: Path, options: tuple[str, ...], status: int, text: str
) -> None:
    ran = run("prune", "--data", filled, *options)
    assert (ran.status, ran.out) == (status, "")
    assert text in ran.err
    assert counted(filled) == 20


def test_an_instance_is_renamed(run: Run, filled: Path) -> None:
    assert run("instances", "rename", "--data", filled, "sim", "bench").status == 0
    assert run("instances", "list", "--data", filled).out == "bench\n"
    assert run("instances", "rename", "--data", filled, "sim", "more").status == 1
    assert run("instances", "rename", "--data", filled, "bench", "../etc").status == 2
    with Archive.open(filled) as archive, uvicorn_at(archive, 0) as port:
        url = f"http://127.0.0.1:{port}"
        assert run("instances", "rename", "--url", url, "bench", "sim").status == 0
        assert run("instances", "list", "--url", url).out == "sim\n"
    assert counted(filled) == 20


class Terminal(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_an_instance_is_deleted_only_if_its_name_is_typed_again(
    run: Run, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    delete = ("instances", "delete", "--data", filled, "sim")
    monkeypatch.setattr(sys, "stdin", io.StringIO("sim\n"))
    ran = run(*delete)
    assert ran.status == 2
    assert "--confirm" in ran.err
    assert run(*delete, "--confirm", "simulator").status == 2
    monkeypatch.setattr(sys, "stdin", Terminal("\n"))
    ran = run(*delete)
    assert ran.status == 2
    assert "nothing was deleted" in ran.err
    assert counted(filled) == 20
    monkeypatch.setattr(sys, "stdin", Terminal("sim\n"))
    assert run(*delete).status == 0
    assert run("instances", "list", "--data", filled).out == ""
    assert "No instance named 'sim'" in run(*delete).err


def test_a_served_instance_is_deleted(run: Run, filled: Path) -> None:
    with Archive.open(filled) as archive, uvicorn_at(archive, 0) as port:
        url = f"http://127.0.0.1:{port}"
        assert run("instances", "delete", "--url", url, "sim", "--confirm", "sim").status == 0
        assert archive.instances() == []
        assert run("instances", "delete", "--url", url, "sim", "--confirm", "sim").status == 1


def test_an_empty_name_to_confirm_is_not_the_name(run: Run, filled: Path) -> None:
    assert run("instances", "delete", "--data", filled, "sim", "--confirm", "").status == 2
    assert counted(filled) == 20
