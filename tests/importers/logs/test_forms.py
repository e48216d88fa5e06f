"""Each kind of log: what becomes of its records, and why some are rejected."""

from __future__ import annotations

import pytest

from tests.importers.logs.samples import LOGS, PATTERN, field, one, read
from yamcs_archive import Severity
from yamcs_archive.importers.logs import severities
from yamcs_archive.times import format_rfc3339

EVENTS_AND_REJECTS = {
    "syslog": (5, ["line 6", "line 7"]),
    "journald": (2, ["entry 3", "entry 4"]),
    "fprime": (4, ["line 6"]),
    "cosmos": (3, ["line 4", "line 5"]),
    "yamcs-csv": (2, ["line 5", "line 6", "line 7"]),
    "lines": (4, ["line 7", "line 8"]),
    "mapped": (3, ["line 3", "line 4", "line 6", "line 7"]),
}


@pytest.mark.parametrize("form", LOGS)
def test_good_records_are_events_and_bad_ones_are_rejected_at_their_place(form: str) -> None:
    data, options = LOGS[form]
    events, rejected = read(form, data, **options)
    assert (len(events), [place for place, _ in rejected]) == EVENTS_AND_REJECTS[form]
    assert all(event.seq_number is not None and event.seq_number < 0 for event in events)


@pytest.mark.parametrize("form", LOGS)
def test_an_empty_log_has_neither(form: str) -> None:
    for data in (b"", b"\n\n", b"\xef\xbb\xbf", b" \r\n\0\0\n"):
        assert read(form, data, **LOGS[form][1])[0] == []


def test_rfc_5424() -> None:
    events, _ = read("syslog", LOGS["syslog"][0], year=2025)
    first = events[0]
    assert (first.source, first.type, first.message) == ("myproc", "ID47", "It's time")
    assert format_rfc3339(first.generation_time or 0) == "2003-08-24T12:14:15.000003Z"
    assert first.severity is Severity.WATCH
    assert first.extra == {
        "facility": "local4", "severity": "notice", "host": "192.0.2.1", "pid": "8710",
        "a@1.x": '1"]', "a@1.y": "", "b.z": "é",
    }  # fmt: skip


def test_rfc_3164_and_files() -> None:
    _, old, new, repeated, cut = read("syslog", LOGS["syslog"][0], year=2025)[0]
    assert (old.source, old.extra["host"], old.extra["pid"]) == ("su", "mymachine", "77")
    assert (old.severity, old.message) == (Severity.CRITICAL, "'su root' failed")
    assert format_rfc3339(old.generation_time or 0) == "2025-10-11T22:14:15Z"
    assert (new.source, new.message, new.severity) == ("kernel", "[    0.0] Linux", Severity.INFO)
    assert format_rfc3339(new.generation_time or 0) == "2026-11-30T16:00:00.123456Z"
    assert (repeated.source, repeated.message) == ("gs1", "last message repeated 2 times")
    assert (cut.source, cut.message) == ("gs1", "cut")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("<192>1 2003-10-11T22:14:15Z a b c d -", "priority 192"),
        ("<1>1 - a b c d -", "has no time"),
        ("<1>1 2003-10-11T22:14:15Z a b c d [x", "structured data cannot be read"),
        ('<1>1 2003-10-11T22:14:15Z a b c d [x y="\\"]', "structured data cannot be read"),
        ('<1>1 2003-10-11T22:14:15Z a b c d [x y="1"]z', "followed by 'z'"),
        ("<1>1 2003-10-11T24:14:15Z a b c d - m", "no 24:14:15"),
        ("Foo 12 00:00:00 host a: b", "no month Foo"),
        ("Feb 29 00:00:00 host a: b", "no 2025-02-29"),
        ("Oct 11 22:14:61 host a: b", "no 22:14:61"),
        ("hello", "not a line of syslog"),
        ("2025-06-24 14:36:25 status installed libc6:amd64", "not a line of syslog"),  # of dpkg.log
        ("<999999>Oct 11 22:14:15 h a: b", "not a line of syslog"),
    ],
)
def test_bad_lines_of_syslog_say_why(line: str, reason: str) -> None:
    good = b"2026-01-01T00:00:00Z host a: b\n"
    events, rejected = read("syslog", good + line.encode(), year=2025)
    assert len(events) == 1
    assert reason in rejected[0][1]


