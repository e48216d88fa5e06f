"""The event index: by page, by stream, in the official client's messages, and its bad requests."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.feeds import Feed
from tests.http.history import as_message, as_query, delimited, json_objects
from tests.http.test_api import error_of
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.page_token import Mark, decode_mark, encode_mark
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

INDEX = "/api/archive/sim/event-index"
STREAM = "/api/archive/sim:streamEventIndex"
_S = 1_000_000


@pytest.fixture
def heard(sim: Instance) -> Instance:
    """LA at 0, 2, 4 and 30 s; LB at 1.5 s, 20 s and 20.000001 s; half of it in a block."""
    sim.append_many(Event("m", source="LA", generation_time=n * _S) for n in (0, 2, 30))
    sim.settle()
    sim.append(Event("m", source="LA", generation_time=4 * _S))
    sim.append_many(Event("m", source="LB", generation_time=n) for n in (1_500_000, 20 * _S, 20 * _S + 1))
    return sim


def entry(start: str, stop: str, count: int) -> dict[str, Any]:
    return {"start": f"1970-01-01T00:00:{start}Z", "stop": f"1970-01-01T00:00:{stop}Z", "count": count}


WHOLE = {
    "group": [
        {"id": {"name": "LA"}, "entry": [entry("00.000", "04.000", 3), entry("30.000", "30.000", 1)]},
        {"id": {"name": "LB"}, "entry": [entry("01.500", "01.500", 1), entry("20.000", "20.000001", 2)]},
    ]
}


def as_object(body: bytes) -> dict[str, Any]:
    """The index in protobuf, converted to its JSON form."""
    message = today.IndexResponse.FromString(body)
    found: dict[str, Any] = {}
    if message.group:
        found["group"] = [
            {
                "id": {"name": group.id.name},
                "entry": [
                    {"start": entry.start, "stop": entry.stop, "count": entry.count} for entry in group.entry
                ],
            }
            for group in message.group
        ]
    if message.continuationToken:
        found["continuationToken"] = message.continuationToken
    return found


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", WHOLE),
        ("mergeTime=2000&limit=1000&source=LA,LB&unknown=1&next=", WHOLE),
        ("source=LA&mergeTime=1999&limit=2", None),
        ("source=LB&source=nosuch", {"group": WHOLE["group"][1:]}),
        ("source=nosuch", {}),
        (
            "mergeTime=26000&source=LA",
            {"group": [{"id": {"name": "LA"}, "entry": [entry("00.000", "30.000", 4)]}]},
        ),
        (
            "start=1970-01-01T00:00:02Z&stop=1970-01-01T00:00:20.000001Z",
            {
                "group": [
                    {"id": {"name": "LA"}, "entry": [entry("02.000", "04.000", 2)]},
                    {"id": {"name": "LB"}, "entry": [entry("20.000", "20.000", 1)]},
                ]
            },
        ),
    ],
)
def test_a_page_of_the_index_has_the_stretches(
    send: Feed, heard: Instance, query: str, expected: dict[str, Any] | None
) -> None:
    by_json = send("GET", f"{INDEX}?{query}").json()
    by_protobuf = as_object(send("GET", f"{INDEX}/?{query}", headers={"Accept": PROTOBUF}).body)
    assert by_protobuf == by_json
    if expected is None:
        [group] = by_json["group"]
        assert [part["count"] for part in group["entry"]] == [1, 1]
        rest = send("GET", f"{INDEX}?{query}&next={by_json['continuationToken']}").json()
        assert rest == {
            "group": [
                {"id": {"name": "LA"}, "entry": [entry("04.000", "04.000", 1), entry("30.000", "30.000", 1)]}
            ]
        }
    else:
        assert by_json == expected


@pytest.mark.parametrize("limit", [1, 2, 3, 4])
@pytest.mark.parametrize("pause_ms", [0, 1, 2000, 16000])
def test_pages_of_the_index_are_the_index(core: Feed, heard: Instance, limit: int, pause_ms: int) -> None:
    whole = list(heard.histogram(pause_us=pause_ms * 1000))
    seen: list[tuple[str, str, int]] = []
    token = ""
    while not seen or token:
        page = core("GET", f"{INDEX}?limit={limit}&mergeTime={pause_ms}&next={token}").json()
        token = page.get("continuationToken", "")
        entries = [
            (group["id"]["name"], part["stop"], part["count"])
            for group in page["group"]
            for part in group["entry"]
        ]
        assert len(entries) == limit or not token
        seen += sorted(entries, key=lambda found: (found[1].replace("Z", ".").ljust(30, "0"), found[0]))
    assert [(name, count) for name, _, count in seen] == [(part.source, part.events) for part in whole]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, [("LB", 1), ("LA", 3), ("LB", 2), ("LA", 1)]),
        ({"mergeTime": 0}, [("LA", 1), ("LB", 1), ("LA", 1), ("LA", 1), ("LB", 1), ("LB", 1), ("LA", 1)]),
        ({"start": "1970-01-01T00:00:10Z", "stop": "1970-01-01T00:00:30Z"}, [("LB", 2)]),
        ({"start": "1970-01-01T00:01:00Z"}, []),
    ],
)
def test_a_stream_of_the_index_has_the_stretches(
    send: Feed, heard: Instance, asked: dict[str, Any], expected: list[tuple[str, int]]
) -> None:
    body = msgspec.json.encode(asked)
    found = json_objects(send("POST", STREAM, body).body)
    assert [(record["id"]["name"], record["num"]) for record in found] == expected
    message = as_message(today.StreamEventIndexRequest(), asked)
    answer = send("POST", STREAM, message, {"Content-Type": PROTOBUF})
    records = list(delimited(answer.body, today.ArchiveRecord))
    assert [(record.id.name, record.num) for record in records] == expected
    for shown, record in zip(found, records, strict=True):
        assert list(shown) == ["id", "num", "first", "last"]
        assert shown["first"] == record.first.ToJsonString()
        assert shown["last"] == record.last.ToJsonString()


def test_a_long_index_is_streamed_whole(core: Feed, sim: Instance) -> None:
    sim.append_many(Event("m", source="S", generation_time=n * 10 * _S) for n in range(3000))
    assert len(json_objects(core("POST", STREAM).body)) == 3000


def test_the_official_clients_messages_have_the_same_numbers() -> None:
    client = pytest.importorskip("yamcs.protobuf.archive.index_service_pb2")
    for name in (
        "ListEventIndexRequest",
        "StreamEventIndexRequest",
        "IndexResponse",
        "IndexGroup",
        "IndexEntry",
    ):
        theirs = {field.name: field.number for field in client.DESCRIPTOR.message_types_by_name[name].fields}
        ours = {field.name: field.number for field in today.DESCRIPTOR.message_types_by_name[name].fields}
        assert ours.items() <= theirs.items()


BAD: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"mergeTime": -1}, "mergeTime", "-1"),
    ({"mergeTime": "x"}, "mergeTime", "x"),
    ({"mergeTime": 2**31}, "mergeTime", str(2**31)),
    ({"start": "yesterday"}, "start", "yesterday"),
    ({"stop": "0"}, "stop", "0"),
    ({"limit": 0}, "limit", "0"),
    ({"limit": 10_001}, "limit", "10001"),
    ({"next": "x"}, "next", "x"),
)


def test_a_bad_value_is_a_400_that_names_the_field(send: Feed) -> None:
    for asked, field, value in BAD:
        answers = [send("GET", f"{INDEX}?{as_query(asked)}")]
        if field not in ("limit", "next"):
            answers.append(send("POST", STREAM, msgspec.json.encode(asked)))
        for answer in answers:
            text = error_of(answer, 400, "BadRequestException")
            assert field in text
            assert value in text


def test_a_stream_of_the_index_takes_no_other_fields(core: Feed, sim: Instance) -> None:
    for body in ('{"source": ["LA"]}', '{"limit": 1}', '{"filter": "a"}'):
        error_of(core("POST", STREAM, body), 400, "BadRequestException")
    error_of(core("GET", "/api/archive/nosuch/event-index"), 404, "NotFoundException")
    error_of(core("POST", "/api/archive/nosuch:streamEventIndex"), 404, "NotFoundException")


def test_a_token_of_a_listing_or_of_another_instance_is_refused(
    core: Feed, archive: Archive, heard: Instance
) -> None:
    other = encode_mark("other", Mark(0, 0, "LA"))
    listing = core("GET", "/api/archive/sim/events?limit=1").json()["continuationToken"]
    index = core("GET", f"{INDEX}?limit=1").json()["continuationToken"]
    for path, token in ((INDEX, other), (INDEX, listing), ("/api/archive/sim/events", index)):
        text = error_of(core("GET", f"{path}?next={token}"), 400, "BadRequestException")
        assert "is not a continuation token of this instance" in text


@given(st.text(), st.data())
def test_no_other_text_is_taken_for_a_mark(text: str, data: st.DataObject) -> None:
    token = encode_mark("sim", Mark(3, 5, "AOCS"))
    assert decode_mark(token, "sim") == Mark(3, 5, "AOCS")
    for other in (
        text,
        token[: data.draw(st.integers(0, len(token) - 1))],
        encode_mark("sim", Mark(3, 5, "")),
    ):
        with pytest.raises(ValueError, match="continuation token"):
            decode_mark(other, "sim")
