"""Any value that is given as a filter becomes a filter or raises FilterError."""

from string import ascii_letters

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from yamcs_archive import Event, Filter, FilterError, Severity

MIB = 1 << 20
EVENT = Event("Wheel 3 over speed", source="AOCS", severity=Severity.WARNING, generation_time=0)

pieces = st.one_of(
    st.sampled_from(
        ["NOT", "AND", "OR", "--", "!=", "<=", "=~", "!~", '\\"', "null", "info", '"-1"', '"(?i)a+"']
    ),
    st.sampled_from(["a", "source", "severity", "seqNumber", "generationTime", "extra.k", "message"]),
    st.sampled_from('()-=<>:!~"\\7 \n\t\r\0é\u2028\U0001f680\ud800İ'),
    st.just('"1970-01-01T00:00:00Z"'),
)


def answers(text: str) -> bool:
    """Parse a filter and try it; return False if it is refused with a position within its text."""
    try:
        one = Filter(text)
    except FilterError as error:
        lines = 1 + text.count("\n") + text.count("\r")
        assert 1 <= error.line <= lines
        assert error.column >= 1
        begin_line, begin_column, end_line, end_column = error.span
        assert (1, 0) < (begin_line, begin_column) <= (end_line, end_column) <= (lines + 1, 8 * len(text) + 8)
        assert str(error).isprintable() or not text.isprintable()
        return False
    assert one.matches(EVENT) in (True, False)
    assert one.bounds.admits(EVENT) or not one.matches(EVENT)
    return True


@given(st.text(max_size=30))
@example('"\ud800"')
@example("\ud800")
@example('source="\ud800\0"')
@example('message=~"\ud800"')
@example("seqNumber=" + "9" * 5000)
@example('seqNumber="1e' + "9" * 5000 + '"')
def test_any_text_is_a_filter_or_an_error(text: str) -> None:
    answers(text)


@settings(max_examples=of_full(300))
@given(st.lists(pieces, max_size=12).map("".join))
def test_any_row_of_tokens_is_a_filter_or_an_error(text: str) -> None:
    answers(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * MIB,
        "(" * 60_000,
        "(" * 30_000 + ")" * 30_000,
        "NOT (" * 10_000,
        "-(" * 30_000,
        '"' + "a" * 60_000,
        '"' + "\\" * 60_001,
        '"' + '\\"' * 30_000,
        "a" * MIB,
        "a OR " * 13_000,
        "severity=" * 7_000,
        "a=" + "(" * 60_000,
        'message=~"' + "(" * 60_000 + '"',
        'message=~"' + "[a-" * 20_000 + '"',
        'message=~"' + "(a?" * 12_000 + ")?" * 12_000 + '"',
        'message=~"' + ".{999}" * 8_000 + '"',
        'message=~"' + "(" * 900 + "a" + "{9}){9}" * 900 + '"',
        'message=~"' + "(?i)" * 15_000 + "(" + '"',
        'message=~"' + "\\\\Q" * 15_000 + "\\\\K" + '"',
        "a " * 30_000,
    ],
    ids=lambda text: f"{text[:12]}-{len(text)}",
)
def test_a_filter_that_would_exhaust_the_parser_is_refused(text: str) -> None:
    with pytest.raises(FilterError):
        Filter(text)


@pytest.mark.parametrize(
    "text",
    [
        "NOT " * 16_000 + "a",
        " \n" * 30_000 + "-- " + "-" * 5_000,
        '"' + "a" * 65_000 + '"',
        '"' + '\\"' * 32_000 + '"',
        "(" * 63 + "NOT (a) OR b" + ") OR c d" * 63,
        'message=~"' + "a|" * 30_000 + '"',
        'message=~"' + "(a*)*" * 10_000 + '"',
        'message=~"' + "(" * 32_000 + "a" + ")" * 32_000 + '"',
        "(a OR NOT (" * 32 + "b" + ") c)" * 32,
    ],
    ids=lambda text: f"{text[:12]}-{len(text)}",
)
def test_a_long_or_deep_filter_within_the_limits_is_accepted(text: str) -> None:
    assert answers(text)


@pytest.mark.parametrize("value", [None, 7, b"a", ["a"], 1.5])
def test_a_value_that_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(FilterError, match="must be text"):
        Filter(value)  # type: ignore[arg-type]  # the point of the test


@given(st.text(ascii_letters, min_size=1, max_size=8), st.sampled_from(["=", "!=", "<", ">=", ":", "=~"]))
def test_an_unknown_field_is_always_named(name: str, operator: str) -> None:
    known = {
        "message",
        "source",
        "type",
        "severity",
        "seqnumber",
        "generationtime",
        "receptiontime",
        "createdby",
    }
    if name.lower() in known or name in ("AND", "OR", "NOT"):
        return
    with pytest.raises(FilterError, match=f"Field not found '{name.lower()}'"):
        Filter(f"wheel {name}{operator}1")
