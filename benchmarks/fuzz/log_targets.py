"""The readers of logs of other programs, and of what users write to have them read."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from benchmarks.fuzz.targets import CRITICAL, Target, refused
from yamcs_archive import Event
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import validate
from yamcs_archive.files.reading import Rejected, Source
from yamcs_archive.importers.formats import open_reader
from yamcs_archive.importers.logs import time_format
from yamcs_archive.importers.logs.clock import Clock, Zone
from yamcs_archive.importers.logs.forms import Unfit
from yamcs_archive.importers.logs.mapping import mapped
from yamcs_archive.importers.logs.options import LogOptions

_PIECE_BYTES = 7
_ZONE = "Europe/Berlin"
_PATTERN = r"(?P<time>\S+ \S+) \[(?P<severity>\w+)\] (?P<source>\w*): (?P<message>.*)"
_TOKENS = (
    *CRITICAL, b"\r\n", b"\n\n", b"\t", b" ", b": ", b"[", b"]", b'"', b'""', b",", b";", b"<34>", b"<191>1 ",
    b"-", b"Feb 29 ", b"Oct 26 02:30:00 ", b"2025-10-26 02:30:00", b"2026-03-29T02:30:00", b"+01:00", b"Z",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\0\0", b"null", b"NaN", b"{", b"}", b"1700000000123456789\t",
    b"MESSAGE\n", b"__REALTIME_TIMESTAMP=5\n", b"\x05\0\0\0\0\0\0\0", b"TB_NONE: 1.000001s, context=0",
)  # fmt: skip
_LOGS: dict[str, tuple[tuple[bytes, ...], dict[str, Any]]] = {
    "syslog": (
        (
            b'<165>1 2003-08-24T05:14:15.000003-07:00 h app 8 ID [a@1 x="1\\"" y=""][b z="\xc3\xa9"] msg\n',
            b"<34>Oct 11 22:14:15 host su[77]: failed\nNov 12 00:00:01 host last message repeated 2 times\n",
            b"2026-11-30T17:00:00.123456+01:00 gs1 kernel: [    0.0] Linux\r\nOct 26 02:30:00 gs1 a: b",
        ),
        {},
    ),
    "journald": (
        (
            b"__CURSOR=c\n__REALTIME_TIMESTAMP=5\nPRIORITY=4\nMESSAGE=ready\nTAG=a\nTAG=b\n\n"
            b"__REALTIME_TIMESTAMP=6\nMESSAGE\n\x05\0\0\0\0\0\0\0a\n\nb\n\n\n",
            b'{"MESSAGE":"a","__REALTIME_TIMESTAMP":"5","_COMM":"x","T":["1","2"]}\n'
            b'{"MESSAGE":[97,255],"__REALTIME_TIMESTAMP":"6","B":null}\n',
        ),
        {},
    ),
    "fprime": (
        (
            b"2026-03-23 19:00:01,(2(0)-1774290001:5000),Ref.cmdDisp.NoOp,1280,EventSeverity.COMMAND,a, b\n",
            b"2026-06-20T04:31:10.316946: App.link.UP (268) (2(0)-1781901070:316946) Sev.WARNING_HI : up\n",
            b"EVENT: (1280) (2:1551813034,112114) FATAL: (cmdDisp) Bad : it\n",
            b"TB_NONE: 12.000034s, context=0: App.a.B EventSeverity.ACTIVITY_LO : boot\n",
            b'{"time":"2026-03-23T19:00:01","raw_time":"(2(0)-17:5)","name":"A.B","id":9,"severity":"FATAL",'
            b'"args":[1],"display_text":"Text"}\n',
        ),
        {},
    ),
    "cosmos": (
        (
            b'1700000000123456789\t{"time":1700000000123456789,"level":"WARN","message":"a","x":NaN}\n',
            b'{"@timestamp":"2023-11-14T22:13:20Z","severity":"INFO","log":"old"}\n',
            b"2015/01/23 13:45:12.345 (D): INFO: Connecting\n",
        ),
        {},
    ),
    "yamcs-csv": (
        (
            b"Source\tGeneration Time\tReception Time\tEvent Type\tEvent Text\n"
            b'A\t1970-01-01T00:00:01Z\t1970-01-01T00:00:02Z\t\t"two\r\n""lines"""\n'
            b"B\t1970-01-01T00:00:01.500Z\t\tT\t10%\r20%\n",
            b"Event Text;Severity;Source;Sequence Number;Generation Time;X\n"
            b"a;WATCH;S;5;1970-01-01T00:00:01;m\n",
        ),
        {},
    ),
    "lines": (
        (b"2026-01-01 00:00:00 [warn] EPS: low\n  at line 7\n2025-10-26 02:30:01,5 [E] : off\n",),
        {"pattern": _PATTERN, "continuation": True},
    ),
    "mapped": (
        (
            b'{"msg":"a","ts":1767225600,"level":"error","app":{"name":"EPS"},"pid":5,"tags":["x"],"n":1}\n'
            b'{"msg":1.5,"ts":"2026-01-01T00:00:00+02:00","app":[{"name":"x"}]}\n',
        ),
        {
            "mapping": (
                *("message=.msg", "time=.ts", "severity=.level", "source=.app.name", "number=.n"),
                *('extra.first=."app"[0].name', "type=t"),
            )
        },
    ),
}


