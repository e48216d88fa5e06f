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

EVENTS_MAX = 250_000
"""Most events, and most commits, of a page that is taken. An archive sends 40,000 at most: 20,000 and the
commit that reaches them. One that was opened with larger groups may have 130,000 in a commit."""

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
    events: msgspec.Raw


class _Page(msgspec.Struct):
    cursor: str
    commits: msgspec.Raw


_decode_page = msgspec.msgpack.Decoder(_Page).decode
_decode_commits = msgspec.msgpack.Decoder(list[_Commit]).decode
_decode_rows = msgspec.msgpack.Decoder(list[_Row]).decode

_FIXARRAY = range(0x90, 0xA0)
_ARRAY_BYTES = {0xDC: 2, 0xDD: 4}
"""Bytes of an array's length, by the byte that it begins with."""


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


def decode_page(body: bytes, events_max: int = EVENTS_MAX) -> Page:
    """Return a page of its bytes; :class:`~yamcs_archive.errors.InvalidInputError` for anything else.

    It may have at most this number of events, and of commits. Both are checked before any is built: the
    smallest ones take thirty times as much in memory.

    >>> decode_page(b"<html>")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: changes '3c68746d6c3e': cannot be read: ...
    """
    try:
        found = _decode_page(body)
        if _elements(found.commits) > events_max:
            raise _too_many("commits", events_max)
        commits = _decode_commits(found.commits)
        if sum(_elements(commit.events) for commit in commits) > events_max:
            raise _too_many("events", events_max)
        return Page(
            [
                SentCommit(commit.time, list(starmap(Event, _decode_rows(commit.events))), commit.cursor)
                for commit in commits
            ],
            found.cursor,
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInputError("changes", body[:20].hex(), f"cannot be read: {error}") from None


def _elements(array: msgspec.Raw) -> int:
    """Return the number of elements that an array of msgpack claims; 0 for a value that is no array."""
    head = memoryview(array)
    if head[0] in _FIXARRAY:
        return head[0] - _FIXARRAY.start
    return int.from_bytes(head[1 : 1 + _ARRAY_BYTES.get(head[0], 0)], "big")


def _too_many(what: str, most: int) -> InvalidInputError:
    return InvalidInputError(what, f"of one answer: more than {most}", "is more than an archive sends")