def test_every_severity_of_syslog_has_one_of_ours() -> None:
    for number, name in enumerate(severities.SYSLOG_NAMES):
        event = one("syslog", f"<{number}>1 2026-01-01T00:00:00Z - a - - -")
        assert (event.severity, event.extra["severity"]) == (severities.SYSLOG[number], name)


def test_entries_of_journald() -> None:
    first, second = read("journald", LOGS["journald"][0])[0]
    assert (first.generation_time, first.reception_time, first.source) == (5, 5, "su")
    assert first.severity is Severity.WARNING
    assert first.extra == {"__CURSOR": "c1", "PRIORITY": "4", "_PID": "7", "TAG": '["a","b"]'}
    assert second.message == "two\n\nlines=1\n"
    assert second.extra["RAW"] == "\\xff\n\n"


def test_json_and_export_of_one_entry_are_one_event() -> None:
    export = (
        b"__CURSOR=c\n__REALTIME_TIMESTAMP=9\n_SOURCE_REALTIME_TIMESTAMP=7\n_COMM=x\nT=1\nT=2\n__SEQNUM=3\n"
    )
    export += field("MESSAGE", b"a\xc3\xa9\n") + field("B", b"\xff") + b"MESSAGE_ID=5\n"
    lines = (
        '{"B":[255],"MESSAGE":[97,195,169,10],"__CURSOR":"c","T":["1","2"],"_SOURCE_REALTIME_TIMESTAMP":"7",'
        '"__REALTIME_TIMESTAMP":"9","_COMM":"x","MESSAGE_ID":"5"}'
    )
    (event,), rejected = read("journald", export)
    assert rejected == []
    assert event == one("journald", lines) == one("journald", "\x1e" + lines)
    assert (event.generation_time, event.reception_time, event.type, event.source) == (7, 9, "5", "x")
    assert event.message == "aé\n"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"MESSAGE":null,"__REALTIME_TIMESTAMP":"1"}', "--all"),
        ('{"MESSAGE":"a"}', "has no __REALTIME_TIMESTAMP"),
        ('{"MESSAGE":"a","__REALTIME_TIMESTAMP":"x"}', "not a number of microseconds"),
        ('{"MESSAGE":"a","__REALTIME_TIMESTAMP":"9999999999999999999"}', "years 0001 to 9999"),
        ('{"MESSAGE":[255],"__REALTIME_TIMESTAMP":"1"}', "not UTF-8 at byte 1"),
        ("[" * 5000, "not an object|nested|not JSON"),
        ('{"MESSAGE":"' + "a" * (1 << 20) + 'a","__REALTIME_TIMESTAMP":"1"}', "at most 1048576 bytes"),
        ('{"MESSAGE":"a","X":"' + "a" * (256 << 10) + '","__REALTIME_TIMESTAMP":"1"}', "262144 bytes"),
    ],
)
def test_bad_entries_say_why(line: str, reason: str) -> None:
    good = '{"MESSAGE":"a","__REALTIME_TIMESTAMP":"1"}\n'
    events, rejected = read("journald", (good + line).encode())
    assert len(events) == 1
    assert any(each in rejected[0][1] for each in reason.split("|"))


def test_a_message_that_is_not_utf_8_is_kept_on_request() -> None:
    entry = b"__REALTIME_TIMESTAMP=1\n" + field("MESSAGE", b"caf\xe9")
    (event,), _ = read("journald", entry, keep_invalid_utf8=True)
    assert (event.message, event.extra) == ("caf\ufffd", {"rawBase64": "Y2Fm6Q=="})
    data, options = LOGS["lines"]
    events, rejected = read("lines", data, **options, keep_invalid_utf8=True)
    assert [place for place, _ in rejected] == ["line 7"]
    assert events[-2].extra["rawBase64"].startswith("MjAyNi")


