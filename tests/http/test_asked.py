"""Details of requests and their answers: the mount point, content codings, parameters, CSV."""

from __future__ import annotations

import codecs
import csv
import gzip
import io

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from tests.http.conforms import DOCUMENT, parameters
from tests.http.feeds import Exchange, Feed
from tests.http.test_api import error_of
from tests.http.test_asgi import run
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.routes import below
from yamcs_archive.http.wsgi import create_app

EVENTS = "/api/archive/sim/events"
BAD = (400, "BadRequestException")
POSTED = (f"{EVENTS}:list", "/api/stream-archive/sim:streamEvents", "/api/archive/sim:streamEventIndex")

# Where it is mounted

MOUNTED = [
    *(("", "/api/instances", 200), ("/", "/api/instances", 200), ("/mount", "/mount/api/instances", 200)),
    *(("/mount/", "/mount/api/instances", 200), ("/mount", "/api/instances", 200), ("/api", "/api/api", 200)),
    *(
        ("/api", "/api/instances", 200),
        ("/api/", "/api/instances/", 200),
        ("/m", "/mount/api/instances", 404),
    ),
    *(("/mount", "/mountapi/instances", 404), ("/api", "/apiary/instances", 404), ("/mount", "/mount", 404)),
    ("/a/b/", "/a/b/healthz/", 200),
]


@pytest.mark.parametrize(("mount", "path", "status"), MOUNTED)
def test_a_mount_ends_where_a_segment_of_the_path_does(
    archive: Archive, sim: Instance, mount: str, path: str, status: int
) -> None:
    exchange = Exchange(create_asgi_app(archive), "GET", path, {})
    exchange.scope["root_path"] = mount
    assert run(exchange).started["status"] == status
    statuses: list[str] = []
    environ = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": mount, "PATH_INFO": path}
    list(create_app(archive)(environ, lambda status, _: statuses.append(status)))  # type: ignore[arg-type]
    assert statuses[0][:3] == str(status)


def test_a_mount_may_have_taken_the_slash() -> None:
    assert below("/mount/", "api") == "/api"
    assert below("/mount", "") == "/"


# Codings


@pytest.mark.parametrize("name", ["gzip", "x-gzip", "X-GZip", " gzip "])
def test_gzip_has_two_names_in_both_directions(core: Feed, sim: Instance, name: str) -> None:
    body = gzip.compress(b'{"message": "' + b"m" * 2000 + b'"}\n')
    headers = {"Content-Encoding": name, "Accept-Encoding": name}
    assert core("POST", f"{EVENTS}:batch", body, headers).json()["stored"] == 1
    answer = core("GET", EVENTS, headers={"Accept-Encoding": name})
    assert msgspec.json.decode(gzip.decompress(answer.body))["events"][0]["message"] == "m" * 2000


@pytest.mark.parametrize("target", [EVENTS, *POSTED])
def test_a_refusal_of_a_body_speaks_of_the_body_of_this_request(core: Feed, target: str) -> None:
    answer = core("POST", target, b"\x1f\x8b", {"Content-Encoding": "gzip"})
    text = error_of(answer, 415, "UnsupportedMediaTypeException")
    assert "the body of this request must come uncompressed" in text
    answer = core("POST", target, b"", {"Content-Length": str(9 << 20)})
    text = error_of(answer, 413, "PayloadTooLargeException")
    assert "8388608 bytes, the limit for the body of this request" in text


@pytest.mark.parametrize("target", POSTED)
def test_a_body_may_begin_with_a_mark_of_its_byte_order(core: Feed, sim: Instance, target: str) -> None:
    sim.append(Event("m", source="S", generation_time=0))
    for body in (b"", b"{}", b'{"stop": "1971-01-01T00:00:00Z"}'):
        plain, marked = core("POST", target, body), core("POST", target, codecs.BOM_UTF8 + body)
        assert (marked.status, marked.body) == (200, plain.body)
    assert core("POST", target, 2 * codecs.BOM_UTF8).status == 400


# Parameters


def test_the_error_of_an_invalid_cursor_names_the_parameter(core: Feed, sim: Instance) -> None:
    for value in ("abc", "newest1", sim.cursor() + "x"):
        for more in ("", "&wait=0.01"):
            text = error_of(core("GET", f"{EVENTS}:changes?after={value}{more}"), *BAD)
            assert text.startswith("after ")


