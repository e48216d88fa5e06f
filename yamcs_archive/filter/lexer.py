"""The lexer: splits the text of a filter into tokens, one at a time, with their positions.

1. A token is read only when the grammar asks for it, so that an error further left is reported first.
2. Blanks are tokens: the grammar needs one between two terms. A run of blanks and comments is one token.
3. Lines and columns are counted as by a Yamcs server, so that editors mark the same characters: they start at
   1, a tab reaches to the next multiple of 8, and CR, LF and CR LF end a line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WORD, QUOTED, OPERATOR, BLANK, END = "word", "quoted", "operator", "blank", "end"
"""Kinds of token; each keyword, each parenthesis and the minus is also a kind, named as it is written."""

KEYWORDS = frozenset({"AND", "OR", "NOT"})
"""In capitals only, and only as whole words: ``or`` and ``ORION`` are search words."""

# Possessive, so that a quotation mark that is never closed costs one pass.
_TOKEN = re.compile(
    r"""
    (?P<blank>    (?: [ \t\r\n]++ | --[^\r\n]*+ )++ )
  | (?P<word>     [A-Za-z0-9_][A-Za-z0-9_.-]*+ )
  | (?P<quoted>   "(?: [^"\\] | \\. )*+" )
  | (?P<operator> != | <= | >= | =~ | !~ | [=<>:] )
  | (?P<single>   [()-] )
    """,
    re.VERBOSE | re.DOTALL,
)
_SPACES = re.compile(r"[ \t\r\n]+")
_TAB_COLUMNS = 8


class Span(NamedTuple):
    """A part of the filter: line and column of its first and of its last character."""

    begin_line: int
    begin_column: int
    end_line: int
    end_column: int


class Token(NamedTuple):
    """One token: its kind, the offset of its first character, and the offset after its last one."""

    kind: str
    begin: int
    end: int
    value: str
    """The content of a quoted text, without its quotes and escapes; any other token as written."""


class LexicalFaultError(Exception):
    """No token begins at offset ``begin``; ``offset`` is where this became certain."""

    def __init__(self, begin: int, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.begin, self.offset = begin, offset


def read_token(text: str, begin: int) -> Token:
    """Return the token that begins at an offset of the text; at its end, a token of kind ``END``.

    >>> read_token('source="AOCS"', 7)
    Token(kind='quoted', begin=7, end=13, value='AOCS')
    """
    if begin == len(text):
        return Token(END, begin, begin, "")
    match = _TOKEN.match(text, begin)
    if match is None:
        raise _fault(text, begin)
    value = match.group()
    kind = str(match.lastgroup)
    if kind == "single" or (kind == WORD and value in KEYWORDS):
        kind = value
    elif kind == QUOTED:
        value = value[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    return Token(kind, begin, match.end(), value)


def _fault(text: str, begin: int) -> LexicalFaultError:
    if text[begin] == '"':
        return LexicalFaultError(begin, len(text), "this quotation mark is never closed")
    if text[begin] == "!":
        return LexicalFaultError(begin, begin + 1, "! is only allowed in != and !~")
    return LexicalFaultError(begin, begin, f"{text[begin]!a} must be within quotation marks")


def position(text: str, offset: int) -> tuple[int, int]:
    """Return line and column of an offset; the end of the text is one column after its last character.

    >>> position("a\\n\\tb", 3), position("ab", 2)
    ((2, 9), (1, 3))
    """
    line, column, before = 1, 0, ""
    for character in text[: offset + 1]:
        column += 1
        if before == "\n" or (before == "\r" and character != "\n"):
            line, column = line + 1, 1
        if character == "\t":
            column += -column % _TAB_COLUMNS
        before = character
    if offset < len(text):
        return line, column
    return (line + 1, 1) if before in ("\r", "\n") else (line, column + 1)


def span(text: str, token: Token) -> Span:
    """Return the span of a token; for a run of blanks and comments, that of its first blanks.

    >>> span("a foo=1", Token(WORD, 2, 5, "foo"))
    Span(begin_line=1, begin_column=3, end_line=1, end_column=5)
    """
    spaces = _SPACES.match(text, token.begin) if token.kind == BLANK else None
    last = (spaces.end() if spaces else token.end) - 1
    return Span(*position(text, token.begin), *position(text, max(last, token.begin)))


def fault_span(text: str, offset: int) -> Span:
    """Return the span of a lexical error: one character.

    As on a Yamcs server, it is one column further if that character is the last of the text, and column 0 if
    the text ends with a line end.

    >>> fault_span("a/b", 1), fault_span("a/", 1)
    (Span(begin_line=1, begin_column=2, end_line=1, end_column=2), Span(begin_line=1, begin_column=3, ...
    """
    line, column = position(text, offset + 1 if offset == len(text) - 1 else offset)
    if offset == len(text) and text.endswith(("\n", "\r")):
        column = 0
    return Span(line, column, line, column)
