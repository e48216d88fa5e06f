"""The parsers of what comes over the network: bodies, batches, filters, tokens, times, headers, queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgpack
from msgspec.structs import replace

from benchmarks.fuzz.targets import CRITICAL, Target, refused
from yamcs_archive import Event, EventKey, Filter, Severity
from yamcs_archive.errors import ArchiveError, FilterError, InvalidInputError
from yamcs_archive.event import validate
from yamcs_archive.http.media_types import media_type, preferred, qualities
from yamcs_archive.times import format_rfc3339, parse_rfc3339
from yamcs_archive.wire import batch, json, protobuf
from yamcs_archive.wire import msgpack as maps
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.framing import delimited
from yamcs_archive.wire.page_token import Mark, decode_mark, decode_token, encode_mark, encode_token
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today
from yamcs_archive.wire.protobuf_scan import varint

_EVENTS = (
    Event("Wheel 3 over speed", source="AOCS", severity=Severity.WARNING, generation_time=0, seq_number=1),
    Event(
        'é\U0001f680\0"\\',
        source="né",
        type="T",
        severity=Severity.ERROR,
        generation_time=-1,
        seq_number=-(2**31),
        reception_time=2**55,
        created_by="me",
        extensions=bytes.fromhex("a00601"),
        extra={"unit": "V", "": ""},
    ),
)
_COMPLETE = tuple(replace(event, reception_time=event.reception_time or 5) for event in _EVENTS)
_NAMES = (
    b"message", b"source", b"type", b"severity", b"seqNumber", b"generationTime", b"receptionTime",
    b"generationTimeUTC", b"receptionTimeUTC", b"extensions", b"time", b"sequenceNumber", b"extra",
    b"instance",
    b"createdBy", b"INFO", b"WATCH", b"WARNING_NEW", b"ERROR", b"null", b"true", b"{", b"}", b"[", b"]",
    b":", b",",
)  # fmt: skip
_JSON = (
    *(json.encode(json.shown(event, form)) for event in _COMPLETE for form in Form),
    *(json.encode(json.sent(event)) for event in _EVENTS),
    b'{"message": "a"}',
    b'{"message":"a","time":"2026-01-01T00:00:00Z","sequenceNumber":"3","extra":{"a":"b"},"severity":"watch"}',
    b'{"message":"a","generationTime":"1e3","receptionTime":5.0,"seqNumber":7,"severity":0}',
)
_PROTOBUF = (
    *(protobuf.encode_event(event, form) for event in _COMPLETE for form in Form),
    today.CreateEventRequest(message="a", source="S").SerializeToString(),
)
_PROTOBUF_TOKENS = (
    *CRITICAL, b"\x08", b"\x0a", b"\x10", b"\x12", b"\x18", b"\x1a", b"\x22", b"\x28", b"\x2a", b"\x32",
    b"\x3b",
    b"\x3c", b"\x0b", b"\x0c", b"\xa0\x06\x01", b"\xf2\xff\xff\xff\x0f",
)  # fmt: skip


def _ndjson() -> tuple[bytes, ...]:
    lines = [text.replace(b"\n", b"") for text in _JSON]
    return (b"\n".join(lines), b"\n".join(lines[-3:] * 40), lines[0], b"\r\n".join([*lines, b"", b""]))


def _msgpack() -> tuple[bytes, ...]:
    one = msgpack.packb({"message": "a", "time": 5, "source": "S", "extra": {"k": "v"}})
    other = msgpack.packb(
        {"message": "b", "time": msgpack.Timestamp(-1, 1999), "extensions": b"\xa0\x06\x01"}
    )
    shown = msgpack.packb(json.shown(_COMPLETE[1], Form.TODAY))
    return (one, one * 70 + other, other + shown, shown * 3)


def _without_user(event: Event) -> Event:
    """Return an event as another archive stores it that is sent it: who created it is for that one to say."""
    return replace(event, created_by=None)


def _completed(event: Event) -> Event | None:
    """Return an event with a key and a reception time; None if it breaks a rule that appending checks."""
    found = replace(
        event,
        generation_time=event.generation_time or 0,
        seq_number=event.seq_number or 0,
        reception_time=event.reception_time or 0,
        source=event.source or "User",
    )
    try:
        validate(found)
    except InvalidInputError:
        return None
    return found


def _json_body() -> Callable[[bytes], bool]:
    def take(text: bytes) -> bool:
        try:
            _, event = json.decode_event(text)
        except InvalidInputError as error:
            return refused(error)
        whole = _completed(event)
        if whole is not None:
            _, again = json.decode_event(json.encode(json.sent(whole)))
            assert again == _without_user(whole), (again, whole)
        return True

    return take


def _protobuf_body() -> Callable[[bytes], bool]:
    def take(text: bytes) -> bool:
        try:
            _, event = protobuf.decode_event(text)
        except InvalidInputError as error:
            return refused(error)
        whole = _completed(event)
        if whole is not None:
            _, again = protobuf.decode_event(protobuf.encode_event(whole, Form.TODAY))
            as_severe = Severity.SEVERE if whole.severity == Severity.ERROR else whole.severity
            assert again == replace(_without_user(whole), severity=as_severe), (again, whole)
        return True

    return take


_Decoded = tuple[list[tuple[Form, Event]], str]
"""The elements of a batch, and the text of the error that ends it."""


def _elements(decode: Callable[[Iterable[bytes]], Iterator[batch.Part]], chunks: list[bytes]) -> _Decoded:
    found: list[tuple[Form, Event]] = []
    try:
        for part in decode(chunks):
            found += ((part.form, part.events.event(at)) for at in range(part.events.size))
    except InvalidInputError as error:
        return found, str(error)
    return found, ""


def _batch(
    decode: Callable[[Iterable[bytes]], Iterator[batch.Part]],
    one_by_one: Callable[[bytes], Iterator[tuple[Form, Event]]],
) -> Callable[[bytes], bool]:
    """Compare a batch in one piece, in two, and decoded element by element."""

    def take(text: bytes) -> bool:
        whole = _elements(decode, [text])
        middle = len(text) // 3
        assert _elements(decode, [text[:middle], text[middle:]]) == whole, "the cut into pieces decides"
        elements: list[tuple[Form, Event]] = []
        try:
            elements.extend(one_by_one(text))
        except InvalidInputError:
            assert whole[1], "an element is refused by itself and not in a batch"
        assert whole[0] == elements, "a batch has other events than its elements"
        return not whole[1]

    return take


def _framed(take: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Give every other input a right length, and a sound message before and after it."""
    sound = bytes([len(_PROTOBUF[-1])]) + _PROTOBUF[-1]

    def framed(text: bytes) -> bool:
        return take(sound + varint(len(text)) + text + sound if len(text) % 2 else text)

    return framed


