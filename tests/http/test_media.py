"""Media types in requests: one parser of Content-Type and Accept, and one Vary with all deciding headers."""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.conforms import DOCUMENT
from tests.http.feeds import Feed, core_feed
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.http.media_types import answer_codec, media_type, preferred, qualities, takes_gzip
from yamcs_archive.wire.codec import JSON, MSGPACK, PROTOBUF
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

EVENTS = "/api/archive/sim/events"
MESSAGE = today.CreateEventRequest(message="m", source="S", sequenceNumber=1).SerializeToString()

AS_PROTOBUF = [
    *(PROTOBUF, "Application/Protobuf", f"{PROTOBUF}; x=y", f' {PROTOBUF} ;proto="a;b, c"', f"{PROTOBUF};"),
    f'{PROTOBUF};charset="utf-8"',
]
NOT_PROTOBUF = [
    *("", "application/x-protobuf", "application/protobufs", f"text/plain; {PROTOBUF}", f'"{PROTOBUF}"'),
    *(f"{PROTOBUF}, {JSON}", f"{JSON}; a={PROTOBUF}", "*/*", "application/*"),
]


@pytest.mark.parametrize("kind", AS_PROTOBUF)
def test_a_body_is_protobuf_however_its_type_is_written(archive: Archive, sim: Instance, kind: str) -> None:
    send = core_feed(archive)
    headers = {"Content-Type": kind}
    answer = send("POST", EVENTS, MESSAGE, headers)
    assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF)
    assert send("POST", f"{EVENTS}:batch", bytes([len(MESSAGE)]) + MESSAGE, headers).status == 200
    for target in (
        f"{EVENTS}:list",
        "/api/stream-archive/sim:streamEvents",
        "/api/archive/sim:streamEventIndex",
    ):
        answer = send("POST", target, today.ListEventsRequest(instance="sim").SerializeToString(), headers)
        assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF), target


@pytest.mark.parametrize("kind", NOT_PROTOBUF)
def test_every_other_body_is_json(core: Feed, kind: str) -> None:
    answer = core("POST", EVENTS, '{"message": "m"}', {"Content-Type": kind})
    assert (answer.status, answer.headers["content-type"]) == (200, JSON)


CHOSEN = [
    (PROTOBUF, PROTOBUF),
    (f"{PROTOBUF};q=1", PROTOBUF),
    (f"{PROTOBUF};q=0.001", PROTOBUF),
    ("Application/Protobuf", PROTOBUF),
    (f"{PROTOBUF}, */*;q=0.1", PROTOBUF),
    (f"*/*;q=0.1, {PROTOBUF}; proto=x;q=0.2", PROTOBUF),
    (f"{JSON};q=0.9, {PROTOBUF}", PROTOBUF),
    (f"{JSON};q=0, */*, {PROTOBUF};q=0.1", PROTOBUF),  # the more special one counts
    (f"text/html, {PROTOBUF};q=0.5", PROTOBUF),
    (f'text/html;a=",", {PROTOBUF}', PROTOBUF),
    (f"{PROTOBUF};q=0.2, {PROTOBUF};q=0.8, {JSON};q=0.5", PROTOBUF),
    (f"{PROTOBUF}, {JSON}", JSON),
    (f"{JSON}, {PROTOBUF}", JSON),
    (f"{PROTOBUF}, */*", JSON),
    (f"{PROTOBUF};q=0.5, application/*;q=0.5", JSON),
    (f"{PROTOBUF};q=0.5, {JSON};q=0.6", JSON),
    (f"{PROTOBUF};q=0", JSON),
    (f"{PROTOBUF};q=0.0, {JSON};q=0", JSON),
    (f"{PROTOBUF};q=2", JSON),
    (f"{PROTOBUF};q=x", JSON),
    (f'text/html;a=", {PROTOBUF}', JSON),  # it is within quotes
    ("application/*", JSON),
    ("*/*", JSON),
    ("text/html", JSON),
    ("", JSON),
    (",;,=;q=;", JSON),
]


