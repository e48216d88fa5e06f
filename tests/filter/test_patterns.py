"""Regular expressions: the matches of each Java construct, the constructs refused by name, and the bounds."""

import threading
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yamcs_archive import Event, Filter, FilterError


def quoted(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
    return f'message=~"{escaped}"'


def found(pattern: str, message: str) -> bool:
    one = Filter(quoted(pattern))
    event = Event(message)
    assert one.bounds.admits(event) or not one.matches(event)
    assert Filter(quoted(pattern).replace("=~", "!~", 1)).matches(event) is not one.matches(event)
    return one.matches(event)


# A pattern, a text with a match and one without: as for java.util.regex, unless a comment says otherwise.
CONSTRUCTS = [
    ("", "", None),
    ("a.c", "xabcx", "a\nc"),
    ("a.c", "a\0c", "a\u2028c"),
    ("a.c", "a c", "a\rc"),
    ("(?s)a.c", "a\nc", "ac"),
    ("(?s:a.c)d.f", "a\ncdef", "a\ncd\nf"),
    ("^a", "ab", "ba"),
    ("^a", "a", "b\na"),
    ("(?m)^a", "b\na", "ba"),
    ("a$", "ba", "ab"),
    ("a$", "a\n", "a\nb"),
    ("a$", "a\r\n", "a\n\n"),
    ("a$", "a\u0085", "a\t"),
    ("(?m)a$", "a\nb", "ab"),
    (r"\Aa\Z", "a\n", "a\n\n"),
    (r"a\z", "a", "a\n"),
    (r"\bab\b", "x ab.", "xab"),
    (r"\Bab", "xab", "x ab"),
    ("[a-c]x", "bx", "dx"),
    ("[^a-c]x", "dx", "bx"),
    ("[^a]", "\n", "a"),
    ("[]a]x", "]x", "[x"),
    ("[a-]x", "-x", "bx"),
    ("[.*]x", "*x", "ax"),
    (r"[\]\\^-]x", "^x", "ax"),
    (r"[\d-z]x", "-x", "yx"),
    (r"[^\d\s]x", "ax", "1x"),
    (r"[\S]x", "éx", "\tx"),
    (r"[\x{61}-\u0063]x", "bx", "dx"),
    (r"[\p{Lu}\d]x", "Éx", "éx"),
    (r"[\p{Upper}]x", "Ax", "Éx"),
    ("[a&b]x", "&x", "cx"),
    (r"\d+", "7", "٣"),
    (r"\w", "_", "é"),
    (r"\s", "\x0b", "\xa0"),
    (r"\h", "\xa0", "\n"),
    (r"\v", "\u2028", " "),
    (r"a\Rb", "a\r\nb", "a b"),
    (r"^\D\W\S\H\V$", "a!bcd", "1!bcd"),
    (r"\p{L}", "Ж", "1"),
    (r"\pLx", "жx", "1x"),
    (r"\P{L}", "1", "a"),
    (r"\p{IsCyrillic}", "Ж", "Z"),
    (r"\p{script=Greek}", "Ω", "O"),
    (r"\p{gc=Nd}", "٣", "a"),
    (r"\p{Punct}", "!", "a"),
    (r"\P{Alpha}", "1", "a"),
    ("ab*c", "ac", "ab"),
    ("ab+c", "abbc", "ac"),
    ("ab?c", "ac", "abbc"),
    ("^a{2}$", "aa", "aaa"),
    ("^a{2,}$", "aaaa", "a"),
    ("^a{1,2}?$", "aa", "aaa"),
    ("a+?b??c*?d", "ad", "a"),
    ("^(?:ab|c)+$", "abcab", "abb"),
    ("^(ab|c)d$", "cd", "ab"),
    ("(?<name>a)b", "ab", "a"),
    ("|a", "x", None),
    ("()a", "a", "b"),
    ("(?i)wheel", "WHEEL", "WHEE"),
    ("a(?i)b|c", "aB", "AB"),
    ("a(?i)b|c", "C", "A"),
    ("(a(?i)b)c", "aBc", "aBC"),
    ("(?i:a)b", "Ab", "AB"),
    ("(?i)a(?-i)b", "Ab", "AB"),
    ("(?i-s:a.)b", "A b", "A\nb"),
    ("(?)a(?u)b", "ab", "b"),
    (r"\Qa.b\E.", "a.bc", "axbc"),
    (r"\Qa.b", "a.b", "axb"),
    (r"\t\n\r\f\a\e", "\t\n\r\f\a\x1b", "t"),
    (r"\x41\u0042\x{43}\0104\cE", "ABCD\x05", "ABCDE"),
    (r"\uD83D\uDE80", "\U0001f680", "\U0001f681"),
    (r"\.\_\é\ \-", "._é -", "x_é -"),
    ('say "x"', 'say "x"', "say x"),
    ("}]", "}]", "}"),
    ("^*a", "ba", "b"),
    # Letter case is Unicode's here; there (?i) is ASCII's.
    ("(?i)éclair", "ÉCLAIR", "eclair"),
    ("(?i)k", "\u212a", "x"),
]

REFUSED = {
    "a++": "possessive repetition ++",
    "a{2}+": "possessive repetition {2}+",
    "(?>a)": "atomic group",
    "(?=a)": "look-ahead (?=",
    "(?!a)": "look-ahead (?!",
    "(?<=a)": "look-behind (?<=",
    "(?<!a)": "look-behind (?<!",
    r"(a)\1": r"back-reference \1",
    r"(?<n>a)\k<n>": r"back-reference \k",
    "(?x)a": "flag (?x)",
    "(?U)a": "flag (?U)",
    "(?d)a": "flag (?d)",
    "(?P<n>a)": "group (?P",
    "(?#c)": "group (?#",
    "[a[b]]": "class within a class",
    "[a-[b]]": "class within a class",
    "[[:alpha:]]": "class within a class",
    "[a&&b]": "&&",
    r"[\Qa\E]": r"\Q within [ ]",
    r"[\P{Alpha}]": r"\P{Alpha} within [ ]",
    r"[\H]": r"escape \H",
    r"[a-\d]": r"escape \d",
    r"[\b]": r"escape \b",
    "[z-a]": "range z-a runs backwards",
    "[a": "never closed",
    "[]": "never closed",
    "[": "never closed",
    "[a-": "never closed",
    "(a": "never closed",
    "a)": ") closes no group",
    "*a": "* repeats nothing",
    "a|*b": "* repeats nothing",
    "(?i)*": "* repeats nothing",
    "a**": "* follows another repetition",
    "a{2}{3}": "{3} follows another repetition",
    "a{,3}": "{ begins no repetition",
    "{": "{ begins no repetition",
    "a{2,1}": "invalid repetition size",
    "a{1001}": "more than 1000 times",
    "a{1,99999999999999999999}": "more than 1000 times",
    "(a{100}){100}": "invalid repetition size",
    r"\G": r"\G",
    r"\X": r"\X",
    r"\N{DIGIT ONE}": r"\N{",
    r"\K": r"escape \K",
    r"\C": r"escape \C",
    r"\E": r"escape \E",
    r"\x4": r"escape \x",
    r"\u004": r"escape \u",
    r"\08": r"escape \0",
    r"\x{110000}": "no character",
    r"\uD800": "lone surrogate",
    "\ud800": "lone surrogate",
    r"\p": r"\p needs",
    r"\p{L": r"\p needs",
    r"\p{greek}": r"property \p{greek}",
    r"\p{IsAlphabetic}": "invalid character class range",
    r"\p{InGreek}": r"property \p{InGreek}",
    r"\p{javaLowerCase}": r"property \p{javaLowerCase}",
    r"\p{L}{5}": "too large",
    ".{500}": "too large",
    "(?s).{1,900}" * 20: "too large",
}


@pytest.mark.parametrize(("pattern", "inside", "outside"), CONSTRUCTS)
def test_a_construct_has_its_meaning_in_java(pattern: str, inside: str, outside: str | None) -> None:
    assert found(pattern, inside)
    assert outside is None or not found(pattern, outside)


@pytest.mark.parametrize(("pattern", "named"), REFUSED.items())
def test_an_unsupported_construct_is_named(pattern: str, named: str) -> None:
    with pytest.raises(FilterError) as caught:
        Filter(quoted(pattern))
    assert named in caught.value.reason
    assert caught.value.reason.startswith("regular expression: ")
    assert (caught.value.problem, caught.value.column) == ("Syntax error in filter", 10)


def test_a_backslash_at_the_end_is_refused() -> None:
    with pytest.raises(FilterError, match="at the end"):
        Filter(r'message=~"a\\"')


def test_the_programs_of_a_filter_are_bounded_together() -> None:
    one = r'message=~"\\p{L}x"'
    assert Filter(f"{one} {one}").matches(Event("ax"))
    with pytest.raises(FilterError, match="too large together") as caught:
        Filter(" ".join([one] * 4))
    assert caught.value.column == 3 * (len(one) + 1) + len("message=~") + 1


# Each of them takes a backtracking engine longer than the age of the universe.
@pytest.mark.parametrize(
    "pattern", ["(x+x+)+y", "(x|x)*y", "(x*)*y", "(.*)(.*)(.*)(.*)(.*)y", "(x?){50}x{50}y"]
)
def test_a_pattern_built_to_run_for_ever_ends(pattern: str) -> None:
    one = Filter(quoted(pattern))
    answers: list[bool] = []
    worker = threading.Thread(target=lambda: answers.append(one.matches(Event("x" * (1 << 20)))), daemon=True)
    worker.start()
    worker.join(60)
    assert answers == [False]


@given(
    st.text(st.sampled_from(r"ab(|)*+?{2,}[^-]\dpLuQExisk<>=!&:.$1"), max_size=12),
    st.text("ab12\n&", max_size=6),
)
def test_any_text_is_a_pattern_or_an_error_and_texts_of_its_bounds_hold(pattern: str, message: str) -> None:
    try:
        one = Filter(quoted(pattern))
    except FilterError:
        return
    event = Event(message)
    assert one.bounds.admits(event) or not one.matches(event)


@given(st.text(max_size=10) | st.text(printable, max_size=10), st.text(max_size=20))
def test_a_quoted_pattern_is_a_plain_search(text: str, message: str) -> None:
    if "\\" not in text:
        assert found(rf"\Q{text}\E", message) is (text in message)
        assert found(rf"\Q{text}\E", message + text)
