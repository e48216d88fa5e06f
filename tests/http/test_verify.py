"""Verification over HTTP: its numbers and faults, one at a time, and its end when nobody waits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.http.feeds import Feed, core_feed
from tests.http.test_api import error_of
from tests.storage.test_damage import damage
from tests.storage.test_file_length import PAGE_BYTES, data_file
from tests.storage.test_verification import filled
from yamcs_archive import Archive, DamagedError, Event, Instance, UnavailableError
from yamcs_archive.http import progress_lines
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.storage.maintain import isolated_verification
from yamcs_archive.wire.verification import verification_of

VERIFY = "/api/archive/sim:verify"


def test_a_sound_instance(send: Feed, sim: Instance) -> None:
    sim.append_many(Event(f"{n}", generation_time=n) for n in range(300))
    answer = send("POST", VERIFY)
    assert answer.status == 200
    found = verification_of(answer.json())
    assert (found.events, found.commits, found.sources, found.faults) == (300, 1, 1, ())


def test_a_quick_one_and_bad_parameters(core: Feed, sim: Instance) -> None:
    sim.append(Event("a"))
    assert core("POST", f"{VERIFY}?quick=true").json()["youngEvents"] == 1
    assert "must be true or false" in error_of(core("POST", f"{VERIFY}?quick=1"), 400, "BadRequestException")
    error_of(core("POST", "/api/archive/nosuch:verify"), 404, "NotFoundException")
    error_of(core("GET", VERIFY), 405, "MethodNotAllowedException")


def test_faults_are_named_with_their_events(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    damage(tmp_path / "a", "blocks", 1, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        here = archive.instance("sim").verify()
        answer = core_feed(archive)("POST", VERIFY)
    assert here is not None
    assert verification_of(answer.json()).faults == here.faults
    assert here.faults


def test_only_one_at_a_time_for_an_instance(archive: Archive, sim: Instance) -> None:
    core = Application(archive, operations=True)
    send = core_feed(archive, core=core)
    archive.instance("other", create=True)
    with core.services.admission.operations.alone("verify", "sim"):
        assert "is under way" in error_of(send("POST", VERIFY), 503, "ServiceUnavailableException")
        assert send("POST", "/api/archive/other:verify").status == 200
    assert send("POST", VERIFY).status == 200


def test_progress_is_a_line_each_second_and_the_result_the_last(
    send: Feed, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    sim.append_many(Event(f"{n}") for n in range(300))
    answer = send("POST", f"{VERIFY}?progress=true")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    *told, last = map(json.loads, answer.body.splitlines())
    assert verification_of(last["result"]).events == 300
    assert all(line["progress"]["read"] <= 300 for line in told)
    monkeypatch.setattr(progress_lines, "TELL_S", 0.0)
    *told, last = map(json.loads, send("POST", f"{VERIFY}?progress=true&quick=true").body.splitlines())
    assert told[0] == {"progress": {"read": 0}}
    assert "result" in last
    error_of(send("POST", f"{VERIFY}?progress=1"), 400, "BadRequestException")


def test_progress_of_what_cannot_be_verified_ends_with_the_error(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    core = Application(archive, operations=True)
    send = core_feed(archive, core=core)
    with core.services.admission.operations.alone("verify", "sim"):
        error_of(send("POST", f"{VERIFY}?progress=true"), 503, "ServiceUnavailableException")
    monkeypatch.setattr(isolated_verification, "_PROGRAM", "raise SystemExit(3)")
    error_of(send("POST", f"{VERIFY}?progress=true"), 503, "ServiceUnavailableException")
    monkeypatch.setattr(progress_lines, "TELL_S", 0.0)
    last = json.loads(send("POST", f"{VERIFY}?progress=true").body.splitlines()[-1])
    assert (last["error"]["code"], last["error"]["type"]) == (503, "ServiceUnavailableException")


def test_who_leaves_ends_a_verification_with_progress(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_lines, "TELL_S", 0.0)
    monkeypatch.setattr(isolated_verification, "_PROGRAM", "import time; time.sleep(3600)")
    core = Application(archive, operations=True)
    exchange = core.begin(Head("POST", VERIFY, "progress=true"))
    assert isinstance(exchange, Exchange)
    answer = exchange.run()
    assert isinstance(answer, Response)
    assert not isinstance(answer.body, bytes)
    body = iter(answer.body)
    assert next(body) == b'{"progress":{"read":0}}\n'
    body.close()  # type: ignore[attr-defined]  # as a server does
    with core.services.admission.operations.alone("verify", "sim"):
        pass


def test_it_ends_when_nobody_waits(archive: Archive, sim: Instance) -> None:
    exchange = Application(archive, operations=True).begin(Head("POST", VERIFY))
    assert isinstance(exchange, Exchange)
    exchange.abandon()
    answer = exchange.run()
    assert isinstance(answer, Response)
    assert answer.status == 503


def test_damage_in_the_pages_of_lmdb_ends_only_the_process_that_reads(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        sim = archive.instance("sim")
        file = data_file(tmp_path / "a")
        whole = file.read_bytes()
        for page in (3, len(whole) // PAGE_BYTES // 2):
            file.write_bytes(whole[: page * PAGE_BYTES] + b"\xff" * PAGE_BYTES)
            assert _outcome(sim) != "sound", page
        file.write_bytes(whole)
        assert _outcome(sim) == "sound"


def _outcome(sim: Instance) -> str:
    try:
        found = sim.verify(isolated=True)
    except (DamagedError, UnavailableError):
        return "cannot be read"
    assert found is not None
    return "faults" if found.faults else "sound"


def test_a_process_that_a_signal_ends_is_a_fault(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIGSEGV", "SIGBUS", "SIGABRT"):
        program = f"import os, signal; os.kill(os.getpid(), signal.{name})"
        monkeypatch.setattr(isolated_verification, "_PROGRAM", program)
        found = sim.verify(isolated=True)
        assert found is not None
        [fault] = found.faults
        assert fault.reason.endswith(name)
    for program in ("raise SystemExit(3)", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"):
        monkeypatch.setattr(isolated_verification, "_PROGRAM", program)
        with pytest.raises(UnavailableError, match="the process that verifies it ended with"):
            sim.verify(isolated=True)


def test_a_process_of_its_own_says_how_far_it_is(sim: Instance, monkeypatch: pytest.MonkeyPatch) -> None:
    sim.append_many(Event(f"{n}", generation_time=n) for n in range(10))
    told: list[Any] = []
    found = sim.verify(isolated=True, progress=lambda *far: told.append(far))
    assert found is not None
    assert (found.events, told[-1][1]) == (10, 10)
    assert sim.verify(isolated=True, cancelled=lambda: True) is None