def test_events_of_fprime() -> None:
    first, second, third, fourth = read("fprime", LOGS["fprime"][0])[0]
    assert (first.source, first.type, first.message) == ("Ref.cmdDisp", "NoOp", "a, b")
    assert (first.generation_time, first.severity) == (1774290001005000, Severity.INFO)
    assert first.extra == {"severity": "COMMAND", "id": "1280", "time_base": "2(0)"}
    assert (second.source, second.severity, second.message) == ("App.link", Severity.DISTRESS, "up")
    assert (third.source, third.type, third.severity) == ("cmdDisp", "Bad", Severity.SEVERE)
    assert third.generation_time == 1551813034112114
    assert (fourth.generation_time, fourth.extra["time_base"]) == (12000034, "TB_NONE(0)")


def test_all_forms_of_one_event_of_fprime_have_one_key() -> None:
    name, raw, severity = "Ref.sendBuff.FirstPacket", "(2(0)-1774290001:5000)", "EventSeverity.ACTIVITY_HI"
    shown = "2026-03-23T20:00:01.005000"
    assert {
        (event.generation_time, event.source, event.type, event.message, event.severity)
        for event in (
            one("fprime", f"{shown},{raw},{name},9,{severity},Text", timezone="+01:40"),
            one("fprime", f"{shown},{name},{severity},Text", timezone="+01:40"),
            one("fprime", f"{shown}: {name} (9) {raw} {severity} : Text"),
            one("fprime", f"{shown}: {name} {severity} : Text", timezone="+01:40"),
            one(
                "fprime",
                f'{{"time":"{shown}","raw_time":"{raw}","name":"{name}","id":9,"severity":"{severity}",'
                '"args":[1],"display_text":"Text"}',
            ),
        )
    } == {(1774290001005000, "Ref.sendBuff", "FirstPacket", "Text", Severity.INFO)}


def test_every_severity_of_fprime_has_one_of_ours_and_others_are_refused() -> None:
    for name, severity in severities.FPRIME.items():
        assert one("fprime", f"2026-01-01T00:00:00: a.b {name} : x").severity is severity
    _, rejected = read(
        "fprime", b"2026-01-01T00:00:00: a.b FATAL : x\n2026-01-01T00:00:00: a.b AWFUL : x\n{}"
    )
    assert [reason for _, reason in rejected] == ["its severity 'AWFUL' is none of F Prime's", "has no time"]


def test_lines_of_cosmos() -> None:
    first, second, third = read("cosmos", LOGS["cosmos"][0])[0]
    assert (first.source, first.severity) == ("DEFAULT__DECOM__INST", Severity.WARNING)
    assert (first.generation_time, first.extra) == (
        1700000000123456,
        {"level": "WARN", "time": "1700000000123456789"},
    )
    assert (second.source, second.message) == ("COSMOS", "Connecting to INST_INT...")
    assert format_rfc3339(second.generation_time or 0) == "2015-01-23T13:45:12.345Z"
    assert (third.message, third.extra) == ("old", {"severity": "INFO", "x": "NaN"})
    detailed = one("cosmos", "2015/01/23 13:45:12.345 (INST): ERROR: lost")
    assert (detailed.extra, detailed.message) == ({"level": "ERROR", "detail": "INST"}, "lost")


