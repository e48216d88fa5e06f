"""Pages of history by token: no event is lost or shown twice, and foreign tokens are refused."""

from __future__ import annotations

import base64
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from tests.http.feeds import Feed, core_feed
from tests.http.history import LIST
from tests.http.test_api import error_of
from yamcs_archive import Archive, Event, EventKey, Instance
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.page_token import decode_token, encode_token
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

crowded_keys = st.lists(
    st.tuples(st.integers(-1, 1), st.sampled_from(["A", "AB", "é", "a,b", "\U0001f680"]), st.integers(-2, 2)),
    unique=True,
    max_size=30,
)


def pages(send: Feed, query: str) -> list[list[EventKey]]:
    """Every page of an answer; each is requested with the token of the page before it."""
    found: list[list[EventKey]] = []
    token = ""
    while not found or token:
        body = send("GET", f"{LIST}?{query}&next={token}", headers={"Accept": PROTOBUF}).body
        page = today.ListEventsResponse.FromString(body)
        assert page.event or not page.continuationToken
        found.append(
            [
                EventKey(event.generationTime.ToMicroseconds(), event.source, event.seqNumber)
                for event in page.event
            ]
        )
        token = page.continuationToken
    return found


@settings(max_examples=of_full(40))
@given(crowded_keys, st.integers(1, 7), st.booleans(), st.sampled_from(["", "&source=A,AB", "&q=%251%25"]))
def test_pages_of_equal_times_and_many_sources_lose_and_repeat_nothing(
    keys: list[tuple[int, str, int]], limit: int, ascending: bool, more: str
) -> None:
    events = [
        Event(f"m{number}", source=source, generation_time=time, seq_number=number, reception_time=0)
        for time, source, number in keys
    ]
    with TemporaryDirectory() as directory, Archive.open(Path(directory) / "archive") as archive:
        sim = archive.instance("sim", create=True)
        sim.append_many(events[::2])
        sim.settle()
        sim.append_many(events[1::2])
        order = "asc" if ascending else "desc"
        found = pages(core_feed(archive), f"limit={limit}&order={order}{more}")
    wanted = {event.key for event in events}
    if more.startswith("&source"):
        wanted = {key for key in wanted if key.source in ("A", "AB")}
    if more.startswith("&q"):
        wanted = {key for key in wanted if "1" in f"m{key.seq_number}"}
    assert [key for page in found for key in page] == sorted(wanted, reverse=not ascending)
    assert all(len(page) == limit for page in found[:-1])


@pytest.mark.parametrize("limit", [1, 2, 25, 99, 100, 101, 999, 1000])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_a_thousand_events_of_ten_times_and_sources_lose_none(
    core: Feed, sim: Instance, limit: int, order: str
) -> None:
    sim.append_many(
        Event("m", source=f"S{n // 10 % 10}", generation_time=n % 10, seq_number=n // 100)
        for n in range(1000)
    )
    query = "&source=S3,S4" if limit < 25 else ""
    found = [key for page in pages(core, f"limit={limit}&order={order}{query}") for key in page]
    assert len(found) == len(set(found)) == (200 if query else 1000)
    assert found == sorted(found, reverse=order == "desc")


def test_pages_go_on_over_every_server_and_by_post_too(send: Feed, sim: Instance) -> None:
    sim.append_many(Event("m", source=f"S{n % 3}", generation_time=n // 9, seq_number=n) for n in range(30))
    whole = [event.key for event in sim.events()]
    assert [key for page in pages(send, "limit=7&order=asc") for key in page] == whole
    found: list[int] = []
    token = ""
    while not found or token:
        body = f'{{"limit": 7, "order": "asc", "next": "{token}"}}'
        page = send("POST", f"{LIST}:list", body).json()
        found += [event["seqNumber"] for event in page["events"]]
        token = page.get("continuationToken", "")
    assert found == [key.seq_number for key in whole]


def test_a_last_page_that_is_full_has_no_token(core: Feed, sim: Instance) -> None:
    sim.append_many(Event("m", generation_time=n) for n in range(4))
    assert [len(page) for page in pages(core, "limit=2")] == [2, 2]
    assert "continuationToken" not in core("GET", f"{LIST}?limit=4").json()


def test_events_stored_between_two_pages_are_never_shown_twice(core: Feed, sim: Instance) -> None:
    sim.append_many(Event("m", source="S", generation_time=n, seq_number=n) for n in range(0, 20, 2))
    first = core("GET", f"{LIST}?limit=5&order=asc").json()
    sim.append_many(Event("late", source="S", generation_time=n, seq_number=n) for n in range(1, 20, 2))
    rest = core("GET", f"{LIST}?limit=100&order=asc&next={first['continuationToken']}").json()
    assert [event["seqNumber"] for event in first["event"]] == [0, 2, 4, 6, 8]
    assert [event["seqNumber"] for event in rest["event"]] == list(range(9, 20))


def test_a_token_of_another_instance_truncated_or_made_up_is_refused(
    send: Feed, archive: Archive, sim: Instance
) -> None:
    sim.append_many(Event("m", source="S", generation_time=n) for n in range(3))
    archive.instance("other", create=True).append_many(Event("m", generation_time=n) for n in range(3))
    token = send("GET", f"{LIST}?limit=1").json()["continuationToken"]
    other = send("GET", "/api/archive/other/events?limit=1").json()["continuationToken"]
    real = (
        base64.urlsafe_b64encode(b'{"gentime":1772323245000,"source":"LC","seqNum":8}').decode().rstrip("=")
    )
    swapped = token.swapcase()
    for bad in (other, token[:-1], token[1:], token + "A", token + "=", "x", "%00", real, swapped):
        text = error_of(send("GET", f"{LIST}?next={bad}"), 400, "BadRequestException")
        assert "is not a continuation token of this instance" in text
    answer = send("GET", f"{LIST}?next={bad}", headers={"Accept": PROTOBUF})
    error_of(answer, 400, "BadRequestException")
    assert send("GET", f"{LIST}?next={token}").status == 200


@given(st.data(), st.text(max_size=5), st.integers(-(2**62), 2**62))
def test_no_other_text_is_taken_for_a_token(data: st.DataObject, source: str, time: int) -> None:
    key = EventKey(5, "AOCS", 7)
    token = encode_token("sim", key)
    assert decode_token(token, "sim") == key
    at = data.draw(st.integers(0, len(token) - 1))
    with_another = token[:at] + data.draw(st.sampled_from("AZaz09-_=+/ ")) + token[at + 1 :]
    for text in (with_another, token[:at], data.draw(st.text()), data.draw(st.binary()).hex()):
        if text != token:
            with pytest.raises(ValueError, match="continuation token"):
                decode_token(text, "sim")
    try:
        made_up = encode_token("sim", EventKey(time, source, 0))
    except UnicodeEncodeError:
        return  # a lone surrogate
    if not source or "\0" in source or not -62_135_596_800_000_000 <= time <= 253_402_300_799_999_999:
        with pytest.raises(ValueError, match="continuation token"):
            decode_token(made_up, "sim")
