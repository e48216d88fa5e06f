"""Small logs of each kind, written by hand in the form of real ones, and a way to read them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from typing import Any, cast

from yamcs_archive import Event, Severity
from yamcs_archive.files.reading import Rejected, Source
from yamcs_archive.importers.formats import open_reader
from yamcs_archive.importers.logs.log_reader import LogReader
from yamcs_archive.importers.logs.options import LogOptions


class Fed(io.RawIOBase):
    """A file that gives its bytes in pieces of given sizes, whatever is asked for."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self, size: int = -1) -> bytes:
        return next((piece for piece in self._pieces if piece), b"")


def reader_of(form: str, pieces: Iterable[bytes], *, name: str = "app.log", **options: Any) -> LogReader:
    source = Source(cast(Any, Fed(pieces)), name)
    return cast(LogReader, open_reader(form, source, LogOptions(**{"timezone": "UTC"} | options)))


def read(form: str, data: bytes, **options: Any) -> tuple[list[Event], list[tuple[str, str]]]:
    """Return the events of a log, and what was rejected: place and reason."""
    rejected: list[Rejected] = []
    reader = reader_of(form, [data], reject=rejected.append, **options)
    events = [event for part in reader.parts() for event in part.events()]
    return events, [(found.place, found.reason) for found in rejected]


def one(form: str, line: str, **options: Any) -> Event:
    """Return the only event of a log."""
    events, rejected = read(form, line.encode(), **options)
    assert (len(events), rejected) == (1, [])
    return events[0]


def field(name: str, value: bytes) -> bytes:
    """Return a field of journald's export that is given with its length."""
    return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"


PATTERN = r"(?P<time>\S+ \S+) \[(?P<severity>\w+)\] (?P<source>\w+): (?P<message>.*)"
ENTRY = b"__CURSOR=c%d\n__REALTIME_TIMESTAMP=%d\nPRIORITY=4\nSYSLOG_IDENTIFIER=su\n_PID=7\n"
LOGS: dict[str, tuple[bytes, dict[str, Any]]] = {
    "syslog": (
        b"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 ID47"
        b' [a@1 x="1\\"]" y=""][b z="\xc3\xa9"]'
        b" \xef\xbb\xbfIt's time\r\n"
        b"\n<34>Oct 11 22:14:15 mymachine su[77]: 'su root' failed\n"
        b"2026-11-30T17:00:00.123456+01:00 gs1 kernel: [    0.0] Linux\n"
        b"\0\0\0\0Nov 12 00:00:01 gs1 last message repeated 2 times\nnot a line\nNov 31 00:00:00 gs1 a: b\n"
        b"Nov 30 12:00:00 gs1 cut",
        {"year": 2025},
    ),
    "journald": (
        b"\n\n" + ENTRY % (1, 5) + b"MESSAGE=ready\nTAG=a\nTAG=b\n\n"
        + ENTRY % (2, 6) + field("MESSAGE", b"two\n\nlines=1\n") + field("RAW", b"\xff\n\n") + b"\n"
        + ENTRY % (3, 7) + field("MESSAGE", b"caf\xe9") + b"\n"
        + ENTRY % (4, 8) + b"MESSAGE=cut",
        {},
    ),
    "fprime": (
        b"Time,Raw Time,Name,ID,Severity,Args\n"
        b"2026-03-23 19:00:01,(2(0)-1774290001:5000),Ref.cmdDisp.NoOp,1280,EventSeverity.COMMAND,a, b\n"
        b"2026-06-20T04:31:10.316946: App.link.UP (268) (2(0)-1781901070:316946) "
        b"EventSeverity.WARNING_HI : up\n"
        b"EVENT: (1280) (2:1551813034,112114) FATAL: (cmdDisp) Bad : it\n"
        b"TB_NONE: 12.000034s, context=0: App.a.B EventSeverity.ACTIVITY_LO : boot\nnonsense\n",
        {},
    ),
    "cosmos": (
        b'1700000000123456789\t{"time":1700000000123456789,"@timestamp":"2023-11-14T22:13:20.123456Z",'
        b'"level":"WARN","microservice_name":"DEFAULT__DECOM__INST","message":"TEMP1 = -80 is RED_LOW"}\n'
        b"2015/01/23 13:45:12.345  INFO: Connecting to INST_INT...\n"
        b'{"@timestamp":"2023-11-14T22:13:20Z","severity":"INFO","log":"old","x":NaN}\n{"level":"INFO"}\n{\n',
        {},
    ),
    "yamcs-csv": (
        b"\xef\xbb\xbfSource\tGeneration Time\tReception Time\tEvent Type\tEvent Text\r\n"
        b'A\t1970-01-01T00:00:01Z\t1970-01-01T00:00:02Z\t\t"two\r\n""lines"", and\ta tab"\n'
        b"B\t1970-01-01T00:00:01.500Z\t1970-01-01T00:00:02Z\tT\t10%\r20%\n"
        b"C\t1970-01-01T00:00:01Z\nD\tnow\t1970-01-01T00:00:02Z\tT\ta\n"
        b'E\t1970-01-01T00:00:01Z\t\t\t"not closed\n',
        {},
    ),
    "lines": (
        b"2026-01-01 00:00:00 [warn] EPS: low\n  at line 7\n\tat line 8\n"
        b"2026-01-01 00:00:01,5 [E] EPS: off\n\n"
        b"2026-01-01 00:00:01,5 [E] EPS: off\n2026-01-01 00:00:02 [odd] EPS: x\n"
        b"2026-01-01 00:00:03 [info] EPS: caf\xe9\n2026-01-01 00:00:04 [info] EPS: last",
        {"pattern": PATTERN, "continuation": True},
    ),
    "mapped": (
        b'{"msg":"a","ts":1767225600,"level":"error","app":{"name":"EPS"},"pid":5,"tags":["x"]}\n'
        b'{"msg":"b","ts":1767225600123,"level":30}\n{"ts":1}\n[1]\n'
        b'{"msg":"c","ts":"2026-01-01T00:00:00+02:00"}\n'
        b'{"msg":"d","ts":12}\n{"msg":"\\ud800","ts":1767225600}\n',
        {
            "mapping": ("message=.msg", "time=.ts", "severity=.level", "source=.app.name"),
            "severities": {"30": Severity.INFO},
        },
    ),
}  # fmt: skip
"""For each form: a log with good and bad records, and the options to read it."""