def _lines(text: bytes) -> Iterator[tuple[Form, Event]]:
    for line in text.removeprefix(json.BOM).split(b"\n"):
        if line.strip():
            yield json.decode_event(line)


def _messages(text: bytes) -> Iterator[tuple[Form, Event]]:
    for message in delimited([text]):
        yield protobuf.decode_event(message)


def _maps(text: bytes) -> Iterator[tuple[Form, Event]]:
    for element in maps.elements(text, 0):
        yield maps.event_of(element)


def _filter() -> Callable[[bytes], bool]:
    def take(text: bytes) -> bool:
        try:
            one = Filter(text.decode("utf-8", "surrogatepass" if len(text) % 2 else "replace"))
        except UnicodeDecodeError:
            return False
        except FilterError as error:
            return refused(error)
        for event in _COMPLETE:
            assert one.bounds.admits(event) or not one.matches(event), "the bounds exclude a matching event"
        return True

    return take


def _texts(*readers: Callable[[str], str | None]) -> Callable[[bytes], bool]:
    """Read a text in several ways; one that is accepted must be what its value is written as."""

    def take(raw: bytes) -> bool:
        text = raw.decode("utf-8", "replace")
        accepted = False
        for reader in readers:
            try:
                again = reader(text)
            except ArchiveError as error:
                refused(error)
                continue
            accepted = True
            assert again in (None, text), "another text has the same value"
        return accepted

    return take