class _Pieces(io.BytesIO):
    """Bytes that come a few at a time."""

    def read(self, _size: int | None = -1) -> bytes:
        return super().read(_PIECE_BYTES)


def _read(form: str, stream: io.BytesIO, options: dict[str, Any]) -> tuple[list[Event], list[Rejected], str]:
    """Return the events, the rejects, and the error that ended the reading."""
    events: list[Event] = []
    rejected: list[Rejected] = []
    how = LogOptions(reject=rejected.append, timezone=_ZONE, keep_invalid_utf8=True, **options)
    try:
        reader = open_reader(form, Source(stream, "a.log"), how)
        for part in reader.parts():
            events += part.events()
        assert reader.place(len(events))
    except InvalidInputError as error:
        return events, rejected, str(error)
    return events, rejected, ""


def _log(form: str) -> Callable[[], Callable[[bytes], bool]]:
    _, options = _LOGS[form]

    def start() -> Callable[[bytes], bool]:
        def take(text: bytes) -> bool:
            whole = _read(form, io.BytesIO(text), options)
            assert _read(form, _Pieces(text), options) == whole
            events, rejected, error = whole
            for event in events:
                validate(event)
                assert event.generation_time is not None, event
                assert event.seq_number is not None, event
            keys = {event.key for event in events if event.seq_number is not None and event.seq_number < 0}
            made = [event for event in events if event.seq_number is not None and event.seq_number < 0]
            assert form in ("journald", "mapped", "yamcs-csv") or len(keys) == len(made)
            assert all(each.reason for each in rejected)
            return bool(events) and not error

        return take

    return start


def _time() -> Callable[[bytes], bool]:
    def take(text: bytes) -> bool:
        form, _, value = text.decode(errors="replace").partition("|")
        try:
            parse = time_format.compiled(form)
        except InvalidInputError as error:
            return refused(error)
        try:
            instant = parse(value, Clock(Zone.named(_ZONE), first_year=2024))
        except Unfit as error:
            return refused(error)
        assert isinstance(instant, int)
        return True

    return take


def _mapping() -> Callable[[bytes], bool]:
    def take(text: bytes) -> bool:
        try:
            found = mapped(text.decode(errors="replace").split(" "))
        except InvalidInputError as error:
            return refused(error)
        assert {"message", "time"} <= set(found)
        return True

    return take


TARGETS = (
    *(Target(f"log-{form}", valid, _TOKENS, _log(form), weight=4) for form, (valid, _) in _LOGS.items()),
    Target(
        "log-time",
        (
            b"%d/%b/%Y:%H:%M:%S %z|10/Oct/2026:13:55:36 +0200",
            b"%b %e %H:%M:%S.%f|Feb 29 02:30:00.5",
            b"%j %y %I:%M %p|366 24 12:00 am",
            b"iso|2026-366T00:00:00",
            b"unix|-1767225600.5",
            b"unix-ns|1767225600000000001",
            b"excel|46023.5",
        ),
        (*CRITICAL, b"%", b"%Y", b"%s", b"%f", b"%T", b"%Z", b"|", b"(?P<x>", b"*", b"\\"),
        _time,
    ),
    Target(
        "log-map",
        (b"message=.msg time=.ts severity=.level", b'message=."a b".c[1].d time=[0] extra.x=.y source=EPS'),
        (*CRITICAL, b".", b"[", b"]", b'."', b"=", b" ", b"time=", b"message=", b"extra."),
        _mapping,
        weight=2,
    ),
)
"""All targets of this module."""
