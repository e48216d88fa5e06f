"""``/readyz`` and the log while events cannot be stored."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.http.feeds import Answer, core_feed
from yamcs_archive import Archive, Instance
from yamcs_archive.errors import OutcomeUnknownError, OutOfSpaceError
from yamcs_archive.http import refusal_log
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import STREAMS_MAX
from yamcs_archive.http.refusal_log import INTERVAL_S, QUIET_S, RefusalLog
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.mirror.follower import begin_mirror
from yamcs_archive.storage.disk.file_system import NEARLY_FULL_BYTES

EVENTS = "/api/archive/sim/events"


def unready(answer: Answer) -> str:
    assert (answer.status, answer.json()["type"]) == (503, "ServiceUnavailableException")
    assert answer.headers["retry-after"]
    return str(answer.json()["msg"])


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
            assert answer.json() == {"status": "ready", "instances": ["sim"], "storing": ["sim"]}
        else:
            assert "no space for" in unready(answer)
            assert str(archive.path) in unready(answer)
            assert send("HEAD", "/readyz").status == 503
        assert send("GET", "/healthz").status == 200


@pytest.mark.damaging
def test_an_archive_that_is_gone_is_not_ready(archive: Archive, sim: Instance) -> None:
    shutil.rmtree(archive.path)
    assert str(archive.path) in unready(core_feed(archive)("GET", "/readyz"))


def test_a_mirror_says_that_it_takes_no_events(archive: Archive, sim: Instance) -> None:
    begin_mirror(archive.instance("copy", create=True), "http://ops:8090", "sim")
    answer = core_feed(archive)("GET", "/readyz")
    assert answer.json() == {"status": "ready", "instances": ["copy", "sim"], "storing": ["sim"]}


def test_an_archive_that_is_open_for_reading_is_ready_to_be_read(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Archive.open(archive.path, readonly=True) as reading:
        monkeypatch.setattr(os, "statvfs", room_of(0))  # this matters only to writers
        answer = core_feed(reading)("GET", "/readyz")
        assert answer.json() == {"status": "ready", "instances": ["sim"], "storing": []}


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
    clock[0] += 0.01
    assert send("GET", "/readyz").status == 200


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
