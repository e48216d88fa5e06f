"""Offered events, made from a few numbers, and the notes of a process about them; pure.

1. A note is written before a request is sent (:class:`Offered`) and after its answer has come
   (:class:`Answered`), never the other way round: a kill between the two leaves a request without an answer.
2. Notes are small, because they go through a pipe: the text of an event is made anew from its tag.
3. A note that was cut off by the kill is dropped. If it is an :class:`Offered`, nothing was sent yet.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from yamcs_archive import Event, EventKey, Severity
from yamcs_archive.limits import TIME_MIN_US

_LENGTH = struct.Struct(">I")
_SEVERITIES = tuple(each for each in Severity if each is not Severity.ERROR)  # HTTP shows ERROR as SEVERE


class Offer(msgspec.Struct, array_like=True, frozen=True):
    """One offered event.

    >>> Offer(7, "A", 10, 5).event().message
    '7:0 7 overspeed'
    """

    tag: int
    """A number that no other event of the ledger has."""
    source: str
    size: int
    """Least number of characters of its message."""
    time: int | None = None
    number: int | None = None
    variant: int = 0
    """Another one under the same key has another content."""

    def event(self) -> Event:
        """Return the event as it is offered."""
        head = f"{self.tag}:{self.variant} "
        filler = f"{self.tag:x} overspeed "
        text = (head + filler * (1 + self.size // len(filler)))[: len(head) + self.size]
        return Event(
            text if self.size > len(filler) else (head + filler).rstrip(),
            source=self.source,
            severity=_SEVERITIES[self.tag % len(_SEVERITIES)],
            type=None if self.tag % 3 else f"T{self.tag % 5}",
            extra={"tag": str(self.tag)} if self.tag % 11 == 0 else {},
            generation_time=self.time,
            seq_number=self.number,
        )


def tag_of(message: str) -> tuple[int, int]:
    """Return the tag and the variant in a message; (-1, 0) if it is nobody's.

    >>> tag_of("7:0 7 overspeed"), tag_of("strange")
    ((7, 0), (-1, 0))
    """
    tag, colon, variant = message.partition(" ")[0].partition(":")
    return (int(tag), int(variant)) if colon and tag.isdecimal() and variant.isdecimal() else (-1, 0)


class Stored(msgspec.Struct, array_like=True, frozen=True):
    """A stored event: its tag, and what the archive filled in."""

    tag: int
    time: int
    number: int
    reception: int

    @staticmethod
    def of(tag: int, event: Event) -> Stored:
        """Return what an answer, or the archive, says of an event."""
        time, _, number = event.key
        return Stored(tag, time, number, event.reception_time or 0)

    def key(self, source: str) -> EventKey:
        """Return its key."""
        return EventKey(self.time, source, self.number)


class Offered(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A request that is sent next."""

    request: int
    kind: str
    offers: tuple[Offer, ...]
    whole: bool = True
    """Its new events are stored all or none; otherwise the first ones of them may be."""
    request_id: str | None = None
    again: bool = False
    """Its events were offered before, and are stored."""


class Answered(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The answer of a request: it is stored durably, or refused."""

    request: int
    refused: bool = False
    stored: tuple[Stored, ...] = ()
    """The events of the answer; none for a batch, of which only counts are answered."""
    expired: int = 0
    """How many of its events were refused because they are before the horizon."""


class Pruning(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Everything before a horizon is pruned next."""

    horizon: int


class Pruned(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The horizon has moved there, durably."""

    horizon: int


class Copying(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A backup is begun next."""


class Copied(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """A backup is complete, durably."""

    commit: int
    """The number of the last commit that is in it."""


class Checked(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The archive was compared with the ledger, after a start."""

    faults: tuple[str, ...]
    found: tuple[Stored, ...]
    """The events that were stored without an answer."""
    events: int
    horizon: int = TIME_MIN_US
    """Where the archive's horizon is."""


class Done(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """Something that changes no event has ended: a compaction, for instance."""

    kind: str


class Reached(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The failpoint at which the process kills itself."""

    point: str


class Serves(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """The server takes requests at a port."""

    port: int


class Wrong(msgspec.Struct, array_like=True, frozen=True, tag=True):
    """An answer that breaks a promise."""

    text: str


Note = Offered | Answered | Pruning | Pruned | Copying | Copied | Checked | Done | Reached | Serves | Wrong
_decoder: msgspec.msgpack.Decoder[Note] = msgspec.msgpack.Decoder(Note)


def framed(note: Note) -> bytes:
    """Return a note with its length before it.

    >>> rest = bytearray(framed(Done("compact")) + framed(Done("settle"))[:-1])
    >>> list(unframed(rest)), len(rest)
    ([Done(kind='compact')], 16)
    """
    body = msgspec.msgpack.encode(note)
    return _LENGTH.pack(len(body)) + body


def unframed(held: bytearray) -> Iterator[Note]:
    """Take the whole notes off the beginning of ``held`` and yield them."""
    at = 0
    try:
        while len(held) - at >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(held, at)
            stop = at + _LENGTH.size + size
            if stop > len(held):
                break
            note = _decoder.decode(held[at + _LENGTH.size : stop])
            at = stop
            yield note
    finally:
        del held[:at]
