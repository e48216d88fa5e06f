"""Expressions as values, written out in every legal way, and a second implementation of their meaning.

Nothing here uses the package's own parser or predicates: it knows only the rules of docs/filter.md, and
events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import strategies as st

from yamcs_archive import Event, Severity

BARE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
RANKS = {
    "info": 0,
    "watch": 1,
    "warning": 2,
    "distress": 3,
    "critical": 4,
    "severe": 5,
    "error": 5,
    "warning_new": 2,
}
TEXT_FIELDS = ("message", "source", "type", "createdBy", "extra.Mode")
OPERATORS = ("=", "!=", "<", "<=", ">", ">=", ":", "=~", "!~")


@dataclass(frozen=True)
class Term:
    """A word, or a comparison when it has an operator."""

    value: str
    field: str = ""
    operator: str = ""


@dataclass(frozen=True)
class Group:
    """``not``, ``and``, ``or`` of parts."""

    kind: str
    parts: tuple[Tree, ...]


Tree = Term | Group


def rfc3339(second: int) -> str:
    """Write second s of 1970, in one of two offsets."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=second)
    shifted = moment + timedelta(hours=2)
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z" if second % 2 else f"{shifted:%Y-%m-%dT%H:%M:%S}+02:00"


# Texts that match each other: in other letter cases, and as parts of one another; and texts hard to parse.
_texts = st.sampled_from(
    [
        "",
        "a",
        "A",
        "ab",
        "AB c",
        "b",
        "null",
        "NULL",
        "Straße",
        "STRASSE",
        'say "a"',
        "\\",
        "a\\b",
        '\\"',
        "OR",
        "é",
        "É",
        "\n",
        "-a",
        "--",
        "ſ",
    ]
)
_patterns = st.sampled_from(["a", "A", "^a", "b$", "a.*b", "[A-Z]", "(?i)ab", "^$", "a|É", "\\\\", "x{2}"])
_severities = st.sampled_from([*RANKS, "Info", "SEVERE", "null"])
_numbers = st.sampled_from(["0", "1", "2.0", "-1", "1e0", " 2 ", "2.5", "null", "NULL"])
_seconds = st.integers(-1, 4)
_times = st.one_of(_seconds.map(rfc3339), st.just("null"))
_operators = st.sampled_from(OPERATORS)


def _text_comparison(field: str, operator: str) -> st.SearchStrategy[Tree]:
    values = _patterns if operator in ("=~", "!~") else _texts
    return values.map(lambda value: Term(value, field, operator))


def _terms() -> st.SearchStrategy[Tree]:
    return st.one_of(
        _texts.map(Term),
        st.tuples(st.sampled_from(TEXT_FIELDS), _operators).flatmap(lambda pair: _text_comparison(*pair)),
        st.builds(Term, _severities, st.just("severity"), _operators),
        st.builds(Term, _numbers, st.just("seqNumber"), _operators),
        st.builds(Term, _times, st.sampled_from(["generationTime", "receptionTime"]), _operators),
    )


def _groups(parts: st.SearchStrategy[Tree]) -> st.SearchStrategy[Tree]:
    several = st.lists(parts, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Group, st.just("not"), st.tuples(parts)),
        st.builds(Group, st.sampled_from(["and", "or"]), several),
    )


trees: st.SearchStrategy[Tree] = st.recursive(_terms(), _groups, max_leaves=10)

_moments = st.none() | _seconds.map(lambda s: s * 1_000_000)
events = st.builds(
    Event,
    message=_texts,
    source=_texts,
    severity=st.sampled_from(Severity),
    type=st.none() | _texts,
    generation_time=_moments,
    seq_number=st.none() | st.integers(-1, 3),
    reception_time=_moments,
    created_by=st.none() | _texts,
    extra=st.dictionaries(st.sampled_from(["Mode", "mode", "other"]), _texts, max_size=2),
)
"""Events whose values match those of the trees; some fields are not set, and some events are not stored."""


