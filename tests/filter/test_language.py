"""The language, case by case: valid filters and the events they find; bad ones and where the error is."""

import pickle

import msgspec
import pytest

from yamcs_archive import ArchiveError, Event, Filter, FilterError, Severity
from yamcs_archive.limits import FILTER_CHARACTERS_MAX, FILTER_DEPTH_MAX, FILTER_TERMS_MAX

EVENTS = [
    Event("Wheel 3 over speed", source="AOCS", type="FDIR", severity=Severity.WARNING, seq_number=15),
    Event("list 3 Text", source="LA", severity=Severity.INFO, seq_number=3),
    Event("", source="User", type="", severity=Severity.WATCH, seq_number=-1),
    Event("NULL", source="null", type="null", severity=Severity.SEVERE, seq_number=0),
    Event("Éclair ß\nline two", source="gnc", type='Ty"pe', severity=Severity.DISTRESS, seq_number=7),
    Event("a--b a.b-c", source="LB", type="TY", severity=Severity.CRITICAL, seq_number=8),
    Event("hello wombat", source="la", type="x", severity=Severity.ERROR, seq_number=2**31 - 1),
]

# The answer of each filter for the seven events. It is that of a real Yamcs server, unless a comment says
# that it differs by design.
TAKEN = {
    "": "1111111",
    " \t\r\n": "1111111",
    "--c": "1111111",
    "-- c\n": "1111111",
    "---a\nb": "0000011",
    "a --c\nb": "0000011",
    "a--b": "0000010",
    "-a-- b": "0000001",
    "a b": "0000011",
    "a\tb": "0000011",
    "a\rb": "0000011",
    "-- a\r-- b\rLA": "0100101",
    "a AND b": "0000011",
    "a and b": "0000000",
    "a ANDb": "0000000",
    "a OR b": "1100111",
    "a AND b OR c": "1000111",
    "a OR b c OR d": "1000110",
    "a AND b OR c AND d": "1000000",
    "(a AND b) OR (c AND d)": "1000011",
    "a OR (b c)": "1100111",
    "NOT a": "0011000",
    "NOT(a)": "0011000",
    "NOT\na": "0011000",
    "NOTa": "0000000",
    "-a": "0011000",
    "a OR -b": "1111111",
    "NOT LA OR la": "1111111",
    "NOT a b": "0000000",
    "NOT (a b)": "1111100",
    "((a) )": "1100111",
    "(-- c\na)": "1100111",
    '"a" "b"': "0000011",
    '"\\""': "0000100",
    '"é"': "0000100",
    "null": "0001000",
    "source=LA": "0100001",
    "source\n=\nLA": "0100001",
    "source= -- c\nLA": "0100001",
    '"source"=LA': "0100001",
    "SOURCE=la": "0100001",
    "-source = LA": "1011110",
    "source=ORx": "0000000",
    'message:"a.b"': "0000010",
    "message=~a": "0000111",
    'message=~"\\d"': "1100000",
    'message=~"\\\\d"': "1100000",
    'message=~"\\n"': "0000100",
    'message:"\\n"': "0000000",
    'source=~"^L.$"': "0100010",
    "source=~l": "0001001",
    'source=~"(?i)l"': "0101011",
    'message=""': "0010000",
    "type=null": "0101000",
    'type="NULL"': "0101000",
    "type!=null": "1010111",
    "type<a": "0110000",
    "type<=null": "1111000",
    "type>a": "1001111",
    "type>=null": "0001111",
    "type:null": "0001000",
    'type:""': "1011111",
    "type=~null": "0001000",
    "type!~null": "1110111",
    "type!=a": "1111111",
    "source<LB": "1100101",
    "severity=info": "0100000",
    "severity:Info": "0100000",
    "severity=~INFO": "0100000",
    "severity!~info": "1011111",
    "severity=null": "0000000",
    "severity!=null": "1111111",
    "severity>=null": "1111111",
    "severity<=null": "0000000",
    "seqNumber=3": "0100000",
    "seqNumber:3.0": "0100000",
    "seqNumber!~3": "1011111",
    "seqNumber>7": "1000011",
    'seqNumber="-1"': "0010000",
    'seqNumber=" +3d "': "0100000",
    'seqNumber="0x1p3"': "0000010",
    "seqNumber<1e400": "1111111",
    "seqNumber>null": "1111111",
    "seqNumber<=null": "0000000",
    # Accepted here and refused there:
    "( a)": "1100111",
    "NOT ( a )": "0011000",
    "NOT NOT a": "1100111",
    "-(a OR b)": "0011000",
    "(a) --c\n (b)": "0000011",
    'message:"\U0001f680"': "0000000",
    # Severities in their documented order, ERROR with SEVERE:
    "severity>warning": "0001111",
    "severity<=watch": "0110000",
    "severity=error": "0001001",
    "severity=severe": "0001001",
    "severity=WARNING_NEW": "1000000",
    # Letter case is Unicode's:
    "message:SS": "0000100",
    'message:"ÉCLAIR SS"': "0000100",
    'message=~"(?i)éCLAIR"': "0000100",
}

