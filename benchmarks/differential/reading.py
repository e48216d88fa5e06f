"""The requests that read history: each parameter, parameters together, tokens, filters, streams."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from benchmarks.differential.exchange import Case
from benchmarks.differential.storing import SECOND, SEVERITIES


def _get(name: str, *may: str, path: str = "/events", follow: bool = False, **query: Any) -> Case:
    given = {"stop": "2026-06-15T00:00:00Z", **query}
    pairs = [
        (key, part)
        for key, value in given.items()
        if value is not None
        for part in (value if isinstance(value, list) else [value])
    ]
    return Case(f"{path}: {name}", "GET", f"{path}?{urlencode(pairs)}", may=may, follow=follow)


_CLEAN = ["LA", "LB", "zeta", "Alpha", "types", "N", "old", "S1", "S2", "S3", "s1"]
"""Sources whose events are the same on both servers."""


def _old(severity: str) -> tuple[str, ...]:
    return ("old-severities",) if severity.lower() in ("warning", "error") else ()


def _parameters() -> Iterator[tuple[str, dict[str, Any], tuple[str, ...]]]:
    """Yield the cases that list and export have in common: name, parameters, rules."""
    yield "all of a source", {"source": "LA"}, ()
    yield "sources by commas", {"source": "LB,zeta"}, ()
    yield "sources repeated", {"source": ["LB", "zeta,Alpha"]}, ()
    yield "source of another case", {"source": "la"}, ()
    yield "source with a comma", {"source": "with,comma"}, ()
    yield "source beyond ASCII", {"source": "Ünï"}, ()
    yield "no such source", {"source": "nosuch"}, ()
    yield "empty source", {"source": "", "start": "2026-06-01T00:00:00Z"}, ("empty-parameter",)
    for severity in (*SEVERITIES, "WATCH", "Warning", "error"):
        yield f"severity {severity}", {"severity": severity, "source": "LA,old"}, _old(severity)
    yield "severity FOO", {"severity": "FOO", "source": "LA"}, ("bad-severity-parameter",)
    yield "severity warning_new", {"severity": "warning_new", "source": "LA"}, ("old-severity-parameter",)
    yield "severity empty", {"severity": "", "source": "LA"}, ("empty-parameter",)
    for text in (
        "event 1",
        "EVENT 1",
        "needle",
        "%",
        "100 %",
        "sure?",
        "e?ent 2%",
        "nosuch",
        "",
        "Größe",
        "two",
    ):
        yield f"q {text!r}", {"q": text, "source": "LA"}, ()
    for text in (
        "a.b",
        "(c)",
        "[d]",
        "{e}",
        "a+b",
        "a[.]b",
        "(",
        "back\\",
        "größe",
        "αβγ",
        "ev.nt",
        "a|b",
        "^event",
    ):
        may = ("text-is-text",) if text.isascii() else ("unicode-case",)
        yield f"q {text!r}", {"q": text, "source": "LA"}, may
    bounds = (
        *({"start": "2026-05-01T12:00:10Z"}, {"stop": "2026-05-01T12:00:10Z"}),
        {"start": "2026-05-01T12:00:10Z", "stop": "2026-05-01T12:00:30Z"},
        {"start": "2026-05-01T12:00:10Z", "stop": "2026-05-01T12:00:10Z"},
        {"start": "2026-05-01T12:00:30Z", "stop": "2026-05-01T12:00:10Z"},
        {"start": "2026-05-01T14:00:10+02:00", "stop": "2026-05-01T12:00:30.000Z"},
        {"start": "2026-05-01T12:00:00.123Z", "stop": "2026-05-01T12:00:00.124Z"},
    )
    for given in bounds:
        yield f"times {given}", {"source": [*_CLEAN, "times"], **given}, ()
    for time in ("yesterday", "2026-05-01", "2026-05-01T12:00:00", "5"):
        yield f"start {time}", {"start": time}, ()
    yield "start impossible", {"start": "2026-02-30T00:00:00Z", "source": "LA"}, ("impossible-time",)
    yield (
        "everything at once",
        {
            "source": "LA,LB",
            "severity": "watch",
            "q": "event",
            "filter": "seqNumber<5",
            "start": "2026-05-01T12:00:01Z",
            "stop": "2026-05-01T12:00:09Z",
        },
        (),
    )
    yield "unknown parameter", {"nosuch": "1", "source": "LA"}, ()


def listed() -> Iterator[Case]:
    """Yield pages of history, and the sources."""
    for name, query, may in _parameters():
        for order in ("asc", "desc"):
            yield _get(f"{name}, {order}", *may, order=order, **query)
    clean = ",".join(_CLEAN)
    some: Any
    for some in (None, "asc", "desc"):
        yield _get(f"order {some}", order=some, source=clean)
        for limit in (1, 2, 10, 1000):
            yield _get(
                f"limit {limit}, order {some}", "order-at-a-cut", order=some, limit=limit, source=clean
            )
    for order in ("ASC", "foo"):
        yield _get(f"order {order}", "bad-order", order=order, source="LA")
    yield _get("order empty", order="", source="LA")
    for limit in (0, -1):
        yield _get(f"limit {limit}", "limit-below-1", limit=limit, source="LA")
    for some in (1001, 2**40, "x", "1.5"):
        yield _get(f"limit {some}", limit=some, source="LA")
    for pos in (0, 1, 5, 1000):
        yield _get(f"pos {pos}", pos=pos, source="LA")
        yield _get(f"pos {pos} limit 3", pos=pos, limit=3, source="LA", order="asc")
    yield _get("pos negative", "their-500", pos=-1, source="LA")
    yield _get("pos x", pos="x", source="LA")
    for token in ("garbage", "AAAA"):
        yield _get(f"next {token}", "their-500", next=token, source="LA")
    yield _get("next empty", next="", source="LA")
    given: dict[str, Any]
    for order in ("asc", "desc"):
        for limit in (1, 4, 7, 50):
            yield _get(f"follow by {limit}, {order}", follow=True, limit=limit, order=order, source="LA")
            given = {"limit": limit, "order": order, "source": "S1,S2,S3,s1"}
            yield _get(f"follow equal times by {limit}, {order}", "paging", follow=True, **given)
    yield Case("list: bare plus", "GET", "/events?q=a+b&source=LA&stop=2026-06-15T00:00:00Z")
    yield Case("list: trailing slash", "GET", "/events/?source=LA")
    asked = "?source=LA&stop=2026-06-15T00:00:00Z"
    yield Case("list: escapes in the instance", "GET", f"/api/archive/%62ench/events{asked}")
    escaped = f"/api/archive/bench/%65vents{asked}"
    yield Case("list: escapes in the path", "GET", escaped, may=("escaped-path",))
    yield Case("list: unknown instance", "GET", "/api/archive/nosuch/events")
    yield Case("list: of all instances", "GET", "/api/archive/_global/events")
    posted: tuple[tuple[str, dict[str, Any]], ...] = (
        ("source", {"source": ["LA"], "limit": 5}),
        ("source with a comma", {"source": ["with,comma"], "order": "asc"}),
        ("sources not an array", {"source": "LA"}),
        (
            "all",
            {"source": ["LA"], "severity": "watch", "q": "event", "filter": "seqNumber<5", "order": "asc"},
        ),
        (
            "times",
            {"start": "2026-05-01T12:00:10Z", "stop": "2026-05-01T12:00:30Z", "source": ["LA", "LB"]},
        ),
        ("unknown field", {"nosuch": 1}),
        ("bad time", {"start": "x"}),
        ("limit too large", {"limit": 1001}),
        ("limit as text", {"limit": "5", "source": ["LA"]}),
        ("instance", {"instance": "other", "source": ["LA"]}),
        (
            "null",
            {"source": None, "severity": None, "stop": SECOND.format(50), "start": SECOND.format(40)},
        ),
    )
    for name, body in posted:
        yield Case(f"events:list: {name}", "POST", "/events:list", json.dumps(body).encode())
    yield Case("sources", "GET", "/events/sources", may=("accepted-events",))
    yield from _indexed()
    yield Case("sources: unknown instance", "GET", "/api/archive/nosuch/events/sources")


def _indexed() -> Iterator[Case]:
    for name, query in (
        ("one source", {"source": "LA"}),
        ("sources", {"source": ["LA", "S1"]}),
        ("mergeTime", {"source": "LA", "mergeTime": 10_000}),
        ("far apart", {"source": "old", "mergeTime": 1}),
        ("no match", {"source": "nosuch"}),
    ):
        yield _get(name, "index-grain", path="/event-index", **query)
    yield _get("bad time", path="/event-index", start="x")
    yield _get("bad mergeTime", path="/event-index", mergeTime="x")
    yield Case("/event-index: unknown instance", "GET", "/api/archive/nosuch/event-index")


_FILTERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    *(
        (text, ())
        for text in ("", "  ", "-- comment", "event", '"event 1"', "EVENT", "nosuch", "-event", "NOT event")
    ),
    *(
        (text, ())
        for text in ("T2", "la", "event AND needle", "needle OR 1", "needle event", "a OR b c OR d")
    ),
    *(
        (text, ())
        for text in ("NOT a OR event", "(needle OR 1) event", "NOT (needle OR 1)", "ANDROID", "and", "or")
    ),
    *(
        (text, ())
        for text in ("source=la", "SOURCE=LA", "source!=LA", "source:L", "source<M", "source<=la", "source>M")
    ),
    *(
        (text, ())
        for text in ("source>=LB", 'source=~"^L[AB]$"', 'source!~"^L"', 'source=~"(?i)^l"', "source=~LA")
    ),
    *(
        (text, ())
        for text in ('"source"=LA', 'source="with,comma"', "type=null", "type!=null", 'type=""', "type=T2")
    ),
    *(
        (text, ())
        for text in ("type<T2", "type>T2", "type:T", "type!=T2", 'type=~"T."', 'type!~"T."', "type=NULL")
    ),
    *(
        (text, ())
        for text in ("message=needle", 'message="needle wheel 3"', "message:wheel", 'message=~"[0-9]+$"')
    ),
    *(
        (text, ())
        for text in ('message=~"a\\.b"', "seqNumber=1", "seqnumber=1.0", "seqNumber=1e1", "seqNumber!=1")
    ),
    *((text, ()) for text in ("seqNumber<2", "seqNumber>=20 seqNumber<30", 'seqNumber="-5"', "seqNumber:1")),
    *(
        (text, ())
        for text in ("severity=watch", "severity!=watch", "severity=WATCH", "severity:info", "severity=~info")
    ),
    *(
        (text, ())
        for text in ("severity!~info", "source = LA", "source\t=\nLA", "a--b", "-source=LA", "NOT source=LA")
    ),
    *(
        (f"severity{operator}{severity}", ("severity-in-filters",))
        for severity in SEVERITIES
        for operator in ("<", "<=", ">", ">=")
    ),
    *((text, ("severity-in-filters",)) for text in ("severity=error", "severity=severe", "severity>=error")),
    *(
        (text, ("filter-forms",))
        for text in ("( event )", "-(event)", "- event", "NOT NOT event", "((event))")
    ),
    *((text, ("filter-forms",)) for text in ("event  AND  1", "( event -- c\n)", "--c\nevent")),
    *((text, ("filter-fields",)) for text in ('generationTime>"2026-05-01T12:00:10Z"', "createdBy=null")),
    *((text, ("filter-fields",)) for text in ('receptionTime>"2026-05-01T12:00:10Z"', "extra.unit=V")),
    *((text, ("filter-numbers",)) for text in ("seqNumber=abc", "seqNumber<x", "seqNumber=null")),
    *((text, ("unicode-case",)) for text in ('"größe"', '"GRÖSSE"', '"αβγ"', 'type="äö"', 'source="ÜNÏ"')),
    *(
        (text, ("regular-expressions",))
        for text in ('message=~"(?=e)event"', 'message=~"(e)\\1"', 'message=~"e++"')
    ),
    *(
        (text, ())
        for text in ('message=~"("', "foo=1", "severity=foo", "a OR OR b", "AND", "a AND", "(a", "a)", "=")
    ),
    *(
        (text, ())
        for text in ("source=", "source==LA", '"open', "a/b", "a,b", "é", "source=LA=LB", "source><LA", "()")
    ),
    *(
        (text, ())
        for text in ("a\nb\nfoo=1", "  a OR\n OR", "severity=", "NOT", "-", "%", "source!LA", "a & b")
    ),
)


def filtered() -> Iterator[Case]:
    """Yield filters of the whole language, and texts that are no filters."""
    sources = ["LA", "LB", "zeta", "types", "old", "with,comma"]
    for text, may in _FILTERS:
        body = {"filter": text, "source": sources, "order": "asc", "limit": 1000}
        yield Case(f"filter: {text!r}", "POST", "/events:list", json.dumps(body).encode(), may=may)


def streamed() -> Iterator[Case]:
    """Yield streams and exports."""
    path = "/api/stream-archive/{}:streamEvents"
    for name, query, may in _parameters():
        given = {"stop": "2026-06-15T00:00:00Z", **query}
        if "nosuch" in given or name == "sources by commas":
            continue
        sources = given.get("source")
        if isinstance(sources, str):
            given["source"] = [part for part in sources.split(",") if part]
        elif sources:
            given["source"] = [part for whole in sources for part in whole.split(",")]
        content = json.dumps(given).encode()
        yield Case(f"stream: {name}", "POST", path.format("bench"), content, may=may)
        yield _get(name, *may, path=":exportEvents", **query)
    for name, content in (
        ("before 1970", b'{"stop": "1969-12-31T23:59:59.999Z"}'),
        ("unknown field", b'{"nosuch": 1}'),
    ):
        yield Case(f"stream: {name}", "POST", path.format("bench"), content, may=())
    yield Case("stream: bad filter", "POST", path.format("bench"), b'{"filter": "foo=1"}')
    yield Case("stream: GET", "GET", path.format("bench"))
    yield Case("stream: unknown instance", "POST", path.format("nosuch"), b"{}")
    yield Case("stream: of the archive", "POST", ":streamEvents", b"{}")
    for delimiter in ("TAB", "COMMA", "SEMICOLON", "tab", "X", ""):
        may = ("empty-parameter",) if delimiter == "" else ()
        yield _get(
            f"delimiter {delimiter}", *may, path=":exportEvents", delimiter=delimiter, source=["LA", "types"]
        )
    yield Case("export: unknown instance", "GET", "/api/archive/nosuch:exportEvents")
    yield Case("export: accept", "GET", ":exportEvents?source=LA", headers={"Accept": "application/json"})
    yield Case("export: POST", "POST", ":exportEvents", b"{}")
