"""Streams of events from a server that break off: every event comes once, or the error is raised."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.client.scripted import answer, scripted
from yamcs_archive import Client, Event, RemoteInstance, ServerRefusedError, ServerUnavailableError
from yamcs_archive.columns import Columns
from yamcs_archive.event_vectors import StoredVectors
from yamcs_archive.wire import event_by_event

Read = Callable[..., Iterator[Event]]
EVENTS = [
    Event(f"{n} %", source="S", generation_time=n // 2, seq_number=n, reception_time=1) for n in range(6)
]


def one_by_one(sim: RemoteInstance, text: str | None = None) -> Iterator[Event]:
    return sim.events(text=text)


def together(sim: RemoteInstance, text: str | None = None) -> Iterator[Event]:
    return (event for part in sim.event_vectors(text=text) for event in part.events())


WAYS = [
    (one_by_one, "application/protobuf", event_by_event.encode_protobuf_stream),
    (together, "application/msgpack", event_by_event.encode_msgpack_maps),
]


def sent(media: str, encode: Callable[[StoredVectors], bytes], *parts: list[Event], end: bool) -> bytes:
    """A chunked answer with a chunk for each part."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunks = [encode(StoredVectors.of(Columns.of(part), 1)) for part in parts]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    return head + body + (b"0\r\n\r\n" if end else b"")


@pytest.mark.parametrize(("read", "media", "encode"), WAYS)
@pytest.mark.parametrize("came", [1, 2, 5, 6])
def test_a_stream_goes_on_after_the_last_event_that_came(
    read: Read, media: str, encode: Callable[[StoredVectors], bytes], came: int
) -> None:
    time = EVENTS[came - 1].generation_time or 0
    broken = sent(media, encode, EVENTS[:came], end=False)
    rest = sent(media, encode, [event for event in EVENTS if (event.generation_time or 0) >= time], end=True)
    with scripted([broken], [rest]) as url, Client(url, retries=0) as client:
        assert list(read(client.instance("sim", check=False))) == EVENTS


@pytest.mark.parametrize(("read", "media", "encode"), WAYS)
def test_it_goes_on_after_events_that_do_not_match_too(
    read: Read, media: str, encode: Callable[[StoredVectors], bytes]
) -> None:
    broken = sent(media, encode, EVENTS[:2], end=False)
    rest = sent(media, encode, EVENTS, end=True)
    with scripted([broken], [rest]) as url, Client(url, retries=0) as client:
        assert list(read(client.instance("sim", check=False), "5 %")) == EVENTS[5:]


@pytest.mark.parametrize(("read", "media", "encode"), WAYS)
def test_two_breaks_without_a_new_event_are_an_error(
    read: Read, media: str, encode: Callable[[StoredVectors], bytes]
) -> None:
    broken = sent(media, encode, EVENTS[:2], end=False)
    with scripted([broken], [broken]) as url, Client(url, retries=0) as client:
        found = read(client.instance("sim", check=False))
        assert [next(found), next(found)] == EVENTS[:2]
        with pytest.raises(ServerUnavailableError, match="broke off"):
            next(found)


@pytest.mark.parametrize(("read", "media", "_"), WAYS)
@pytest.mark.parametrize("body", [b"\xff\xff", b"<html>"])
def test_what_is_no_stream_is_said(read: Read, media: str, _: object, body: bytes) -> None:
    for given in (media, "text/html"):
        refused = pytest.raises(ServerRefusedError, match="no event" if given == media else "text/html")
        with scripted([answer(body, media=given)]) as url, Client(url, retries=0) as client, refused:
            list(read(client.instance("sim", check=False)))
