"""``RemoteInstance.report``: the report that the archive itself makes, and what is refused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from tests.http.feeds import uvicorn_at
from yamcs_archive import (
    Archive,
    Client,
    Event,
    Filter,
    Instance,
    InvalidInputError,
    RemoteInstance,
    ServerRefusedError,
    ServerUnavailableError,
    Severity,
    UnknownInstanceError,
)
from yamcs_archive.http import progress_lines
from yamcs_archive.http.limits import REPORTS_MAX

SECOND = 1_000_000


@pytest.fixture
def remote(archive: Archive, sim: Instance) -> Iterator[RemoteInstance]:
    sim.append_many(
        Event(
            f"Step {n}" if n % 50 else "Fault °",
            "AB"[n % 2],
            Severity(n % 6),
            generation_time=n * SECOND,
            seq_number=n // 2,
            reception_time=n * SECOND,
        )
        for n in range(300)
        if n % 7
    )
    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
        yield client.instance("sim")


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"start": 100 * SECOND, "stop": "1970-01-01T00:03:20Z", "new_since": 150 * SECOND},
        {"start": 100 * SECOND, "history_since": 0, "late_after_s": 0.5, "top": 3},
        {"sources": ["A"]},
        {"sources": []},
        {"min_severity": "warning", "text": "FAULT °"},
        {"filter": Filter("severity>=watch step"), "skip_damaged": True},
    ],
)
def test_a_remote_report_is_the_archives_own(
    sim: Instance, remote: RemoteInstance, asked: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    here = sim.report(**asked)  # type: ignore[arg-type]
    assert here is not None
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(progress_lines, "TELL_S", 0.0)
    for progress in (None, lambda *far: told.append(far)):
        there = remote.report(**asked, progress=progress)  # type: ignore[arg-type]
        assert dataclasses.replace(there, made=here.made, seconds=here.seconds) == here


def test_what_is_wrong_is_said(
    archive: Archive, remote: RemoteInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bad in ({"top": 0}, {"late_after_s": "x"}, {"sources": "A"}, {"filter": "("}, {"start": "soon"}):
        with pytest.raises(InvalidInputError):
            remote.report(**bad)
    with (
        Client(remote.url) as client,
        pytest.raises(UnknownInstanceError),
    ):
        client.instance("nosuch", check=False).report()
    monkeypatch.setattr("yamcs_archive.http.handlers.reporting.fields_of", lambda _: {"instance": 5})
    with pytest.raises(ServerRefusedError, match="it is no report"):
        remote.report()
    assert REPORTS_MAX >= 1


def test_an_error_while_it_reads(
    sim: Instance, remote: RemoteInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Instance, "report", fail)
    for progress in (None, print):
        with pytest.raises(ServerUnavailableError, match="500"):
            remote.report(progress=progress)