# For each filter: line and column of the fault, and the characters that a Yamcs server marks.
REFUSED = {
    "(": ((1, 2), (1, 1, 1, 1)),
    "()": ((1, 2), (1, 1, 1, 1)),
    "(a": ((1, 3), (1, 2, 1, 2)),
    "a)": ((1, 2), (1, 1, 1, 1)),
    "a AND": ((1, 6), (1, 3, 1, 5)),
    "a AND AND b": ((1, 7), (1, 6, 1, 6)),
    "a OR OR b": ((1, 6), (1, 5, 1, 5)),
    "a OR(b)": ((1, 5), (1, 3, 1, 4)),
    "(a)(b)": ((1, 4), (1, 3, 1, 3)),
    "(a)OR b": ((1, 4), (1, 3, 1, 3)),
    'a"b"': ((1, 2), (1, 1, 1, 1)),
    "NOT": ((1, 4), (1, 1, 1, 3)),
    "NOT -a": ((1, 5), (1, 4, 1, 4)),
    "-NOT a": ((1, 2), (1, 1, 1, 1)),
    "- a": ((1, 2), (1, 1, 1, 1)),
    "a - b": ((1, 4), (1, 3, 1, 3)),
    "source=": ((1, 8), (1, 1, 1, 6)),
    "source =": ((1, 9), (1, 8, 1, 8)),
    "source= ": ((1, 9), (1, 8, 1, 8)),
    "source= )": ((1, 9), (1, 8, 1, 8)),
    "source=-a": ((1, 8), (1, 1, 1, 6)),
    "source=OR": ((1, 8), (1, 1, 1, 6)),
    "source==LA": ((1, 8), (1, 1, 1, 6)),
    "source=LA=LB": ((1, 10), (1, 8, 1, 9)),
    "seqNumber=-1": ((1, 11), (1, 1, 1, 9)),
    ".a": ((1, 1), (1, 1, 1, 1)),
    "a/b": ((1, 2), (1, 2, 1, 2)),
    "a/": ((1, 2), (1, 3, 1, 3)),
    "a\x00b": ((1, 2), (1, 2, 1, 2)),
    "é a": ((1, 1), (1, 1, 1, 1)),
    "source!LA": ((1, 7), (1, 8, 1, 8)),
    '"abc': ((1, 1), (1, 5, 1, 5)),
    '"a\n': ((1, 1), (2, 0, 2, 0)),
    'message=~"["': ((1, 10), (1, 10, 1, 12)),
    "a\n\n  ) b": ((3, 3), (1, 2, 3, 2)),
    "a\t)": ((1, 9), (1, 8, 1, 8)),
    "(a b\nOR)": ((2, 3), (2, 1, 2, 2)),
    "a\r\né b": ((2, 1), (2, 1, 2, 1)),
    # A Yamcs server marks nothing here; this archive marks the fault.
    ")": ((1, 1), (1, 1, 1, 1)),
    "OR a": ((1, 1), (1, 1, 1, 2)),
    "=a": ((1, 1), (1, 1, 1, 1)),
}
WRONG = {
    "foo=1": ("Field not found 'foo'", (1, 1, 1, 3)),
    '"Foo"=1': ("Field not found 'foo'", (1, 1, 1, 5)),
    "foo=1 é )": ("Field not found 'foo'", (1, 1, 1, 3)),
    "extra.=1": ("Field not found 'extra.'", (1, 1, 1, 6)),
    "a\n\n  foo=1 b": ("Field not found 'foo'", (3, 3, 3, 5)),
    "x\r foo=1": ("Field not found 'foo'", (2, 2, 2, 4)),
    "\tfoo=1": ("Field not found 'foo'", (1, 9, 1, 11)),
    'message="x\ny" foo=1': ("Field not found 'foo'", (2, 4, 2, 6)),
    "severity=Foo": ("Value 'Foo' is of incorrect type", (1, 10, 1, 12)),
    "severity=~inf": ("Value 'inf' is of incorrect type", (1, 11, 1, 13)),
    'severity=\n  "bo\ngus"': ("Value 'bo\ngus' is of incorrect type", (2, 3, 3, 4)),
    "seqNumber=abc": ("Value 'abc' is of incorrect type", (1, 11, 1, 13)),
    "seqNumber=0x10": ("Value '0x10' is of incorrect type", (1, 11, 1, 14)),
    'seqNumber="0x1p99999"': ("Value '0x1p99999' is of incorrect type", (1, 11, 1, 21)),
    "seqNumber=NaN": ("Value 'NaN' is of incorrect type", (1, 11, 1, 13)),
    'seqNumber="٣"': ("Value '٣' is of incorrect type", (1, 11, 1, 13)),
    'seqNumber=""': ("Value '' is of incorrect type", (1, 11, 1, 12)),
    "generationTime=1": ("Value '1' is of incorrect type", (1, 16, 1, 16)),
    'receptionTime>"2026-01-01"': ("Value '2026-01-01' is of incorrect type", (1, 15, 1, 26)),
    'generationTime>"2026-01-01T00:00:00"': (
        "Value '2026-01-01T00:00:00' is of incorrect type",
        (1, 16, 1, 36),
    ),
}


