"""The grammar: builds a tree from tokens, and finds the position of an error.

    query      = [blank] [every] [blank] end          only blanks: everything matches
    every      = some *( blank ["AND" blank] some )
    some       = unary *( blank "OR" blank unary )    OR binds tighter than AND
    unary      = *( "NOT" [blank] ) [ "-" ] ( "(" [blank] every [blank] ")" | comparison )
    comparison = term [ [blank] operator [blank] term ]
    term       = word | quoted                        no "-" after a NOT

1. A comparison is checked (field, value, pattern) as soon as it is read, so that the leftmost error is
   reported.
2. A syntax error marks the last correct token, as a Yamcs server does; its text describes the token after
   that. If the first token is wrong, that token is marked.
3. Depth, length and number of terms are bounded, so that no text exhausts the stack or takes too long.
"""

from __future__ import annotations

from typing import NoReturn

from yamcs_archive.errors import FilterError
from yamcs_archive.filter.comparison_errors import BadPatternError, BadValueError, UnknownFieldError
from yamcs_archive.filter.condition_tree import Every, Node, Some, merged, negated
from yamcs_archive.filter.conditions import Condition, compare, contains
from yamcs_archive.filter.lexer import (
    BLANK,
    END,
    OPERATOR,
    QUOTED,
    WORD,
    LexicalFaultError,
    Token,
    fault_span,
    position,
    read_token,
    span,
)
from yamcs_archive.limits import (
    FILTER_CHARACTERS_MAX,
    FILTER_DEPTH_MAX,
    FILTER_PROGRAM_MAX,
    FILTER_TERMS_MAX,
)

_SYNTAX = "Syntax error in filter"
_TERMS = (WORD, QUOTED)


def parse(text: str) -> Node | None:
    """Return the tree of a filter; None if it is blank, so that it matches everything.

    Raises :class:`~yamcs_archive.errors.FilterError` with line and column.

    >>> parse(" -- nothing but a comment") is None
    True
    """
    if not isinstance(text, str):
        raise FilterError(text, _SYNTAX, "must be text", (1, 1), (1, 1, 1, 1))
    if len(text) > FILTER_CHARACTERS_MAX:
        reason = f"has {len(text)} characters, and {FILTER_CHARACTERS_MAX} are allowed"
        raise FilterError(text, _SYNTAX, reason, (1, 1), (1, 1, 1, 1))
    return _Parser(text).query()


class _Parser:
    """Reads one filter from left to right; a method for each rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._ahead: list[Token] = []
        self._good: Token | None = None
        self._terms = self._steps = self._depth = 0

    def query(self) -> Node | None:
        self._skip_blank()
        if self._peek().kind == END:
            return None
        node = self._every()
        if self._peek().kind != END:
            self._fail(
                self._peek(), "is not open here" if self._peek().kind == ")" else "needs a blank before it"
            )
        return node

    def _every(self) -> Node:
        parts = [self._some()]
        while True:
            blank = self._skip_blank()
            if self._peek().kind in (END, ")"):
                return merged(Every, parts)
            if not blank:
                self._fail(self._peek(), "needs a blank before it")
            if self._peek().kind == "AND":
                self._next()
                self._need_blank()
            parts.append(self._some())

    def _some(self) -> Node:
        parts = [self._unary()]
        while self._peek().kind == BLANK and self._peek(1).kind == "OR":
            self._skip_blank()
            self._next()
            self._need_blank()
            parts.append(self._unary())
        return merged(Some, parts)

    def _unary(self) -> Node:
        opposite = after_not = False
        while self._peek().kind == "NOT":
            self._next()
            self._skip_blank()
            opposite, after_not = not opposite, True
        if self._peek().kind == "-" and not after_not:
            self._next()
            opposite = True
        node = self._parenthesis() if self._peek().kind == "(" else self._comparison()
        return negated(node) if opposite else node

    def _parenthesis(self) -> Node:
        self._depth += 1
        if self._depth > FILTER_DEPTH_MAX:
            self._fail(self._peek(), f"is open {self._depth} times, and {FILTER_DEPTH_MAX} are allowed")
        self._next()
        self._skip_blank()
        node = self._every()
        if self._peek().kind != ")":
            self._fail(self._peek(), "a parenthesis is still open")
        self._next()
        self._depth -= 1
        return node

    def _comparison(self) -> Node:
        name = self._peek()
        if name.kind not in _TERMS:
            self._fail(name, "a search term, a comparison or ( is needed here")
        self._next()
        self._terms += 1
        if self._terms > FILTER_TERMS_MAX:
            self._fail(name, f"is one term too many; {FILTER_TERMS_MAX} are allowed")
        operation = self._operator()
        if operation is None:
            return contains(name.value)
        self._skip_blank()
        value = self._peek()
        if value.kind not in _TERMS:
            self._fail(
                value, f"a value for {name.value} {operation} is needed here, in quotes unless it is a word"
            )
        self._next()
        return self._judged(name, operation, value)

    def _operator(self) -> str | None:
        """Take the operator of a comparison, if there is one."""
        if self._peek().kind == OPERATOR:
            if self._peek(1).kind not in (BLANK, *_TERMS):
                # The operator is not read, so that the name of the field is marked.
                self._fail(self._peek(1), "a value is needed here, in quotes unless it is a word")
            return self._next().value
        if self._peek().kind == BLANK and self._peek(1).kind == OPERATOR:
            self._skip_blank()
            return self._next().value
        return None

    def _judged(self, name: Token, operation: str, value: Token) -> Condition:
        try:
            condition = compare(name.value, operation, value.value)
            self._steps += condition.steps
            if self._steps > FILTER_PROGRAM_MAX:
                raise BadPatternError(
                    f"too large together: {self._steps} steps, and {FILTER_PROGRAM_MAX} are allowed"
                )
            return condition
        except UnknownFieldError as fault:
            error = self._error(f"Field not found '{name.value.lower()}'", str(fault), name)
        except BadValueError as fault:
            error = self._error(f"Value '{value.value}' is of incorrect type", str(fault), value)
        except BadPatternError as fault:
            error = self._error(_SYNTAX, f"regular expression: {fault}", value)
        raise error

    def _error(self, problem: str, reason: str, token: Token) -> FilterError:
        place = position(self._text, token.begin)
        return FilterError(self._text, problem, reason, place, span(self._text, token))

    def _peek(self, distance: int = 0) -> Token:
        while len(self._ahead) <= distance:
            last = self._ahead[-1] if self._ahead else self._good
            try:
                self._ahead.append(read_token(self._text, last.end if last else 0))
            except LexicalFaultError as fault:
                place = position(self._text, fault.begin)
                where = fault_span(self._text, fault.offset)
                raise FilterError(self._text, _SYNTAX, str(fault), place, where) from None
        return self._ahead[distance]

    def _next(self) -> Token:
        self._good = self._peek()
        return self._ahead.pop(0)

    def _skip_blank(self) -> bool:
        found = self._peek().kind == BLANK
        if found:
            self._next()
        return found

    def _need_blank(self) -> None:
        if not self._skip_blank():
            self._fail(self._peek(), "needs a blank before it")

    def _fail(self, token: Token, reason: str) -> NoReturn:
        found = "the filter ends, but" if token.kind == END else f"{self._text[token.begin : token.end]!r}:"
        marked = span(self._text, self._good or token)
        raise FilterError(self._text, _SYNTAX, f"{found} {reason}", position(self._text, token.begin), marked)