def _times() -> Callable[[bytes], bool]:
    def reader(text: str) -> None:
        time = parse_rfc3339(text)
        assert parse_rfc3339(format_rfc3339(time)) == time

    return _texts(reader)


def _headers() -> Callable[[bytes], bool]:
    def take(raw: bytes) -> bool:
        text = raw.decode("latin-1")
        preferred(text, ("application/protobuf", "text/csv"))
        assert all(0 <= quality <= 1 for quality in qualities(text).values())
        media_type({"content-type": text})
        return True

    return take


_TOKENS = (
    encode_token("sim", EventKey(5, "AOCS", 7)).encode(),
    encode_token("sim", EventKey(-(2**40), "é", -1)).encode(),
    encode_mark("sim", Mark(3, 5, "AOCS")).encode(),
)
_FILTER_TOKENS = (
    *CRITICAL, b"NOT ", b"AND ", b"OR ", b"--", b"!=", b"<=", b"=~", b"!~", b":", b"source", b"severity",
    b"seqNumber", b"generationTime", b"extra.k", b"message", b'"(?i)a+"', b'"(x+x+)+y"', b'"[a-',
    b'"\\p{L}"', b"null",
)  # fmt: skip
_FILTERS = (
    b'severity>=warning AND (source="AOCS" OR message=~"wheel [0-9]+") AND NOT type=null',
    b"wheel over -speed",
    b'extra.unit:"V" OR generationTime>="2026-01-01T00:00:00Z" seqNumber<=5',
)

TARGETS = (
    Target("json", _JSON, (*CRITICAL, *_NAMES), _json_body),
    Target("protobuf", _PROTOBUF, _PROTOBUF_TOKENS, _protobuf_body),
    Target(
        "ndjson",
        _ndjson(),
        (*CRITICAL, *_NAMES, b"\n", b"\r\n"),
        lambda: _batch(batch.from_ndjson, _lines),
        2,
    ),
    Target(
        "delimited",
        (b"".join(bytes([len(text)]) + text for text in _PROTOBUF if len(text) < 128),),
        _PROTOBUF_TOKENS,
        lambda: _framed(_batch(batch.from_protobuf, _messages)),
        1,
    ),
    Target(
        "msgpack",
        _msgpack(),
        (
            *CRITICAL,
            *_NAMES,
            b"\x81",
            b"\xa1",
            b"\xc0",
            b"\xc1",
            b"\xdf\x7f\xff\xff\xff",
            b"\xd6\xff\0\0\0\0",
        ),
        lambda: _batch(batch.from_msgpack, _maps),
        1,
    ),
    Target("filter", _FILTERS, _FILTER_TOKENS, _filter),
    Target(
        "token",
        _TOKENS,
        (*CRITICAL, b"=", b"-", b"_", b"AAAA"),
        lambda: _texts(
            lambda text: encode_token("sim", decode_token(text, "sim")),
            lambda text: encode_mark("sim", decode_mark(text, "sim")),
        ),
    ),
    Target(
        "time",
        (b"2026-02-28T23:59:60.123456789+05:30", b"1969-12-31T00:00:00Z", b"2026-01-01T00:00:00.5Z"),
        (*CRITICAL, b"T", b"t", b"Z", b"z", b"+", b"-", b":", b"."),
        _times,
    ),
    Target(
        "headers",
        (
            b'application/json;q=0.9, application/protobuf;charset="utf-8", */*;q=0.1',
            b"text/csv",
            b"a/b;q=1.000",
        ),
        (
            *CRITICAL,
            b";q=",
            b",",
            b"/",
            b"*",
            b" ",
            b"q=0.0000",
            b"q=2",
            b"application/protobuf",
            b"text/csv",
        ),
        _headers,
    ),
)
"""All targets of this module."""
