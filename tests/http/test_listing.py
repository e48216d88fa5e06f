"""Reading history: one table of queries and answers, for every route, form and media type."""

from __future__ import annotations

import csv
import io
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Feed
from tests.http.history import (
    EXPORT,
    HISTORY,
    LIST,
    STREAM,
    as_message,
    as_query,
    delimited,
    json_objects,
    second,
)
from tests.http.test_api import error_of
from yamcs_archive import Event, Instance
from yamcs_archive.http.limits import PAGE_BYTES_MAX
from yamcs_archive.limits import PATTERN_CHARACTERS_MAX
from yamcs_archive.wire import json
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.codec import PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

ASKED: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "01234567"),
    ({"start": second(2)}, "234567"),
    ({"stop": second(2)}, "01"),
    ({"start": second(2), "stop": second(5)}, "234"),
    ({"start": second(2), "stop": second(2)}, ""),
    ({"start": second(5), "stop": second(2)}, ""),
    ({"start": "1970-01-01T00:00:01.000001Z", "stop": "1970-01-01T00:00:02.000001Z"}, "2"),
    ({"source": ["LA"]}, "037"),
    ({"source": ["LA", "LC"]}, "0237"),
    ({"source": ["la"]}, ""),
    ({"source": ["été"]}, "5"),
    ({"source": ["nosuch"]}, ""),
    ({"severity": "INFO"}, "01234567"),
    ({"severity": "watch"}, "123456"),
    ({"severity": "Warning"}, "23456"),
    ({"severity": "WARNING_NEW"}, "23456"),
    ({"severity": "severe"}, "56"),
    ({"severity": "error"}, "56"),
    ({"q": "alpha"}, "037"),
    ({"q": "50%"}, "1"),
    ({"q": "%"}, "01234567"),
    ({"q": "a%a"}, "0237"),
    ({"q": "?LPHA%?e"}, "7"),
    ({"q": "alpha?s"}, "0"),
    ({"q": "(x)"}, "2"),
    ({"q": "STRASSE?ZWEI"}, "5"),
    ({"q": "."}, ""),
    ({"filter": "type=TY"}, "136"),
    ({"filter": "severity>=distress -source=LB"}, "345"),
    ({"filter": 'extra.n="3" OR createdBy=operator'}, "34"),
    ({"filter": ""}, "01234567"),
    ({"q": "alpha", "severity": "watch", "source": ["LA", "LB"], "filter": "lost", "start": second(1)}, "3"),
)
"""Queries for every route, and the numbers of the events that they find, oldest first."""
JSON_REPLY, PROTOBUF_REPLY = {"Accept": "application/json"}, {"Accept": PROTOBUF}


@pytest.fixture
def history(sim: Instance) -> Instance:
    """The history, half of it in a block and half in rows."""
    sim.append_many(HISTORY[:4])
    sim.settle()
    sim.append_many(HISTORY[4:])
    return sim


def numbers(events: Any) -> str:
    return "".join(
        str(event["seqNumber"] if isinstance(event, dict) else event.seqNumber) for event in events
    )


def test_every_route_answers_the_same_events(send: Feed, history: Instance) -> None:
    for asked, expected in ASKED:  # by one server: starting it takes longer than asking it all of this
        check_every_route(send, asked, expected)


def check_every_route(send: Feed, asked: dict[str, Any], expected: str) -> None:
    query, body = as_query(asked), msgspec.json.encode(asked)
    binary = {"Content-Type": PROTOBUF}
    for headers in (JSON_REPLY, PROTOBUF_REPLY):
        pages = [
            (send("GET", f"{LIST}?{query}&order=asc", headers=headers), expected),
            (send("GET", f"{LIST}/?{query}", headers=headers), expected[::-1]),
            (send("POST", f"{LIST}:list", body, headers), expected[::-1]),
            (
                send("POST", f"{LIST}:list/", msgspec.json.encode({**asked, "order": "asc"}), headers),
                expected,
            ),
            (
                send(
                    "POST",
                    f"{LIST}:list",
                    as_message(today.ListEventsRequest(), asked),
                    {**binary, **headers},
                ),
                expected[::-1],
            ),
        ]
        for answer, wanted in pages:
            assert answer.status == 200, answer.body
            if headers is PROTOBUF_REPLY:
                page = today.ListEventsResponse.FromString(answer.body)
                assert (numbers(page.event), numbers(page.events)) == (wanted, wanted)
                assert not page.HasField("continuationToken")
            else:
                found = answer.json()
                assert list(found) == (["event", "events"] if wanted else [])
                assert numbers(found.get("event", [])) == numbers(found.get("events", [])) == wanted
        streams = [
            send("POST", STREAM, body, headers),
            send("POST", STREAM, as_message(today.StreamEventsRequest(), asked), {**binary, **headers}),
        ]
        for answer in streams:
            assert answer.status == 200, answer.body
            read = delimited if headers is PROTOBUF_REPLY else json_objects
            assert numbers(read(answer.body)) == expected
    exported = send("GET", f"{EXPORT}?{query}&columns=all").body.decode()
    [headings, *rows] = csv.reader(io.StringIO(exported, newline=""), delimiter="\t")
    assert "".join(row[headings.index("Sequence Number")] for row in rows) == expected


