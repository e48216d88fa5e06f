"""Grants and rights: what a text permits, for which instances and sources."""

from __future__ import annotations

import pytest

from yamcs_archive import InvalidInputError
from yamcs_archive.access.permissions import Grant, Permission, Rights, Sources

READ, WRITE, MANAGE = Permission.READ_EVENTS, Permission.WRITE_EVENTS, Permission.MANAGE_ARCHIVE


def rights(*grants: str) -> Rights:
    return Rights(map(Grant.parse, grants))


@pytest.mark.parametrize(
    "text",
    ["ReadEvents", "ReadMetrics", "ManageArchive@sim", "WriteEvents@sim-?", "ReadEvents@s*/Star [A-C]/é@1"],
)
def test_a_grant_reads_as_it_is_written(text: str) -> None:
    assert str(Grant.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "Read", "readevents", "ReadEvents@", "ReadEvents@sim/", "ReadEvents@/S", "ReadEvents/S"),
        *("ReadMetrics@sim", "ManageArchive@sim/S", "ReadEvents@sim/a\nb", "ReadEvents@" + "x" * 1000),
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="permission"):
        Grant.parse(text)


def test_instances_are_matched_by_patterns_and_in_their_letter_case() -> None:
    found = rights("ReadEvents@sim*", "WriteEvents@bench", "ManageArchive")
    assert [found.allows(READ, name) for name in ("sim", "sim2", "Sim", "bench")] == [
        True,
        True,
        False,
        False,
    ]
    assert [found.allows(WRITE, name) for name in ("bench", "bench2")] == [True, False]
    assert found.allows(MANAGE, "anything")


def test_all_instances_means_all_and_not_some() -> None:
    found = rights("ReadEvents@sim", "WriteEvents")
    assert not found.allows(READ)
    assert found.allows(WRITE)
    assert not rights().allows(READ, "sim")


def test_sources_add_up_and_one_grant_for_all_is_for_all() -> None:
    found = rights("ReadEvents@sim/GNC*", "ReadEvents@s*/EPS")
    assert found.sources(READ, "sim") == Sources(["GNC*", "EPS"])
    assert found.sources(READ, "s2") == Sources(["EPS"])
    assert rights("ReadEvents@sim/GNC", "ReadEvents").sources(READ, "sim") is None
    nothing = rights().sources(READ, "sim")
    assert nothing is not None
    assert not nothing("GNC")


def test_answers_stay_right_when_more_instances_are_asked_than_are_remembered() -> None:
    found = rights("ReadEvents@a*")
    for _ in range(2):
        assert [found.allows(READ, f"{first}{n}") for n in range(400) for first in "ab"] == [
            True,
            False,
        ] * 400
