"""Reports as JSON: what is written is read as it was, and what was not written so is refused."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from tests.examples import of_full
from tests.pass_report.reference import Stored
from tests.pass_report.test_against_reference import histories, report_of
from yamcs_archive import PassReport
from yamcs_archive.pass_report.compared import ComparedPass
from yamcs_archive.pass_report.findings import Gap, SourceReport
from yamcs_archive.wire.plain_values import fields_of, value_of

GAP = {
    **{"source": "A", "first": 1, "last": 2, "missing": 2},
    **{"after": "1970-01-01T00:00:00Z", "before": "1970-01-01T00:00:01Z"},
}


@settings(max_examples=of_full(30))
@given(histories())
def test_a_report_comes_back_as_it_was(events: list[Stored]) -> None:
    found = report_of(events, window=1000, batch=1000)
    written = msgspec.json.encode(fields_of(found))
    assert value_of(PassReport, msgspec.json.decode(written)) == found


def test_none_is_left_out_and_a_whole_number_may_be_a_fraction() -> None:
    found = report_of([])
    fields = fields_of(found)
    assert "firstTime" not in fields
    assert "eventsPerS" not in fields
    assert value_of(PassReport, fields | {"seconds": 3, "eventsPerS": None, "later": "unknown"}) == (
        value_of(PassReport, fields | {"seconds": 3.0})
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"first": "1"},
        {"first": 1.0},
        {"first": True},
        {"first": None},
        {"source": 5},
        {"after": 0},
        {"after": "soon"},
        {"after": "0000-01-01T00:00:00Z"},
    ],
)
def test_what_was_not_written_so_is_refused(bad: dict[str, Any]) -> None:
    assert value_of(Gap, GAP).missing == 2
    with pytest.raises((TypeError, ValueError)):
        value_of(Gap, GAP | bad)


def test_what_is_missing_or_no_object_is_refused() -> None:
    with pytest.raises(KeyError):
        value_of(Gap, {name: value for name, value in GAP.items() if name != "last"})
    others: list[Any] = [None, [], "a", 5]
    for other in others:
        with pytest.raises(TypeError):
            value_of(Gap, other)
    with pytest.raises((KeyError, TypeError)):
        value_of(SourceReport, {"source": "A", "severities": {"INFO": "1"}})
    assert value_of(ComparedPass, {"name": "A", "instance": "sim", "templateCount": 0}).start is None