@pytest.mark.parametrize(
    "target",
    [
        *(f"POST {target}" for target in (*POSTED, EVENTS, f"{EVENTS}:batch")),
        *("GET /api/archive/sim:exportEvents", "GET /api/archive/sim/event-index", f"GET {EVENTS}/sources"),
    ],
)
def test_a_form_that_cannot_be_chosen_is_refused(core: Feed, sim: Instance, target: str) -> None:
    method, path = target.split()
    body = '{"message": "m"}' if path in (EVENTS, f"{EVENTS}:batch") else ""
    for query in ("form=2016", "limit=5&form=2016", "form=today&form=2016", "form=2016&form=", "form=201%36"):
        text = error_of(core(method, f"{path}?{query}", body), *BAD)
        assert text.startswith("form '2016': cannot be chosen here")
    assert "form 'x'" in error_of(core(method, f"{path}?form=x", body), *BAD)
    assert list(sim.events()) == []
    for query in ("form=today", "form=", "reform=2016", "limit=5&other=form"):
        assert core(method, f"{path}?{query}", body).status == 200
    for path in (EVENTS, f"{EVENTS}:changes"):
        assert core("GET", f"{path}?form=2016").status == 200


@pytest.mark.parametrize(("count", "status"), [(999, 200), (1000, 200), (1001, 400), (20_000, 400)])
def test_many_sources_come_as_so_many_parameters(core: Feed, sim: Instance, count: int, status: int) -> None:
    sim.append(Event("m", source=f"S{count - 1}"))
    names = [f"S{n}" for n in range(count)]
    answer = core("GET", f"{EVENTS}?{'&'.join(f'source={name}' for name in names)}")
    assert answer.status == status
    if status == 400:
        assert "at most 1000 parameters" in error_of(answer, *BAD)
        assert len(error_of(answer, *BAD)) < 400
    for found in (
        core("GET", f"{EVENTS}?source={','.join(names)}"),
        core("POST", f"{EVENTS}:list", msgspec.json.encode({"source": names})),
    ):
        assert len(found.json()["events"]) == 1


def test_an_unknown_path_says_where_all_paths_are(core: Feed) -> None:
    text = error_of(core("GET", "/nosuch"), 404, "NotFoundException")
    assert text == "no such path: '/nosuch' (see /api/openapi.json)"
    assert len(error_of(core("GET", f"/{'x' * 9000}"), 404, "NotFoundException")) < 200


GETS = [path.replace("{instance}", "sim") for path, methods in DOCUMENT["paths"].items() if "get" in methods]
NAMES = sorted(
    {part["name"] for methods in DOCUMENT["paths"].values() for part in parameters(methods.get("get", {}))}
)
pieces = st.lists(
    st.sampled_from(
        [
            *("&", "=", ";", "%", "+", "%00", "%FF", "%C3%28", "%ED%A0%80", "é", "ÿ", "\x80", "#", "?", ","),
            *("1", "-1", "1e9", "1e400", "9" * 25, "1e", "2026-01-01T00:00:00Z", "asc", "2016", "(", "\\"),
            *(f"{name}=" for name in NAMES if name != "wait"),
        ]
    ),
    max_size=12,
).map("".join)


@settings(
    max_examples=of_full(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(GETS), pieces)
def test_no_query_string_makes_an_error_of_pythons(core: Feed, path: str, query: str) -> None:
    answer = core("GET", f"{path}?{query}")
    assert answer.status < 500 or answer.status == 501, answer  # that: no live updates by this server
    if answer.status == 400:
        text = error_of(answer, *BAD)
        for words in ("codec", "Traceback", "Error", "object", "argument", "literal", "fields exceeded"):
            assert words not in text


# CSV


@pytest.mark.parametrize("columns", ["", "&columns=all"])
@pytest.mark.parametrize("delimiter", ["COMMA", "TAB"])
def test_a_carriage_return_within_a_field_ends_no_row(
    core: Feed, sim: Instance, columns: str, delimiter: str
) -> None:
    texts = ["10%\r20%", "\ra", "a\r", "a\r\nb", "plain", "\r", 'q"\r', "é\rè"]
    for n, text in enumerate(texts):
        sim.append(Event(text, source=f"S{n}\rx", type="T\rU", generation_time=n, seq_number=n))
    answer = core("GET", f"/api/archive/sim:exportEvents?delimiter={delimiter}{columns}")
    sign = {"COMMA": ",", "TAB": "\t"}[delimiter]
    rows = list(csv.reader(io.StringIO(answer.body.decode(), newline=""), delimiter=sign))
    assert [row[4] for row in rows[1:]] == [text.strip(" \r\n") for text in texts]
    assert [(row[0], row[3]) for row in rows[1:]] == [(f"S{n}\rx", "T\rU") for n in range(len(texts))]
    assert b"plain" in answer.body
    assert b'"plain"' not in answer.body


def test_a_number_that_is_too_large_is_named(core: Feed, sim: Instance) -> None:
    for value in ("1e400", "-1e400", "9" * 5000):
        text = error_of(core("POST", EVENTS, f'{{"message": "m", "extra": {{"k": {value}}}}}'), *BAD)
        assert text.startswith("extra.k ")
        assert "not JSON" not in text
        assert "limit " in error_of(core("POST", f"{EVENTS}:list", f'{{"limit": {value}}}'), *BAD)
    assert list(sim.events()) == []
