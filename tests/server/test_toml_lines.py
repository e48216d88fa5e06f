"""The lines of keys: a scanner that meets everything that TOML allows."""

import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import of_full
from yamcs_archive.server.toml_lines import NotTomlError, read_toml

EVERYTHING = '''# [not] a = "table"
title = "a # is no comment, [ no bracket" # a comment with ] and "
long = """
fake = 1 [
\\""" escaped, ""five""""" # after
literal = \'\'\'
[fake]
it's \\ a path\'\'\'\'\'

path = 'C:\\' # a backslash escapes nothing here
empty = ""
dotted.key."with.dot" = [ # a list
    1, "]", # ]
    { inner = 2 },

]
["server"]
port = 1
[ instances . "a.b" ] # spaces
keep = { days = 3 }
[[array]]
x = 1
[[array]]
y = 2
'''
LINES = {
    ("title",): 2,
    ("long",): 3,
    ("literal",): 6,
    ("path",): 10,
    ("empty",): 11,
    ("dotted",): 12,
    ("dotted", "key"): 12,
    ("dotted", "key", "with.dot"): 12,
    ("server",): 17,
    ("server", "port"): 18,
    ("instances",): 19,
    ("instances", "a.b"): 19,
    ("instances", "a.b", "keep"): 20,
    ("instances", "a.b", "keep", "days"): 20,
    ("array",): 21,
    ("array", "x"): 22,
    ("array", "y"): 24,
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("tail", ["", "\n", "\n\n# end", " "])
def test_each_key_has_the_line_on_which_it_begins(end: str, tail: str) -> None:
    text = (EVERYTHING.rstrip("\n") + tail).replace("\n", end)
    found, lines = read_toml(text)
    assert found == tomllib.loads(text.replace("\r\n", "\n"))
    assert lines == LINES


texts = st.text(st.sampled_from("a\"'#[]{}\\\n=,é"), max_size=6)


def value(text: str, form: int) -> str:
    """Write a text as TOML, in one of its forms, if it can be."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    forms = [
        '"' + escaped.replace("\n", "\\n") + '"',
        '"""' + escaped + '"""',
        '["x", # ["\n"' + escaped.replace("\n", "\\n") + '",\n]',
    ]
    if "'" not in text:
        forms.append("'''" + text + "'''")
        if "\n" not in text:
            forms.append("{ a = '" + text + "' }")
    return forms[form % len(forms)]


@settings(max_examples=of_full(40))
@given(st.lists(st.tuples(texts, st.integers(0, 4)), max_size=6))
def test_no_value_moves_the_lines_of_the_keys_after_it(values: list[tuple[str, int]]) -> None:
    written, expected = "", {}
    for nth, (text, form) in enumerate(values):
        expected[(f"k{nth}",)] = written.count("\n") + 1
        written += f"k{nth} = {value(text, form)} # {nth}\n"
    found, lines = read_toml(written)
    assert {path: line for path, line in lines.items() if len(path) == 1} == expected
    assert list(found) == [f"k{nth}" for nth in range(len(values))]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a = 1\nb = \n", 2),
        ("a = 1\na = 2", 2),
        ("[s]\nx=1\n\n[s]\n", 4),
        ('a = "\n', 1),
        ('a = 1\nb = """\nc\n', 3),  # to the end of the text
        ("a = 1\n\nb = [1,", 3),
        ("a = " + "[" * 5000, 1),
        ("a = 1\rb = 2", 1),
    ],
)
def test_what_is_no_toml_is_refused_with_its_line(text: str, line: int) -> None:
    with pytest.raises(NotTomlError) as caught:
        read_toml(text)
    assert caught.value.line == line
    assert "(at" not in str(caught.value)
