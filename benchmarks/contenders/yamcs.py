"""A real Yamcs server on loopback: started from its jars, filled over HTTP, read back, compacted.

It does not sync, so a kill may lose acknowledged events. Its jars come from a package on PyPI and are kept in
the user's cache; Java 17 or newer must be on the path, or named by ``JAVA``.

Many events are stored by ``writeRows``, the server's way to load a table: the cells of the rows have the form
of its storage, with times in milliseconds that count leap seconds.
"""

from __future__ import annotations

import http.client
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bodies import varint
from benchmarks.servers import free_port, running
from yamcs_archive import Event, Severity

INSTANCE = "bench"
ROWS_PATH = f"/api/archive/{INSTANCE}/tables/events:writeRows"
DURABILITY = "none: no sync before the answer"

_PACKAGE = "fprime-yamcs-bundle"
_VERSION = "5.12.8.0"
_LEAP_MS = 37_000
_TIMEOUT_S = 600

_FILES = {
    "yamcs.yaml": """\
services:
  - class: org.yamcs.http.HttpServer
    args: {{address: 127.0.0.1, port: {port}}}
instances: [{instance}]
dataDir: {data}
secretKey: of-no-use-on-loopback
""",
    f"yamcs.{INSTANCE}.yaml": """\
services:
  - class: org.yamcs.archive.EventRecorder
mdb:
  - type: emptyNode
    args: {{name: {instance}}}
streamConfig:
  event: [events_realtime, events_dump]
""",
    "processor.yaml": "realtime: {{services: []}}\n",
    "logging.properties": """\
handlers = java.util.logging.ConsoleHandler
.level = WARNING
""",
}


def fetch() -> tuple[str, Path]:
    """Return the command of Java and the folder with the server's jars, which are downloaded if missing.

    Raises RuntimeError if there is no Java, or the server cannot be downloaded.
    """
    java = shutil.which(os.environ.get("JAVA", "java"))
    if java is None:
        raise RuntimeError("a Yamcs server needs Java 17 or newer: put java on the path, or name it in JAVA")
    return java, _jars()


@contextmanager
def serving(directory: Path) -> Iterator[int]:
    """Run a server with its files in ``directory`` until the block ends; yield its port.

    Raises RuntimeError if there is no Java, or if the server does not start.
    """
    java, jars = fetch()
    port = free_port()
    etc, data, cache = (directory / name for name in ("etc", "data", "cache"))
    for folder in (etc, data, cache):
        folder.mkdir(parents=True, exist_ok=True)
    for name, text in _FILES.items():
        (etc / name).write_text(text.format(port=port, instance=INSTANCE, data=data))
    command = [
        java,
        "-Djava.util.logging.manager=org.yamcs.logging.YamcsLogManager",
        f"-Djava.io.tmpdir={cache}",
    ]
    command += ["-cp", str(jars / "*"), "org.yamcs.YamcsServer", "--etc-dir", str(etc)]
    command += ["--data-dir", str(data), "--cache-dir", str(cache)]
    command += ["--log-config", str(etc / "logging.properties"), "--no-color"]
    with running(command, port):
        yield port


def row_stream(events: Sequence[Event]) -> bytes:
    """Return the body of a ``writeRows`` request: delimited rows, the first of which names the columns."""
    return b"".join(_delimited(_row(event, columns=index == 0)) for index, event in enumerate(events))


def scan(port: int) -> Iterator[Event]:
    """Return an iterator over all events of the server, read by ``readRows`` and sorted by key.

    The server orders equal times by the first appearance of the source, so they are sorted here.
    """
    body = _ask(port, "POST", f"/api/archive/{INSTANCE}/tables/events:readRows", "application/protobuf")
    return iter(sorted(events_in(body), key=lambda event: event.key))


def compact(port: int) -> None:
    """Let the server compact its store, and wait for it."""
    _ask(port, "POST", f"/api/archive/rocksdb/{INSTANCE}/:compact", "application/json")


def versions() -> dict[str, str]:
    """Return the version of the server."""
    return {"Yamcs": _VERSION.rpartition(".")[0], "durability": DURABILITY}