def test_events_are_shown_as_a_single_one_is(send: Feed, history: Instance) -> None:
    shown = [json.shown(event, Form.TODAY) for event in HISTORY]
    assert send("GET", f"{LIST}?order=asc").json()["events"] == shown
    assert send("POST", STREAM).body == b"".join(json.encode(fields) for fields in shown)
    old = send("GET", f"{LIST}?order=asc&form=2016").json()
    assert old == {"event": [json.shown(event, Form.V2016) for event in HISTORY]}


def test_a_source_is_repeated_or_separated_by_commas(send: Feed, history: Instance) -> None:
    for query in ("source=LA&source=LC", "source=LA,LC", "source=LA,,LC,", "source=&source=LA,LC"):
        assert numbers(send("GET", f"{LIST}?order=asc&{query}").json()["event"]) == "0237"
    assert send("GET", f"{LIST}?source=a%2Cb").json() == {}  # the names a and b
    assert numbers(send("POST", f"{LIST}:list", '{"source": ["a,b"]}').json()["event"]) == "4"


def test_limit_and_pos_count_matches(send: Feed, history: Instance) -> None:
    found = send("GET", f"{LIST}?filter=type=TY&limit=2&order=asc").json()
    assert numbers(found["event"]) == "13"
    assert list(found) == ["event", "continuationToken", "events"]
    for asked, expected in (
        ({"pos": 2}, "543210"),
        ({"pos": "2", "limit": "2"}, "54"),
        ({"pos": 1, "limit": 2, "order": "asc", "q": "alpha"}, "37"),
        ({"pos": 1, "limit": 1, "order": "asc", "q": "?lpha"}, "3"),
        ({"pos": 8}, ""),
        ({"pos": 2**63 - 1}, ""),
    ):
        by_get = send("GET", f"{LIST}?{as_query(asked)}")
        by_post = send("POST", f"{LIST}:list", msgspec.json.encode(asked))
        assert by_get.status == by_post.status == 200
        assert numbers(by_get.json().get("event", [])) == expected
        assert by_post.json() == by_get.json()
    found = send("GET", f"{LIST}?pos=1&limit=1&order=asc&q=?lpha").json()
    rest = send("GET", f"{LIST}?limit=5&order=asc&q=?lpha&next={found['continuationToken']}").json()
    assert numbers(rest["event"]) == "7"


@pytest.fixture
def filled(sim: Instance) -> Instance:
    sim.append_many(Event(f"{n}", source="S", generation_time=n * 1_000_000) for n in range(150))
    return sim


PAGES = (
    ("", list(range(149, 49, -1))),
    ("order=asc", list(range(100))),
    ("order=desc&limit=3", [149, 148, 147]),
    ("order=asc&limit=1000", list(range(150))),
    ("start=1970-01-01T00:02:28%2B00:00", [149, 148]),
    ("limit=2&stop=1970-01-01T00:00:01Z", [0]),
    ("limit=&order=&start=&stop=&source=&form=", list(range(149, 49, -1))),
)


def test_a_page_of_history_has_the_matching_events(send: Feed, filled: Instance) -> None:
    for query, expected in PAGES:
        found = send("GET", f"{LIST}?{query}").json()
        assert [int(event["message"]) for event in found["events"]] == expected, query
        assert found["event"] == found["events"]
        page = today.ListEventsResponse()
        page.ParseFromString(send("GET", f"{LIST}?{query}", headers={"Accept": PROTOBUF}).body)
        assert [int(event.message) for event in page.event] == expected, query


BAD_QUERIES = (
    ("limit=99999999999999999999", "limit", "9999"),
    ("start=2026-01-01", "start", "2026-01-01"),
    ("start=1970-01-01T00:00:00+00:00", "start", "00:00 00:00"),
    ("stop=0", "stop", "0"),
    ("form=2017", "form", "2017"),
    ("limit=%FF", "query", "%FF"),
)


def test_a_bad_parameter_is_a_400_that_names_it_and_its_value(send: Feed) -> None:
    for query, field, value in BAD_QUERIES:
        text = error_of(send("GET", f"{LIST}?{query}"), 400, "BadRequestException")
        assert field in text
        assert value in text


