"""Commits <-> msgpack, whole: what one archive tells another, and what loses nothing; pure.

1. The forms of the API show less than is stored (ERROR shows as SEVERE, who created an event not at all,
   when it was committed neither). This one has every field as it is stored.
2. A page is a map: ``cursor``, the cursor behind it, and ``commits``, an array. A commit is an array:
   when it was made (microseconds since 1970), the cursor behind it, its events in key order. An event is
   an array of the ten fields of :class:`~yamcs_archive.event.Event` in their order, the severity as its
   number, both times as microseconds.
3. What comes from elsewhere has the right types when it was decoded; the rules of the event model are
   held where events are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import NamedTuple

import msgspec

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity

_Row = tuple[
    str,  # message
    str,  # source
    Severity,
    str | None,  # type
    int,  # generation time
    int,  # sequence number
    int,  # reception time
    str | None,  # created by
    bytes,  # extensions
    dict[str, str],  # extra
]


class SentCommit(NamedTuple):
    """A commit as it is sent: when it was made (microseconds since 1970), its events, the cursor behind."""

    time: int
    events: Sequence[Event]
    cursor: str


class Page(NamedTuple):
    """Some commits, and the cursor behind them."""

    commits: Sequence[SentCommit]
    cursor: str


class _Commit(msgspec.Struct, array_like=True):
    time: int
    cursor: str
    events: list[_Row]


class _Page(msgspec.Struct):
    cursor: str
    commits: list[_Commit]


_decoder = msgspec.msgpack.Decoder(_Page)


def encode_page(commits: Iterable[SentCommit], cursor: str) -> bytes:
    """Return the bytes of a page.

    >>> event = Event("a", severity=Severity.ERROR, generation_time=1, seq_number=2, reception_time=3)
    >>> page = decode_page(encode_page([SentCommit(4, [event], "c")], "c"))
    >>> page.commits[0].time, page.commits[0].events == [event], page.cursor
    (4, True, 'c')
    """
    whole = {
        "cursor": cursor,
        "commits": [
            (commit.time, commit.cursor, [msgspec.structs.astuple(event) for event in commit.events])
            for commit in commits
        ],
    }
    return msgspec.msgpack.encode(whole)


def decode_page(body: bytes) -> Page:
    """Return a page of its bytes; :class:`~yamcs_archive.errors.InvalidInputError` for anything else.

    >>> decode_page(b"<html>")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: changes '3c68746d6c3e': cannot be read: ...
    """
    try:
        found = _decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError("changes", body[:20].hex(), f"cannot be read: {error}") from None
    commits = [
        SentCommit(commit.time, list(starmap(Event, commit.events)), commit.cursor)
        for commit in found.commits
    ]
    return Page(commits, found.cursor)
