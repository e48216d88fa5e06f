"""The differential run: its rules are listed, narrow and used, and two archives do not differ."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import servers
from benchmarks.contenders import yamcs
from benchmarks.differential import __main__ as program
from benchmarks.differential import live
from benchmarks.differential.cases import cases
from benchmarks.differential.exchange import NORMALISED, Answer, Case
from benchmarks.differential.rules import RULES, judge, rows
from tests.child import ROOT

CASES = list(cases())
PLAIN = Case("plain", "GET", "/events")
EVENT = {"source": "A", "generationTime": "2026-01-01T00:00:00Z", "seqNumber": 1, "message": "m"}


def test_the_page_lists_the_rules_with_their_reasons_and_the_normalised_values() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text(encoding="utf-8")
    _, _, table = page.partition("| rule | a Yamcs server | here | why |\n|---|---|---|---|\n")
    assert table.partition("\n\n")[0].splitlines() == rows()
    assert [what for what, why in NORMALISED.items() if f"| {what} | {why} |" not in page] == []


def test_each_request_has_a_name_of_its_own_and_each_rule_may_explain_something() -> None:
    assert [name for name, count in Counter(case.name for case in CASES).items() if count > 1] == []
    named = {name for case in CASES for name in case.may}
    assert named == {rule.name for rule in RULES if not rule.anywhere}


def test_no_rule_explains_a_lost_answer_or_an_internal_error() -> None:
    there = Answer(200, {"content-type": "application/json"}, {"events": [EVENT]})
    fault = {"code": 500, "type": "InternalServerErrorException", "msg": "m"}
    faulty = Answer(500, {"content-type": "application/json"}, fault)
    for case in (PLAIN, *CASES):
        assert judge(case, there, there) == (True, [])
        explained = [here for here in (Answer(None), faulty) if judge(case, there, here)[0]]
        assert explained == [], case.name


@pytest.mark.parametrize(
    "content",
    [
        {"events": []},
        {"events": [EVENT, EVENT]},
        {"events": [{**EVENT, "message": "other"}]},
        {"events": [{**EVENT, "seqNumber": 2}]},
        {"events": [{**EVENT, "generationTime": "2026-01-01T00:00:00.001Z"}]},
        {"events": [{**EVENT, "severity": "INFO"}]},
        {"events": [EVENT], "continuationToken": "token"},
        {},
    ],
    ids=str,
)
def test_without_a_rule_any_other_event_field_or_token_is_different(content: object) -> None:
    headers = {"content-type": "application/json"}
    there, here = Answer(200, headers, {"events": [EVENT]}), Answer(200, headers, content)
    assert not judge(PLAIN, there, here)[0]
    assert not judge(PLAIN, here, there)[0]


def test_rules_that_apply_anywhere_explain_their_aspect_alone() -> None:
    finer = {**EVENT, "generationTime": "2026-01-01T00:00:00.000001Z"}
    there, here = Answer(200, {}, {"events": [EVENT]}), Answer(200, {}, {"events": [finer]})
    assert judge(PLAIN, there, here) == (True, ["microseconds"])
    other = {**EVENT, "source": "B"}
    there, here = Answer(200, {}, {"events": [EVENT, other]}), Answer(200, {}, {"events": [other, EVENT]})
    assert judge(PLAIN, there, here) == (True, ["order-of-equal-times"])
    later = {**EVENT, "generationTime": "2026-01-02T00:00:00Z"}
    there, here = Answer(200, {}, {"events": [EVENT, later]}), Answer(200, {}, {"events": [later, EVENT]})
    assert not judge(PLAIN, there, here)[0]
    error = {"code": 400, "type": "BadRequestException", "msg": "m"}
    there, here = Answer(400, {}, error), Answer(400, {}, {**error, "msg": "other"})
    assert judge(PLAIN, there, here) == (True, ["error-text"])
    assert not judge(PLAIN, there, Answer(400, {}, {**error, "type": "NotFoundException"}))[0]
    assert not judge(PLAIN, there, replace(here, status=404))[0]
    of_filter = {**error, "detail": {"@type": "/yamcs.api.FilterSyntaxException", "beginLine": 1}}
    there, here = Answer(400, {}, of_filter), Answer(400, {}, {**of_filter, "msg": "other"})
    assert not judge(PLAIN, there, here)[0]


@pytest.mark.long
def test_an_archive_does_not_differ_from_another_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SILENT_S", 0.1)
    with servers.serving("archive", tmp_path / "a") as one, servers.serving("archive", tmp_path / "b") as two:
        status = program.compare(one, two)
    said = capsys.readouterr().out
    assert (status, said) == (0, f"{len(CASES)} same, 0 different by design, 0 different\n")


@pytest.mark.parametrize("module", program.NEEDED)
def test_a_package_that_is_missing_is_named_before_a_server_is_started(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(yamcs, "serving", lambda *_: pytest.fail("it was started"))
    assert program.main() == 1
    assert f"-m pip install {program.NEEDED[module]}\n" in capsys.readouterr().err


def test_a_plain_difference_is_shown_and_ends_with_status_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([Answer(200, {}, {"events": [EVENT]}), Answer(200, {}, {"events": []})])
    monkeypatch.setattr(program, "cases", lambda: [PLAIN])
    monkeypatch.setattr(program, "send", lambda *_: next(answers))
    assert program.compare(1, 2) == 1
    said = capsys.readouterr().out
    assert "different: plain" in said
    assert ".content.events" in said
    assert said.endswith("0 same, 0 different by design, 1 different\n")
