"""The choice of columns: names in the order given, and errors that lead to the right name."""

from __future__ import annotations

from typing import Any

import pytest

from yamcs_archive import InvalidInputError
from yamcs_archive.frames.columns import ALL_COLUMNS, EVENT_COLUMNS, Selection


def test_without_a_choice_there_are_all_columns_of_events() -> None:
    assert Selection.of().names == EVENT_COLUMNS
    assert Selection.of(ALL_COLUMNS).names == (*EVENT_COLUMNS, "commit")
    assert Selection.of(extra_columns=["torque"]).names == (*EVENT_COLUMNS, "torque")
    assert Selection.of([], ["torque"]).names == ("torque",)
    assert Selection.of(iter(["message", "time"])).names == ("message", "time")


@pytest.mark.parametrize(
    ("columns", "extra", "said"),
    [
        ("time", (), "columns 'time': must be several names, as a list or a tuple"),
        (5, (), "columns 5: must be several names"),
        ([5], (), "columns 5: must be text"),
        ([], (), "columns []: must name at least one column"),
        (["time", "time"], (), "columns ['time', 'time']: has 'time' twice"),
        (["Message"], (), "columns 'Message': is no column; did you mean 'message'?"),
        (["generationTime"], (), "did you mean 'time'?"),
        (["generation_time"], (), "did you mean 'time'?"),
        (["receptionTime"], (), "did you mean 'reception_time'?"),
        (["zzz"], (), "columns 'zzz': is no column; there are time, source, seq_number"),
        (None, "torque", "extra_columns 'torque': must be several names"),
        (None, ["message"], "extra_columns 'message': is the name of another column here"),
        (["time"], ["a", "a"], "extra_columns ['a', 'a']: has 'a' twice"),
    ],
)
def test_a_wrong_choice_is_named(columns: Any, extra: Any, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Selection.of(columns, extra)
    assert said in str(caught.value)


def test_a_key_may_be_named_as_a_column_that_was_not_chosen() -> None:
    assert Selection.of(["time"], ["type"]).names == ("time", "type")
