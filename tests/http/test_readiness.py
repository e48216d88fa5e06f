"""``/readyz`` and the log while events cannot be stored."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest

from tests.http.feeds import Answer, core_feed
from tests.storage.by_hand import put_fact
from yamcs_archive import Archive, Instance
from yamcs_archive.activity import MirrorLag
from yamcs_archive.errors import OutcomeUnknownError, OutOfSpaceError, UnavailableError
from yamcs_archive.http import refusal_log
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import STREAMS_MAX
from yamcs_archive.http.readiness import BACKLOG_S_MAX, LAG_S_MAX, REASONS_MAX
from yamcs_archive.http.refusal_log import INTERVAL_S, QUIET_S, RefusalLog
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.mirror.follower import begin_mirror
from yamcs_archive.storage.disk.file_system import NEARLY_FULL_BYTES

EVENTS = "/api/archive/sim/events"
READY = {"status": "ready", "instances": ["sim"], "storing": ["sim"], "reasons": []}


def unready(answer: Answer) -> str:
    assert (answer.status, answer.json()["type"]) == (503, "ServiceUnavailableException")
    assert answer.headers["retry-after"]
    assert answer.headers["content-length"] == str(len(answer.body))
    return str(answer.json()["msg"])


def kinds(answer: Answer) -> list[tuple[str, str | None]]:
    """Return the kinds of an answer's reasons, each with its instance."""
    assert all(reason["text"] for reason in answer.json()["reasons"])
    return [(reason["kind"], reason.get("instance")) for reason in answer.json()["reasons"]]


