"""Reports over HTTP: what is asked for, who may ask, how many at once, and their end when nobody waits."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.http.feeds import Feed, core_feed
from tests.http.test_api import error_of
from yamcs_archive import Archive, Event, Instance, PassReport
from yamcs_archive.http import progress_lines
from yamcs_archive.http.application import Application
from yamcs_archive.http.exchange import Exchange
from yamcs_archive.http.limits import REPORTS_MAX, STREAMS_MAX
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.wire.plain_values import value_of

REPORT = "/api/archive/sim:report"
SECOND = 1_000_000


@pytest.fixture
def filled(sim: Instance) -> Instance:
    sim.append_many(
        Event(
            f"Step {n}", "AB"[n % 2], generation_time=n * SECOND, seq_number=2 * n, reception_time=n * SECOND
        )
        for n in range(300)
    )
    return sim


def report_in(fields: Any) -> PassReport:
    return value_of(PassReport, fields)


def test_a_get_and_a_post_answer_what_the_library_does(send: Feed, filled: Instance) -> None:
    expected = filled.report(start=100 * SECOND, stop=200 * SECOND, sources=["A"], late_after_s=0, top=2)
    assert expected is not None
    window = "start=1970-01-01T00:01:40Z&stop=1970-01-01T00:03:20Z"
    body = {
        **{"start": "1970-01-01T00:01:40Z", "stop": "1970-01-01T00:03:20Z"},
        **{"source": ["A"], "lateAfter": 0, "top": 2},
    }
    got = send("GET", f"{REPORT}?{window}&source=A&lateAfter=0&top=2")
    posted = send("POST", REPORT, json.dumps(body).encode())
    for answer in (got, posted):
        assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
        found = report_in(answer.json())
        assert found.sources == expected.sources
        assert (found.gaps, found.templates, found.new_count) == (expected.gaps, expected.templates, 0)


def test_no_source_is_not_all_sources(core: Feed, filled: Instance) -> None:
    assert core("POST", REPORT, b'{"source": []}').json()["events"] == 0
    assert core("POST", REPORT, b"").json()["events"] == 300
    assert core("GET", f"{REPORT}?source=").json()["events"] == 300


@pytest.mark.parametrize(
    ("query", "body", "said"),
    [
        ("?top=0", b"", "top 0: must be 1 to 1000"),
        ("?lateAfter=-1", b"", "lateAfter '-1': must be seconds"),
        ("?lateAfter=nan", b"", "lateAfter 'nan': must be seconds"),
        ("?newSince=soon", b"", "newSince 'soon'"),
        ("?severity=loud", b"", "severity"),
        ("?filter=(", b"", "filter"),
        ("?progress=1", b"", "must be true or false"),
        ("", b'{"source": "A"}', "must be an array of names"),
        ("", b'{"source": [5]}', None),
        ("", b'{"since": 5}', "is not one of start, stop"),
        ("", b'{"lateAfter": true}', "lateAfter 'true': must be seconds"),
        ("", b'{"lateAfter": {}}', "must be text"),
        ("", b"[]", None),
    ],
)
def test_bad_requests(core: Feed, filled: Instance, query: str, body: bytes, said: str | None) -> None:
    answer = core("POST" if body else "GET", f"{REPORT}{query}", body)
    if said is None:
        assert answer.status in (200, 400)
        return
    assert said in error_of(answer, 400, "BadRequestException")


def test_an_unknown_instance(core: Feed) -> None:
    error_of(core("GET", "/api/archive/nosuch:report"), 404, "NotFoundException")


def test_progress_is_a_line_each_second_and_the_result_the_last(
    send: Feed, filled: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = send("POST", f"{REPORT}?progress=true", b"{}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert report_in(json.loads(answer.body.splitlines()[-1])["result"]).events == 300
    monkeypatch.setattr(progress_lines, "TELL_S", 0.0)
    *told, last = map(json.loads, send("GET", f"{REPORT}?progress=true").body.splitlines())
    assert all("read" in line["progress"] for line in told)
    assert report_in(last["result"]).events == 300
    error_of(send("GET", f"{REPORT}?progress=true&top=x"), 400, "BadRequestException")


def test_no_more_at_once_than_there_are_slots(archive: Archive, filled: Instance) -> None:
    assert REPORTS_MAX < STREAMS_MAX
    core = Application(archive)
    send = core_feed(archive, core=core)
    for _ in range(REPORTS_MAX - 1):
        core.services.admission.reports.enter()
    assert send("GET", REPORT).status == 200
    core.services.admission.reports.enter()
    for path in (REPORT, f"{REPORT}?progress=true"):
        assert "reports are under way" in error_of(send("GET", path), 503, "ServiceUnavailableException")
    assert send("HEAD", REPORT).status == 200
    core.services.admission.reports.leave()
    for path in (REPORT, f"{REPORT}?progress=true", f"{REPORT}?filter=(", f"{REPORT}?progress=true&filter=("):
        send("GET", path)
    core.services.admission.reports.enter()  # every slot was given back
    assert send("GET", REPORT).status == 503


def test_it_ends_when_nobody_waits(archive: Archive, filled: Instance) -> None:
    exchange = Application(archive).begin(Head("GET", REPORT))
    assert isinstance(exchange, Exchange)
    exchange.abandon()
    answer = exchange.run()
    assert isinstance(answer, Response)
    assert answer.status == 503


def test_a_stream_that_is_left_gives_its_slot_back(
    archive: Archive, filled: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_lines, "TELL_S", 0.0)
    core = Application(archive)
    for _ in range(2 * REPORTS_MAX):
        exchange = core.begin(Head("GET", REPORT, "progress=true"))
        assert isinstance(exchange, Exchange)
        answer = exchange.run()
        assert isinstance(answer, Response)
        assert not isinstance(answer.body, bytes)
        next(iter(answer.body))
        answer.body.close()  # type: ignore[attr-defined]
    assert core_feed(archive, core=core)("GET", REPORT).status == 200


def test_damage_is_left_out_on_request(core: Feed, filled: Instance) -> None:
    assert core("GET", f"{REPORT}?skip_damaged=true").json()["events"] == 300
