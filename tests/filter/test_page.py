"""Every example of docs/filter.md is true: blocks of code, the table of matches, the table of errors."""

import doctest
import re

import pytest

from tests.child import ROOT
from yamcs_archive import Event, Filter, FilterError, Severity

PAGE = (ROOT / "docs" / "filter.md").read_text(encoding="utf-8")


def rows(header: str) -> list[list[str]]:
    """The cells of the table with this header, ``\\|`` read as ``|``."""
    table = PAGE.partition(f"\n| {header} |")[2].partition("\n\n")[0].splitlines()[2:]
    assert table, header
    return [[cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in table]


def events() -> list[Event]:
    extra = {"1": {"Spacecraft": "SAT1"}}
    users = {"2": "flight"}
    return [
        Event(
            message,
            source=source,
            severity=Severity[severity],
            type=kind or None,
            seq_number=int(n),
            generation_time=int(n) * 1_000_000,
            extra=extra.get(n, {}),
            created_by=users.get(n),
        )
        for n, source, severity, kind, message in rows("n | source | severity | type | message")
    ]


@pytest.mark.parametrize(("shown", "finds", "_because"), rows("filter | finds | because"))
def test_a_filter_finds_the_events_that_the_page_lists(shown: str, finds: str, _because: str) -> None:
    found = [event for event in events() if Filter(shown.strip("`")).matches(event)]
    assert " ".join(str(event.seq_number) for event in found) == finds


@pytest.mark.parametrize(("shown", "error"), rows("filter | error"))
def test_an_error_has_the_text_that_the_page_shows(shown: str, error: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(shown.strip("`"))
    assert str(caught.value) == f"filter, {error}"


def test_the_blocks_of_code_print_the_output_that_they_show() -> None:
    blocks = "\n".join(re.findall(r"^```pycon\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
    test = doctest.DocTestParser().get_doctest(blocks, {}, "filter.md", None, 0)
    report: list[str] = []
    result = doctest.DocTestRunner().run(test, out=report.append)
    assert result.attempted == 7
    assert result.failed == 0, "".join(report)
