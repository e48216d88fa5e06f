"""Compares offered events with the stored ones of their keys, by column; pure.

1. Two rows are taken for the same only if :func:`~yamcs_archive.event.same_content` says so of their events;
   with ``exact``, only if the events are equal.
2. The other way round there are exceptions: an event that was offered as an answer showed it has another
   severity than the stored one and may be the same. So events that differ here are compared one by one.
   Law: tests/storage/test_sent_again.py::test_rows_are_compared_as_events_are
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import StoredVectors, same_texts


def same_rows(stored: StoredVectors, offered: StoredVectors, *, exact: bool) -> npt.NDArray[np.bool_]:
    """Return for each event whether the offered one is the stored one, where their columns say so.

    Both have the same keys, in the same order. ``exact``: reception times and users are compared as well.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> one, other = (
    ...     StoredVectors.of(
    ...         Columns.of([Event(text, generation_time=1, seq_number=1, reception_time=at)]), commit=0
    ...     )
    ...     for text, at in [("a", 1), ("a", 2)]
    ... )
    >>> same_rows(one, other, exact=False).tolist(), same_rows(one, other, exact=True).tolist()
    ([True], [False])
    """
    found: npt.NDArray[np.bool_] = stored.severities == offered.severities
    found &= same_texts(stored.types, offered.types)
    found &= _same_values(stored.messages, offered.messages)
    found &= _same_attached(stored.extensions, offered.extensions, b"")
    found &= _same_attached(stored.extra, offered.extra, {})
    if exact:
        found &= stored.received == offered.received
        found &= same_texts(stored.users, offered.users)
    return found


def _same_values(one: list[Any], other: list[Any]) -> bool | npt.NDArray[np.bool_]:
    if one == other:  # as in nearly all cases, by one comparison in C
        return True
    return np.fromiter((a == b for a, b in zip(one, other, strict=True)), np.bool_, len(one))


def _same_attached(
    one: list[Any] | None, other: list[Any] | None, nothing: Any
) -> bool | npt.NDArray[np.bool_]:
    if one is None and other is None:
        return True
    return _same_values(
        one if one is not None else [nothing] * len(other or ()),
        other if other is not None else [nothing] * len(one or ()),
    )
