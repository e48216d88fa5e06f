"""The pattern of ``q`` matches by its documented meaning, and no pattern takes long."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from yamcs_archive.limits import MESSAGE_BYTES_MAX, PATTERN_CHARACTERS_MAX
from yamcs_archive.wire.message_wildcards import Pattern


def as_expression(pattern: str) -> re.Pattern[str]:
    """The same pattern as a regular expression. It may backtrack, so use it for short texts only."""
    parts = ({"%": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in pattern.casefold())
    return re.compile("".join(parts), re.DOTALL)


@given(st.text("ab?%A", max_size=7), st.text("abB\n", max_size=14))
@example("?", "")
@example("a?", "ba")
@example("?a", "ab")
@example("a??b", "aaaab")
@example("ab%b?a", "abba")
def test_a_pattern_finds_the_texts_of_its_meaning(pattern: str, message: str) -> None:
    expected = as_expression(pattern).search(message.casefold()) is not None
    assert Pattern.of(pattern).matches(message) == expected


def test_no_pattern_is_tried_at_each_place_of_a_long_message() -> None:
    """A regular expression, tried at each position, would take seconds for each of these."""
    message = "x" * MESSAGE_BYTES_MAX
    for last in "abcdefghijklmnopqrstuvw":
        pattern = Pattern.of("?" * (PATTERN_CHARACTERS_MAX - 1) + last)
        assert not pattern.matches(message)
        assert pattern.matches(message + last)