def _jars() -> Path:
    """Return the folder with the server's jars, which are downloaded once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "yamcs-archive-benchmarks"
    jars = cache / f"{_PACKAGE}-{_VERSION}"
    if not jars.exists():
        loading = cache / f"loading-{os.getpid()}"
        loading.mkdir(parents=True)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(loading)]
        try:
            subprocess.run([*command, f"{_PACKAGE}=={_VERSION}"], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError:
            shutil.rmtree(loading)
            raise RuntimeError(f"pip could not fetch {_PACKAGE} {_VERSION}, a Yamcs server") from None
        with zipfile.ZipFile(next(loading.glob("*.whl"))) as wheel:
            for member in wheel.namelist():
                if member.endswith(".jar"):
                    (loading / Path(member).name).write_bytes(wheel.read(member))
        for spent in loading.glob("*.whl"):
            spent.unlink()
        loading.rename(jars)
    return jars


def _ask(port: int, method: str, path: str, accept: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    try:
        connection.request(method, path, headers={"Accept": accept})
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{method} {path}: {answer.status} {body[:500]!r}")
    return body


# --- rows: protobuf messages and the cells in them -------------------------------------------------------

_COLUMNS = (
    ("gentime", "TIMESTAMP"),
    ("source", "ENUM"),
    ("seqNum", "INT"),
    ("body", "PROTOBUF(org.yamcs.yarch.protobuf.Db$Event)"),
)
_SEVERITY_NUMBERS = {
    Severity.INFO: 0,
    Severity.ERROR: 2,
    Severity.WATCH: 3,
    Severity.WARNING: 4,
    Severity.DISTRESS: 5,
    Severity.CRITICAL: 6,
    Severity.SEVERE: 7,
}
_SEVERITIES = {number: severity for severity, number in _SEVERITY_NUMBERS.items()} | {1: Severity.WARNING}
_BYTES_WIRE_TYPE = 2


def _row(event: Event, *, columns: bool) -> bytes:
    """Return one row: cells of time, source, number and the event itself, in the table's form."""
    key = event.key
    time_ms = key.generation_time // 1000 + _LEAP_MS
    source = key.source.encode()
    number = struct.pack(">i", key.seq_number)
    content = _event(event, time_ms)
    cells = (
        struct.pack(">q", time_ms),
        struct.pack(">H", len(source)) + source,
        number,
        struct.pack(">I", len(content)) + content,
    )
    row = b""
    if columns:
        for place, (name, kind) in enumerate(_COLUMNS):
            row += _bytes(1, _int(1, place) + _bytes(2, name.encode()) + _bytes(3, kind.encode()))
    for place, cell in enumerate(cells):
        row += _bytes(2, _int(1, place) + _bytes(2, cell))
    return row


def _event(event: Event, time_ms: int) -> bytes:
    content = _bytes(1, event.source.encode()) + _int(2, time_ms)
    content += _int(3, (event.reception_time or 0) // 1000 + _LEAP_MS) + _int(4, event.key.seq_number)
    if event.type is not None:
        content += _bytes(5, event.type.encode())
    return content + _bytes(6, event.message.encode()) + _int(7, _SEVERITY_NUMBERS[event.severity])


def events_in(stream: bytes) -> Iterator[Event]:
    """Yield the events of delimited rows, as ``readRows`` and ``writeRows`` use them, in whole milliseconds.

    Raises KeyError or IndexError for any other stream.
    """
    for row in delimited_in(stream):
        _, parts = _fields(row)
        content = _fields(parts[2][-1])[1][2][0]  # the last cell has the event, after its length
        yield _decoded(*_fields(content[4:]))


def _decoded(numbers: dict[int, int], parts: dict[int, list[bytes]]) -> Event:
    return Event(
        parts[6][0].decode(),
        parts[1][0].decode(),
        _SEVERITIES[numbers.get(7, 0)],
        parts[5][0].decode() if 5 in parts else None,
        (numbers[2] - _LEAP_MS) * 1000,
        numbers[4],
        (numbers[3] - _LEAP_MS) * 1000,
    )


def _int(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return varint(number << 3 | _BYTES_WIRE_TYPE) + varint(len(value)) + value


def _delimited(message: bytes) -> bytes:
    return varint(len(message)) + message


def page_events(message: bytes) -> int:
    """Return the number of events in the message of a page.

    >>> page_events(bytes([10, 1, 65, 10, 0]))
    2
    """
    return len(_fields(message)[1].get(1, []))


def delimited_in(stream: bytes) -> Iterator[bytes]:
    """Yield the messages of a stream in which a varint with its length precedes each.

    >>> list(delimited_in(bytes([2, 65, 66, 0])))
    [b'AB', b'']
    """
    place = 0
    while place < len(stream):
        size, place = _varint_at(stream, place)
        yield stream[place : place + size]
        place += size


def _fields(message: bytes) -> tuple[dict[int, int], dict[int, list[bytes]]]:
    """Return the integers and the byte strings of a message, by field; other wire types do not occur."""
    numbers: dict[int, int] = {}
    parts: dict[int, list[bytes]] = {}
    place = 0
    while place < len(message):
        tag, place = _varint_at(message, place)
        value, place = _varint_at(message, place)
        if tag & 7 == _BYTES_WIRE_TYPE:
            parts.setdefault(tag >> 3, []).append(message[place : place + value])
            place += value
        else:
            numbers[tag >> 3] = value
    return numbers, parts


def _varint_at(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