def test_nothing_is_an_empty_object_an_empty_message_or_an_empty_stream(send: Feed, sim: Instance) -> None:
    assert send("GET", LIST).body == send("POST", f"{LIST}:list").body == b"{}"
    assert send("GET", LIST, headers=PROTOBUF_REPLY).body == b""
    for headers in (JSON_REPLY, PROTOBUF_REPLY):
        answer = send("POST", STREAM, headers=headers)
        assert (answer.status, answer.headers["content-type"], answer.body) == (200, headers["Accept"], b"")
    assert send("GET", f"{LIST}/sources").body == b"{}"


def test_the_fields_of_a_post_come_from_its_body_alone(send: Feed, history: Instance) -> None:
    assert numbers(send("POST", f"{LIST}:list?source=LB&order=asc", '{"limit": 1}').json()["event"]) == "7"
    assert numbers(json_objects(send("POST", f"{STREAM}?source=LB", " ").body)) == "01234567"
    asked = '{"instance": "other", "source": null, "start": null, "filter": null}'
    assert numbers(json_objects(send("POST", STREAM, asked).body)) == "01234567"


def test_unknown_parameters_are_passed_over_and_of_repeated_ones_the_last_counts(
    send: Feed, history: Instance
) -> None:
    found = send("GET", f"{LIST}?_=1&Limit=0&limit=1&limit=2&order=desc&order=asc&x=").json()
    assert numbers(found["event"]) == "01"


def test_each_source_is_listed_once_and_found_in_any_letter_case(send: Feed, sim: Instance) -> None:
    sim.append_many(Event("m", source=name) for name in ("b", "A", "a", "C", "É", "zz", "A"))
    expected = ["A", "a", "b", "C", "zz", "É"]
    assert send("GET", f"{LIST}/sources").json() == {"source": expected, "sources": expected}
    answer = send("GET", f"{LIST}/sources/", headers=PROTOBUF_REPLY)
    message = today.ListEventSourcesResponse.FromString(answer.body)
    assert list(message.source) == list(message.sources) == expected


@pytest.mark.parametrize("letter", ["x", "\U0001f680"])
def test_a_page_of_large_events_is_cut_and_goes_on(core: Feed, sim: Instance, letter: str) -> None:
    text = letter * (PAGE_BYTES_MAX // 20 // len(letter.encode()))
    sim.append_many(Event(text, source="S", generation_time=n, seq_number=n) for n in range(25))
    seen: list[int] = []
    token = ""
    while True:
        page = today.ListEventsResponse.FromString(
            core("GET", f"{LIST}?limit=1000&order=asc&next={token}", headers=PROTOBUF_REPLY).body
        )
        assert 1 <= len(page.event) <= 20  # it is bytes that count, not characters
        seen += [event.seqNumber for event in page.event]
        token = page.continuationToken
        if not token:
            break
    assert seen == list(range(25))


BAD: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"limit": 0}, "limit", "0"),
    ({"limit": -1}, "limit", "-1"),
    ({"limit": 1001}, "limit", "1001"),
    ({"limit": "x"}, "limit", "x"),
    ({"limit": 1.5}, "limit", "1.5"),
    ({"order": "ASC"}, "order", "ASC"),
    ({"order": "foo"}, "order", "foo"),
    ({"pos": -1}, "pos", "-1"),
    ({"pos": "x"}, "pos", "x"),
    ({"pos": 2**63}, "pos", str(2**63)),
    ({"next": "garbage"}, "next", "garbage"),
    ({"next": "eyJnZW50aW1lIjoxNzcyMzIzMjQ1MDAwLCJzb3VyY2UiOiJMQyIsInNlcU51bSI6OH0"}, "next", "eyJ"),
    ({"start": "yesterday"}, "start", "yesterday"),
    ({"start": "2026-02-30T00:00:00Z"}, "start", "02-30"),
    ({"stop": "2026-01-01"}, "stop", "2026-01-01"),
    ({"stop": "2026-01-01T00:00:00"}, "stop", "2026"),
    ({"severity": "bad"}, "severity", "bad"),
    ({"q": "x" * (PATTERN_CHARACTERS_MAX + 1)}, "q", "at most 1000 characters"),
    ({"filter": "foo=1"}, "Field not found 'foo'", ""),
)
NOT_OF_STREAMS = ("limit", "order", "pos", "next")


def test_a_bad_value_is_a_400_on_every_route(send: Feed, history: Instance) -> None:
    for asked, field, value in BAD:
        check_bad_value(send, asked, field, value)


def check_bad_value(send: Feed, asked: dict[str, Any], field: str, value: str) -> None:
    query, body = as_query(asked), msgspec.json.encode(asked)
    answers = [send("GET", f"{LIST}?{query}"), send("POST", f"{LIST}:list", body)]
    if not set(asked) & set(NOT_OF_STREAMS):
        answers += [send("POST", STREAM, body), send("GET", f"{EXPORT}?{query}")]
    for answer in answers:
        text = error_of(answer, 400, "BadRequestException")
        assert field in text
        assert value in text
    if isinstance(asked.get("limit"), str | float):
        return
    for headers in (JSON_REPLY, PROTOBUF_REPLY):
        error_of(send("GET", f"{LIST}?{query}", headers=headers), 400, "BadRequestException")