@pytest.mark.parametrize(("accept", "media"), CHOSEN)
def test_an_answer_is_protobuf_where_it_is_named_with_more_than_json(
    core: Feed, accept: str, media: str
) -> None:
    assert preferred(accept, (PROTOBUF,)) == media
    for method, target in (
        ("GET", "/api"),
        ("GET", EVENTS),
        ("GET", f"{EVENTS}:changes"),
        ("GET", "/nosuch"),
    ):
        assert core(method, target, headers={"Accept": accept}).headers["content-type"] == media, target
    answer = core("POST", EVENTS, '{"message": "m"}', {"Accept": accept})
    assert answer.headers["content-type"] == media
    assert core("POST", EVENTS, "{", {"Accept": accept}).headers["content-type"] == media  # errors too


@pytest.mark.parametrize("name", ["application/msgpack", "application/x-msgpack", "Application/vnd.msgpack"])
def test_the_exchange_form_is_chosen_by_the_same_rule(core: Feed, name: str) -> None:
    for accept, media in [
        (name, MSGPACK),
        (f"{name}; q=0.7, */*;q=0.5", MSGPACK),
        (f"{name};q=0.4, {PROTOBUF};q=0.5", PROTOBUF),
        (f"{name}, */*", JSON),
    ]:
        answer = core("GET", f"{EVENTS}:changes", headers={"Accept": accept})
        assert answer.headers["content-type"] == media, accept
    assert core("GET", EVENTS, headers={"Accept": name}).headers["content-type"] == JSON
    sent = {"Content-Type": f"{name}; charset=x"}
    assert core("POST", f"{EVENTS}:batch", msgpack.packb({"message": "m"}), sent).json()["stored"] == 1


def test_without_accept_the_body_decides_and_a_get_has_none() -> None:
    assert answer_codec({"content-type": PROTOBUF}).media == PROTOBUF
    assert answer_codec({"content-type": PROTOBUF}, posted=False).media == JSON
    assert answer_codec({"content-type": PROTOBUF, "accept": "*/*"}).media == JSON


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        *(("gzip", True), ("X-GZIP", True), ("gzip;q=0.001", True), ("br;q=1, gzip ; q=0.5", True)),
        *(("", False), ("gzip;q=0", False), ("gzip;q=0.000", False), ("*", False), ("gzip;q=x", False)),
    ],
)
def test_codings_are_read_like_media_types(accepted: str, packed: bool) -> None:
    assert takes_gzip({"accept-encoding": accepted}) == packed


@given(st.text(st.sampled_from('ab/*;,="\\ q01.\t-é'), max_size=40))
def test_any_text_can_be_read(text: str) -> None:
    assert all(0 <= quality <= 1 for quality in qualities(text).values())
    assert media_type({"content-type": text}) == media_type({"content-type": text.upper()})
    assert preferred(text, (PROTOBUF,)) == JSON


# Vary


def test_every_answer_has_one_vary_header_with_all_deciding_headers(archive: Archive, sim: Instance) -> None:
    sim.append_many(Event("m" * 30, source="S", generation_time=n, seq_number=n) for n in range(100))
    requests = [
        (method.upper(), path.replace("{instance}", "sim"))
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if method != "parameters"
    ]
    requests += [("HEAD", EVENTS), ("GET", "/nosuch"), ("DELETE", EVENTS), ("GET", f"{EVENTS}?limit=0")]
    for origins, vary in [
        ([], "Accept, Accept-Encoding"),
        (["https://ops.example"], "Accept, Accept-Encoding, Origin"),
    ]:
        send = core_feed(archive, origins)
        for method, target in requests:
            for headers in ({}, {"Accept": PROTOBUF, "Accept-Encoding": "gzip"}):
                assert send(method, target, "", headers).headers["vary"] == vary, (method, target)