@pytest.mark.parametrize(
    ("form", "good", "bad", "reason"),
    [
        ("fprime", "2026-01-01T00:00:00: a.b FATAL : x", "1,(2(0)-{}:5),a.b,1,FATAL,x", "is not an event"),
        (
            "fprime",
            "2026-01-01T00:00:00: a.b FATAL : x",
            "TB: {}.000001s, context=0: a.b FATAL : x",
            "is not",
        ),
        ("cosmos", '5\t{"message":"a"}', '{}\t{{"message":"a"}}', "is not a line"),
        ("cosmos", '5\t{"message":"a"}', '{{"message":"a","time":{}}}', "its time|is not JSON"),
        ("cosmos", '5\t{"message":"a"}', '{{"message":"a","time":"{}"}}', "its time"),
        ("cosmos", '5\t{"message":"a"}', '{{"message":"a","time":-{}}}', "its time|is not JSON"),
        (
            "yamcs-csv",
            "Source,Generation Time,Event Text,Sequence Number",
            "A,1970-01-01T00:00:01Z,a,{}",
            "its num",
        ),
        ("syslog", "2026-01-01T00:00:00Z h a: b", "<{}>2026-01-01T00:00:00Z h a: b", "is not a line"),
    ],
)
def test_numbers_of_many_digits_are_refused(form: str, good: str, bad: str, reason: str) -> None:
    for digits in (25, 5000):
        rows = [good, bad.format("1" * digits)]
        if form == "yamcs-csv":
            rows.insert(1, "A,1970-01-01T00:00:01Z,a,1")
        events, rejected = read(form, "\n".join(rows).encode())
        assert len(events) == 1
        assert any(each in rejected[0][1] for each in reason.split("|"))


def test_rows_of_a_yamcs_export() -> None:
    first, second = read("yamcs-csv", LOGS["yamcs-csv"][0])[0]
    assert (first.source, first.type, first.message) == ("A", None, 'two\r\n"lines", and\ta tab')
    assert (first.generation_time, first.reception_time) == (1_000_000, 2_000_000)
    assert (second.type, second.message) == ("T", "10%\r20%")
    for delimiter in ",;\t":
        heading = delimiter.join(
            ["Event Text", "Severity", "Source", "Sequence Number", "Generation Time", "X"]
        )
        row = delimiter.join(["a", "WATCH", "S", "5", "1970-01-01T00:00:01Z", "more"])
        event = one("yamcs-csv", f"{heading}\n{row}\n")
        assert (event.key, event.severity, event.extra) == (
            (1_000_000, "S", 5),
            Severity.WATCH,
            {"X": "more"},
        )


def test_an_export_whose_rows_end_like_those_of_windows_keeps_the_ends_within_fields() -> None:
    heading = "Source,Generation Time,Reception Time,Event Type,Event Text\r\n"
    event = one("yamcs-csv", f'{heading}A,1970-01-01T00:00:01Z,,,"two\r\nlines"\r\n\r\n')
    assert event.message == "two\r\nlines"
    assert one("yamcs-csv", f'{heading}A,1970-01-01T00:00:01Z,,,"one"\r\n').message == "one"


def test_a_source_with_half_a_surrogate_pair_is_refused() -> None:
    lines = [f'{{"m":"a","t":1767225600,"s":"{text}"}}' for text in ("ok", "\\ud800", "\\ud800" * 300)]
    mapping = ("message=.m", "time=.t", "source=.s")
    events, rejected = read("mapped", "\n".join(lines).encode(), mapping=mapping)
    assert (len(events), [place for place, _ in rejected]) == (1, ["line 2", "line 3"])
    assert all("lone surrogate" in reason for _, reason in rejected)


def test_a_yamcs_export_without_its_heading_is_refused_as_a_whole() -> None:
    with pytest.raises(ValueError, match="is no heading of a Yamcs export"):
        read("yamcs-csv", b"A,1970-01-01T00:00:01Z,,T,a\n" * 3)


def test_lines_by_a_pattern() -> None:
    data, options = LOGS["lines"]
    first, off, again, last = read("lines", data, **options)[0]
    assert (first.source, first.severity) == ("EPS", Severity.WARNING)
    assert (first.message, first.extra) == ("low\n  at line 7\n\tat line 8", {"severity": "warn"})
    assert off.generation_time == again.generation_time
    assert off.seq_number != again.seq_number
    assert last.message == "last"
    _, rejected = read("lines", data, pattern=PATTERN)
    assert [place for place, _ in rejected] == ["line 2", "line 3", "line 7", "line 8"]


