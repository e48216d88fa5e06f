"""Pages of commits <-> msgpack: the exchange form, in which a mirror reads another archive; pure.

1. It has every field as it is stored. (The forms of the API show less: ERROR as SEVERE, and neither the user
   who created an event nor the time of its commit.)
2. A page is a map of ``commits``, an array, and ``cursor``, the cursor after the last of them. A commit is an
   array: its time (microseconds since 1970), the cursor after it, its events in key order. An event is an
   array of the ten fields of :class:`~yamcs_archive.event.Event` in their order, with the severity as its
   number and both times as microseconds.
3. Decoding checks types and sizes; the rules of the event model are checked where events are stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import starmap
from typing import NamedTuple

import msgspec

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Severity, StoredEvent
from yamcs_archive.results import Commit

EVENTS_MAX = 250_000
"""Largest number of events, and of commits, in a page. An archive sends at most 40,000 events: up to 20,000,
and the commit that exceeds them. One that was opened with larger groups may have 130,000 in a commit."""

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


class Page(NamedTuple):
    """Some commits, and the cursor after the last of them."""

    commits: Sequence[Commit]
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
"""Bytes of an array's length, by the first byte of the array."""


def encode_page(commits: Iterable[Commit], cursor: str) -> bytes:
    """Return the bytes of a page.

    >>> event = Event("a", severity=Severity.ERROR, generation_time=1, seq_number=2, reception_time=3)
    >>> page = decode_page(encode_page([Commit(4, (event,), "c")], "c"))
    >>> page.commits[0].time, page.commits[0].events == (event,), page.cursor
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
    """Return the page in a body; raise :class:`~yamcs_archive.errors.InvalidInputError` for any other body.

    ``events_max`` bounds its events, and its commits. Both are counted before any is built, because small
    ones take thirty times their bytes in memory.

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
                Commit(commit.time, tuple(starmap(StoredEvent, _decode_rows(commit.events))), commit.cursor)
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