def room_of(free_bytes: int) -> Callable[[object], os.statvfs_result]:
    """Return a substitute for ``statvfs`` with that much free space."""
    fields = [512, 512, 10**9, free_bytes // 512, free_bytes // 512, 10**6, 10**6, 10**6, 0, 255]
    return lambda _: os.statvfs_result(fields)


def test_a_full_file_system_is_not_ready(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = core_feed(archive)
    for free_bytes, ready in [
        (NEARLY_FULL_BYTES - 512, False),
        (NEARLY_FULL_BYTES, True),
        (0, False),
        (1 << 40, True),
    ]:
        monkeypatch.setattr(os, "statvfs", room_of(free_bytes))
        answer = send("GET", "/readyz")
        if ready:
            assert answer.json() == READY
        else:
            assert "no space for" in unready(answer)
            assert kinds(answer) == [("full", None)]
            assert str(archive.path) in unready(answer)
            assert send("HEAD", "/readyz").status == 503
        assert send("GET", "/healthz").status == 200


@pytest.mark.damaging
def test_an_archive_that_is_gone_is_not_ready(archive: Archive, sim: Instance) -> None:
    shutil.rmtree(archive.path)
    answer = core_feed(archive)("GET", "/readyz")
    assert str(archive.path) in unready(answer)
    assert kinds(answer) == [("gone", None)]


def test_a_mirror_says_that_it_takes_no_events(archive: Archive, sim: Instance) -> None:
    begin_mirror(archive.instance("copy", create=True), "http://ops:8090", "sim")
    answer = core_feed(archive)("GET", "/readyz")
    assert answer.json().items() >= {"instances": ["copy", "sim"], "storing": ["sim"]}.items()
    assert kinds(answer) == [("mirror", "copy")]
    assert "ops" not in answer.body.decode()  # everybody may ask


def test_an_archive_that_is_open_for_reading_is_ready_to_be_read(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(archive.path, readonly=True) as reading:
        monkeypatch.setattr(os, "statvfs", room_of(0))  # this matters only to writers
        answer = core_feed(reading)("GET", "/readyz")
        assert answer.json().items() >= {"status": "ready", "instances": ["sim"], "storing": []}.items()
        assert kinds(answer) == [("read-only", None)]


def failing(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    monkeypatch.setattr(Instance, "submit", fail)
    monkeypatch.setattr(Instance, "append_columns", fail)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock for spells, in seconds, that only the test moves; no timer runs."""
    now = [1000.0]
    made = RefusalLog.__init__
    monkeypatch.setattr(
        RefusalLog, "__init__", lambda self: made(self, now_s=lambda: now[0], after=lambda *_: None)
    )
    return now


@pytest.mark.parametrize("error", [OutOfSpaceError("/data", "quota"), OutcomeUnknownError((), "sync failed")])
def test_a_failure_that_only_an_append_shows_is_known_from_other_appends(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, clock: list[float], error: Exception
) -> None:
    send = core_feed(archive)
    with monkeypatch.context() as patch:
        failing(patch, error)
        assert send("POST", EVENTS, '{"message": "m"}').status in (503, 507)
    clock[0] += QUIET_S - 0.01
    assert str(error) in unready(send("GET", "/readyz"))
    kind = "full" if isinstance(error, OutOfSpaceError) else "failing"
    assert kinds(send("GET", "/readyz")) == [(kind, None)]
    clock[0] += 0.01
    assert send("GET", "/readyz").status == 200


def test_a_closed_archive_and_a_writer_that_ended_are_reasons_too(archive: Archive, sim: Instance) -> None:
    send = core_feed(archive)
    writer: Any = sim._store._writer  # type: ignore[attr-defined]
    writer._broken = UnavailableError("the writer's thread ended")
    assert kinds(send("GET", "/readyz")) == [("unavailable", None)]
    health = send("GET", "/healthz")
    assert health.status == 503
    assert "restart" in health.json()["msg"]
    writer._broken = None
    assert send("GET", "/healthz").status == 200
    archive.close()
    assert kinds(send("GET", "/readyz")) == [("closed", None)]


@pytest.mark.damaging
def test_an_instance_that_cannot_be_opened_is_a_reason_and_the_others_are_served(
    archive: Archive, sim: Instance
) -> None:
    archive.instance("bad", create=True)
    path = archive.path
    archive.close()
    put_fact(path / "bad", "format", 3)
    with Archive.open(path) as reopened:
        answer = core_feed(reopened)("GET", "/readyz")
        assert kinds(answer) == [("format", "bad")]
        assert answer.json()["storing"] == ["sim"]


def test_what_waits_too_long_is_a_reason_and_leaves_the_server_ready(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, clock: list[float]
) -> None:
    core = Application(archive)
    send = core_feed(archive, core=core)
    usage = sim.usage()
    for waited_s, found in ((BACKLOG_S_MAX, []), (BACKLOG_S_MAX + 1, [("backlog", "sim")])):
        long = replace(usage, checkpoint_backlog_seconds=waited_s)
        monkeypatch.setattr(Instance, "usage", lambda _, long=long: long)
        assert kinds(send("GET", "/readyz")) == found
    monkeypatch.setattr(Instance, "usage", lambda _: usage)
    for lag, found in (
        (MirrorLag("copy", LAG_S_MAX, True), []),
        (MirrorLag("copy", LAG_S_MAX + 1, True), [("mirror-behind", "copy")]),
        (MirrorLag("copy", 0, False), [("mirror-stopped", "copy")]),
    ):
        core.services.observation.mirrors = Mock(return_value=[lag])
        assert kinds(send("GET", "/readyz")) == found
    core.services.observation.mirrors = lambda: []
    core.services.refusals.note("503 ServiceUnavailableException", "8 streams are under way")
    assert kinds(send("GET", "/readyz")) == [("busy", None)]
    assert send("GET", "/readyz").status == 200
    clock[0] += QUIET_S
    assert kinds(send("GET", "/readyz")) == []


@pytest.mark.parametrize("count", [REASONS_MAX - 1, REASONS_MAX, REASONS_MAX + 1])
def test_there_are_at_most_so_many_reasons(archive: Archive, sim: Instance, count: int) -> None:
    core = Application(archive)
    core.services.observation.mirrors = lambda: [MirrorLag(f"c{n}", 0, False) for n in range(count)]
    found = kinds(core_feed(archive, core=core)("GET", "/readyz"))
    assert len(found) == min(count, REASONS_MAX)


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the log records of this test's spells; timers of other tests may still log theirs."""
    found = [
        record.getMessage()
        for record in caplog.records
        if record.name == refusal_log.__name__ and record.thread == threading.get_ident()
    ]
    caplog.clear()
    return found


def test_a_spell_of_refusals_is_told_at_once_at_intervals_and_at_its_end(
    archive: Archive,
    sim: Instance,
    monkeypatch: pytest.MonkeyPatch,
    clock: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    core = Application(archive)
    send = core_feed(archive, core=core)
    spells: RefusalLog = core.services.refusals
    with monkeypatch.context() as patch:
        failing(patch, OutOfSpaceError("/data", "no room"))
        for path in (EVENTS, f"{EVENTS}:batch", EVENTS):
            assert send("POST", path, '{"message": "m"}').status == 507
        [line] = logged(caplog)
        assert "507 OutOfSpaceException: no space for /data (no room)" in line
        for seconds in range(int(INTERVAL_S) - 1):
            clock[0] += 1
            send("POST", EVENTS, '{"message": "m"}')
            send("GET", "/readyz")  # a probe is no refusal
            if seconds % QUIET_S == 0:
                spells.look()
        assert logged(caplog) == []
        clock[0] += 1
        spells.look()
        assert logged(caplog) == ["requests are still refused: 507 OutOfSpaceException: 62 so far, in 59 s"]
    assert send("POST", EVENTS, '{"message": "m"}').status == 200  # ends nothing: others may still fail
    spells.look()
    assert logged(caplog) == []
    clock[0] += QUIET_S
    spells.look()
    assert logged(caplog) == ["requests were refused: 507 OutOfSpaceException: 62 in 59 s, none since then"]
    spells.look()
    assert logged(caplog) == []


def test_each_kind_of_refusal_is_a_spell_and_clients_mistakes_are_none(
    archive: Archive, sim: Instance, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    said: list[float] = []
    spells = RefusalLog(now_s=lambda: 0.0, after=lambda wait_s, _: said.append(wait_s))
    for kind in ("507 OutOfSpaceException", "503 OutcomeUnknownException", "507 OutOfSpaceException"):
        spells.note(kind, "why")
    assert len(logged(caplog)) == 2
    assert said == [QUIET_S]  # one check for all of them
    spells.end()
    assert len(logged(caplog)) == 2
    spells.note("503 ServiceUnavailableException", "the server ends")
    assert logged(caplog) == []
    send = core_feed(archive)
    for target in ("/nosuch", f"{EVENTS}?limit=0", "/api/instances/nosuch"):
        send("GET", target)
    assert logged(caplog) == []


def test_too_many_streams_are_a_spell_too(
    archive: Archive, sim: Instance, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    core = Application(archive)
    opened: list[Any] = []
    for _ in range(STREAMS_MAX + 5):
        call = core.begin(Head("GET", "/api/archive/sim:exportEvents"))
        assert isinstance(call, Exchange)
        answer = call.run(b"")
        assert isinstance(answer, Response)
        opened.append(answer)
    [line] = logged(caplog)
    assert f"{STREAMS_MAX} streams are under way" in line
    for answer in opened[:STREAMS_MAX]:
        answer.body.close()
    core.end_polls()
    [line] = logged(caplog)
    assert "503 ServiceUnavailableException: 5 in 0 s, when serving ended" in line


def test_a_spell_ends_without_a_further_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    calls: list[Callable[[], None]] = []
    now = [0.0]
    spells = RefusalLog(now_s=lambda: now[0], after=lambda _, call: calls.append(call))
    spells.note("507 OutOfSpaceException", "why")
    for _ in range(3):
        now[0] += QUIET_S - 1
        spells.note("507 OutOfSpaceException", "why")
        calls.pop()()
        assert len(calls) == 1  # it looks again
    now[0] += QUIET_S
    calls.pop()()
    assert calls == []
    assert logged(caplog)[-1] == "requests were refused: 507 OutOfSpaceException: 4 in 27 s, none since then"
    spells.note("507 OutOfSpaceException", "again")
    assert len(calls) == 1