def test_groups_that_are_no_fields_are_extra_and_those_that_are_not_there_are_nothing() -> None:
    event = one(
        "lines", "5 12 x", pattern=r"(?P<time>\d+) (?P<number>\d+)(?P<a> y)?(?P<b> x)", time_format="unix"
    )
    assert (event.key, event.message, event.extra) == ((5_000_000, "app", 12), "5 12 x", {"b": " x"})
    named = one("lines", "5", pattern="(?P<time>5)", time_format="unix", source="EPS")
    assert named.source == "EPS"


def test_words_for_severities_that_the_user_explains_come_first() -> None:
    words = {"ool": Severity.WARNING, "error": Severity.INFO}
    lines = ["2026-01-01 00:00:00 [OOL] a: b", "2026-01-01 00:00:00 [ERROR] a: b"]
    assert [one("lines", line, pattern=PATTERN, severities=words).severity for line in lines] == [
        Severity.WARNING,
        Severity.INFO,
    ]


def test_objects_by_a_mapping() -> None:
    data, options = LOGS["mapped"]
    first, second, third = read("mapped", data, **options)[0]
    assert (first.message, first.source, first.severity) == ("a", "EPS", Severity.DISTRESS)
    assert first.extra == {"level": "error", "app": '{"name":"EPS"}', "pid": "5", "tags": '["x"]'}
    assert (second.source, second.generation_time) == ("app", 1767225600123000)
    assert (third.generation_time, third.severity) == (1767225600000000 - 7200 * 10**6, Severity.INFO)


def test_a_severity_that_is_no_word_of_ours_is_refused_with_advice() -> None:
    data = b'{"m":"a","t":1767225600,"level":30}\n{"m":"a","t":1767225600}'
    _, rejected = read("mapped", data, mapping=("message=.m", "time=.t", "severity=.level"))
    assert rejected == [("line 1", "its severity '30' is not known: say what it is with --severity 30=INFO")]


@pytest.mark.parametrize(
    ("mapping", "reason"),
    [
        (("message=.m",), "where the time is"),
        (("time=.t",), "where the message is"),
        (("message=.m", "time=.t", "message=.x"), "given twice"),
        (("text=.m", "time=.t"), "must be FIELD=.path"),
        (("message", "time=.t"), "must be FIELD=.path"),
        (("message=.", "time=.t"), "no path at '.'"),
        (("message=.a[x]", "time=.t"), "no path at '[x]'"),
    ],
)
def test_a_mapping_that_is_none_says_why(mapping: tuple[str, ...], reason: str) -> None:
    with pytest.raises(ValueError, match="map") as caught:
        read("mapped", b"{}", mapping=mapping)
    assert reason in str(caught.value)


def test_paths_of_a_mapping() -> None:
    line = '{"a b":{"c":[0,{"d":"deep"}]},"t":1767225600,"x":null,"extra":"mine"}'
    mapping = ('message=."a b".c[1].d', "time=.t", "source=EPS", "extra.n=.extra", "type=.x", "extra.k=fixed")
    event = one("mapped", line, mapping=mapping)
    assert (event.message, event.source, event.type) == ("deep", "EPS", None)
    assert event.extra == {"a b": '{"c":[0,{"d":"deep"}]}', "n": "mine", "k": "fixed"}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "is no regular expression"),
        ("(?P<message>.*)", "must have a group of the name time"),
        (None, "must be"),
    ],
)
def test_a_pattern_that_is_none_says_why(pattern: str | None, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        read("lines", b"a", pattern=pattern)


def test_a_source_that_is_too_long_is_cut_and_kept_whole_in_extra() -> None:
    event, same, other = (
        one("lines", f"5 {source}", pattern=r"(?P<time>\d) (?P<source>.*)", time_format="unix")
        for source in ("é" * 200, "é" * 200, "é" * 201)
    )
    assert len(event.source.encode()) <= 255
    assert event.source == same.source != other.source
    assert event.extra == {"source": "é" * 200}
    fits = one("lines", "5 " + "x" * 255, pattern=r"(?P<time>\d) (?P<source>.*)", time_format="unix")
    assert (fits.source, fits.extra) == ("x" * 255, {})