BAD_BODIES = (
    ('{"source": "LA"}', "array"),
    ('{"source": [["LA"]]}', "text"),
    ('{"sources": ["LA"]}', "sources"),
    ('{"sequence_number": 1}', "sequence_number"),
    ('{"start": 0}', "RFC 3339"),
    ("[]", "object"),
    ('{"limit"', "not JSON"),
    ('{"q": "\\ud800"}', "surrogate"),
    ("[" * 100_000, "nested"),
)


def test_a_body_with_no_valid_request_is_a_400(send: Feed, history: Instance) -> None:
    for body, said in BAD_BODIES:
        for path in (f"{LIST}:list", STREAM):
            assert said in error_of(send("POST", path, body), 400, "BadRequestException")


def test_a_stream_refuses_the_fields_of_pages(send: Feed, history: Instance) -> None:
    for name, value in zip(NOT_OF_STREAMS, (1, "asc", 0, "x"), strict=True):
        body = msgspec.json.encode({name: value})
        assert name in error_of(send("POST", STREAM, body), 400, "BadRequestException")


def test_a_message_that_cannot_be_read_is_a_400(send: Feed, history: Instance) -> None:
    for body in (b"\xff", b"\x42\x05a", b"\x42\x01\xff", b"\x22\x01\xff"):
        for path in (f"{LIST}:list", STREAM):
            if body == b"\x42\x01\xff" and path == STREAM:
                continue  # a field that only the listing has
            answer = send("POST", path, body, {"Content-Type": PROTOBUF})
            error_of(answer, 400, "BadRequestException")


FILTERS = (
    ("(", "Syntax error in filter", (1, 1, 1, 1)),
    ("foo=1", "Field not found 'foo'", (1, 1, 1, 3)),
    ("severity=foo", "Value 'foo' is of incorrect type", (1, 10, 1, 12)),
    ('message=~"(a)\\1"', "Syntax error in filter", None),
    ("a AND\nseqNumber=abc", None, (2, 11, 2, 13)),
)


def test_an_error_of_a_filter_says_where_it_is(send: Feed, history: Instance) -> None:
    for text, said, span in FILTERS:
        check_filter_error(send, text, said, span)


def check_filter_error(send: Feed, text: str, said: str | None, span: tuple[int, ...] | None) -> None:
    query, body = as_query({"filter": text}), msgspec.json.encode({"filter": text})
    for method, target, content in (
        ("GET", f"{LIST}?{query}", b""),
        ("POST", f"{LIST}:list", body),
        ("POST", STREAM, body),
        ("GET", f"{EXPORT}?{query}", b""),
    ):
        answer = send(method, target, content)
        message = error_of(answer, 400, "BadRequestException")
        detail = answer.json()["detail"]
        assert list(detail) == ["@type", "beginLine", "beginColumn", "endLine", "endColumn", "reason"]
        assert detail["@type"] == "/yamcs.api.FilterSyntaxException"
        binary = today.ExceptionMessage.FromString(
            send(method, target, content, {"Content-Type": "application/json", **PROTOBUF_REPLY}).body
        )
        assert (binary.msg, binary.detail.type_url) == (message, "/yamcs.api.FilterSyntaxException")
        found = today.FilterSyntaxException.FromString(binary.detail.value)
        places = (found.beginLine, found.beginColumn, found.endLine, found.endColumn)
        assert (*places, found.reason) == tuple(detail.values())[1:]
        assert found.reason
        if said is not None:
            assert message == said
        if span is not None:
            assert places == span


def test_the_detail_of_a_filters_error_is_a_message_of_the_official_client() -> None:
    message = today.FilterSyntaxException(beginLine=1, beginColumn=2, endLine=3, endColumn=4)
    assert message.SerializeToString().hex() == "0801100218032004"


def test_an_unknown_instance_is_a_404_of_every_route(send: Feed, sim: Instance) -> None:
    for method, target in (
        ("GET", LIST),
        ("POST", f"{LIST}:list"),
        ("GET", f"{LIST}/sources"),
        ("POST", STREAM),
        ("GET", EXPORT),
    ):
        unknown = target.replace("/sim", "/nosuch")
        text = error_of(send(method, unknown), 404, "NotFoundException")
        assert text.startswith("No instance named 'nosuch'")
        for wrong in {"GET", "POST", "PUT"} - ({"GET", "POST"} if target == LIST else {method}):
            assert send(wrong, unknown).headers["allow"]