def write(tree: Tree, random: Random) -> str:
    """Write a tree as a filter, in one of many ways."""
    if isinstance(tree, Term):
        return _write_term(tree, random)
    parts = [write(part, random) for part in tree.parts]
    if tree.kind == "not":
        [part] = tree.parts
        if isinstance(part, Term) or _chance(random):
            bare = isinstance(part, Term) and _chance(random)
            text = parts[0] if bare else _bracket(parts[0], random)
            return random.choice(["-", "NOT" + _blank(random), "NOT NOT NOT "]) + text
        return "NOT" + _maybe_blank(random) + _bracket(parts[0], random)
    if tree.kind == "and":
        between = [_blank(random) + random.choice(["", "AND" + _blank(random)]) for _ in parts]
        # OR binds tighter, so its groups need no parentheses within an AND.
        written = [
            _bracket(part, random) if _is(inner, "and") or _chance(random) else part
            for inner, part in zip(tree.parts, parts, strict=True)
        ]
    else:
        between = [_blank(random) + "OR" + _blank(random) for _ in parts]
        written = [
            _bracket(part, random) if isinstance(inner, Group) and inner.kind != "not" else part
            for inner, part in zip(tree.parts, parts, strict=True)
        ]
    return "".join(piece for pair in zip(written, between, strict=True) for piece in pair).removesuffix(
        between[-1]
    )


def _is(tree: Tree, kind: str) -> bool:
    return isinstance(tree, Group) and tree.kind == kind


def _chance(random: Random) -> bool:
    return random.random() < 0.3


def _blank(random: Random) -> str:
    return random.choice([" ", " ", "\t", "\n ", "\r\n", " -- a (comment \n", '  --\n -- " x\n\t'])


def _maybe_blank(random: Random) -> str:
    return _blank(random) if _chance(random) else ""


def _bracket(text: str, random: Random) -> str:
    return f"({_maybe_blank(random)}{text}{_maybe_blank(random)})"


def _write_term(term: Term, random: Random) -> str:
    value = _write_text(term.value, random)
    if not term.operator:
        return value
    field = (
        "".join(random.choice([c.lower(), c.upper()]) for c in term.field)
        if "." not in term.field
        else term.field
    )
    name = _write_text(field, random)
    return name + _maybe_blank(random) + term.operator + _maybe_blank(random) + value


def _write_text(text: str, random: Random) -> str:
    if BARE.fullmatch(text) and text not in ("AND", "OR", "NOT") and not _chance(random):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def means(tree: Tree, event: Event) -> bool:
    """Return whether an event matches, rule by rule."""
    if isinstance(tree, Group):
        answers = [means(part, event) for part in tree.parts]
        return {"not": not answers[0], "and": all(answers), "or": any(answers)}[tree.kind]
    if not tree.operator:
        fields = (event.message, event.source, event.type)
        return any(tree.value.casefold() in text.casefold() for text in fields if text is not None)
    if tree.field == "severity":
        rank = None if tree.value.lower() == "null" else RANKS[tree.value.lower()]
        return _in_order(event.severity.rank, tree.operator, rank)
    if tree.field == "seqNumber":
        number = None if tree.value.lower() == "null" else float(tree.value)
        return _in_order(event.seq_number, tree.operator, number)
    if tree.field in ("generationTime", "receptionTime"):
        time = event.generation_time if tree.field == "generationTime" else event.reception_time
        moment = None if tree.value == "null" else datetime.fromisoformat(tree.value).timestamp() * 1_000_000
        return _in_order(time, tree.operator, moment)
    texts = {
        "message": event.message,
        "source": event.source,
        "type": event.type,
        "createdBy": event.created_by,
        "extra.Mode": event.extra.get("Mode", event.extra.get("mode")),
    }
    return _of_text(texts[tree.field], tree.operator, tree.value)


def _in_order(found: float | None, operator: str, value: float | None) -> bool:
    # A field that is not set comes before all values.
    here, there = ((-1e30 if one is None else one) for one in (found, value))
    return {
        "=": here == there,
        ":": here == there,
        "=~": here == there,
        "!=": here != there,
        "!~": here != there,
        "<": here < there,
        "<=": here <= there,
        ">": here > there,
        ">=": here >= there,
    }[operator]


def _of_text(found: str | None, operator: str, value: str) -> bool:
    if found is None:
        if value.lower() == "null" and operator in ("=", "!="):
            return operator == "="
        return operator in ("<", "<=", "!=", "!~")
    if operator in ("=~", "!~"):
        return bool(re.search(value, found)) is (operator == "=~")
    here, there = found.casefold(), value.casefold()
    return {
        "=": here == there,
        "!=": here != there,
        "<": here < there,
        "<=": here <= there,
        ">": here > there,
        ">=": here >= there,
        ":": there in here,
    }[operator]