@pytest.mark.parametrize(("text", "answers"), TAKEN.items())
def test_a_filter_finds_the_expected_events(text: str, answers: str) -> None:
    assert "".join(str(int(Filter(text).matches(event))) for event in EVENTS) == answers


@pytest.mark.parametrize(("text", "place", "span"), [(text, *where) for text, where in REFUSED.items()])
def test_a_syntax_error_says_where_it_is(
    text: str, place: tuple[int, int], span: tuple[int, int, int, int]
) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(text)
    error = caught.value
    assert error.problem == "Syntax error in filter"
    assert ((error.line, error.column), error.span) == (place, span)


@pytest.mark.parametrize(("text", "problem", "span"), [(text, *what) for text, what in WRONG.items()])
def test_a_wrong_field_or_value_is_named_with_its_place(
    text: str, problem: str, span: tuple[int, int, int, int]
) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(text)
    assert (caught.value.problem, caught.value.span) == (problem, span)
    assert (caught.value.line, caught.value.column) == span[:2]


def test_the_error_is_the_callers_and_keeps_its_facts() -> None:
    with pytest.raises(ValueError, match="line 1, column 10: Value 'foo'") as caught:
        Filter("severity=foo")
    assert isinstance(caught.value, ArchiveError)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (str(copy), vars(copy)) == (str(caught.value), vars(caught.value))


def test_an_extra_key_is_taken_as_written_else_in_another_letter_case() -> None:
    event = Event("a", extra={"Mode": "safe", "mode": "null", "flight phase": "LEOP"})
    for text, wanted in {
        "extra.Mode=SAFE": True,
        "extra.mode=safe": False,
        "extra.MODE=safe": True,
        'EXTRA.MODE=~"^safe$"': True,
        'extra.mode="null"': True,
        "extra.none=null": True,
        "extra.none!=null": False,
        "extra.none<a": True,
        "extra.none:a": False,
        '"extra.flight phase"=leop': True,
        "LEOP": False,
    }.items():
        assert Filter(text).matches(event) is wanted, text


def test_times_and_users_are_fields() -> None:
    event = Event("a", generation_time=1_500_000, reception_time=2_000_000, created_by="Anna")
    for text, wanted in {
        'generationTime="1970-01-01T00:00:01.5Z"': True,
        'generationTime:"1970-01-01T01:00:01.5+01:00"': True,
        'generationtime<"1970-01-01T00:00:01.500001Z"': True,
        'receptionTime>"1970-01-01T00:00:02Z"': False,
        "receptionTime!=null": True,
        "createdBy=anna": True,
        "createdBy=null": False,
    }.items():
        assert Filter(text).matches(event) is wanted, text
        unset = Filter(text).matches(Event("a"))
        assert unset is (text in ('generationtime<"1970-01-01T00:00:01.500001Z"', "createdBy=null"))


def test_length_depth_and_number_of_terms_are_bounded() -> None:
    deep = "(" * FILTER_DEPTH_MAX + "a" + ")" * FILTER_DEPTH_MAX
    assert Filter(deep + " " + deep).matches(Event("A"))
    many = " OR ".join(["a"] * FILTER_TERMS_MAX)
    assert Filter(many).matches(Event("A"))
    assert Filter(" " * FILTER_CHARACTERS_MAX).matches(Event("A"))
    for text, column in {
        f"({deep})": FILTER_DEPTH_MAX + 1,
        f"{many} b": len(many) + 2,
        " " * 65_537: 1,
    }.items():
        with pytest.raises(FilterError, match="allowed") as caught:
            Filter(text)
        assert (caught.value.line, caught.value.column) == (1, column)


def test_every_shape_of_event_gets_an_answer() -> None:
    shapes = [
        Event(""),
        Event("\ud800\0", source="\udfff", type="", extra={"k": "\ud800"}, created_by="\ud800"),
        msgspec.structs.replace(EVENTS[0], seq_number=None, reception_time=2**63),
    ]
    for text in [*TAKEN, "extra.k:a", 'extra.k=~"."', 'createdBy!~"[a-z]"', 'message=~"(?s)^.$"']:
        one = Filter(text)
        assert all(isinstance(one.matches(event), bool) for event in shapes), text
