"""The meaning of filters, written in many ways, compared with a second implementation; and their bounds."""

import pickle
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.filter.trees import Tree, events, means, trees, write
from tests.strategies import stored_events
from yamcs_archive import Event, Filter, FilterBounds, Severity

randoms = st.randoms(use_true_random=False)


@given(trees, randoms, st.lists(events, max_size=8))
def test_an_expression_means_the_same_however_it_is_written(
    tree: Tree, random: Random, found: list[Event]
) -> None:
    one = Filter(write(tree, random))
    assert [one.matches(event) for event in found] == [means(tree, event) for event in found]


@given(trees, randoms, events | stored_events)
def test_every_matching_event_meets_the_bounds(tree: Tree, random: Random, event: Event) -> None:
    one = Filter(write(tree, random))
    if one.matches(event):
        assert one.bounds.admits(event)
        assert not one.bounds.impossible
        least = one.bounds.min_severity
        assert least is None or event.severity >= least


@given(trees, randoms, events)
def test_a_filter_and_its_opposite_share_no_event_and_leave_none_out(
    tree: Tree, random: Random, event: Event
) -> None:
    text = write(tree, random)
    one, opposite, twice = Filter(text), Filter(f"NOT ({text}\n)"), Filter(f"-(NOT (\n{text}))")
    assert one.matches(event) is not opposite.matches(event)
    assert one.matches(event) is twice.matches(event)
    assert one.bounds.admits(event) or opposite.bounds.admits(event)


@given(trees, randoms, events)
def test_a_filter_survives_pickling_and_compares_by_its_text(
    tree: Tree, random: Random, event: Event
) -> None:
    one = Filter(write(tree, random))
    other = pickle.loads(pickle.dumps(one))
    assert (other, hash(other), repr(other)) == (one, hash(one), f"Filter({one.text!r})")
    assert other.matches(event) is one.matches(event)
    assert one != Filter(one.text + " ")


def test_a_filter_has_the_expected_bounds() -> None:
    grave = frozenset({Severity.CRITICAL, Severity.SEVERE, Severity.ERROR})
    for text, bounds in {
        "": FilterBounds(),
        "severity>=critical": FilterBounds(severities=grave),
        "-severity<critical": FilterBounds(severities=grave),
        "severity>=info": FilterBounds(),
        "severity=critical OR severity=severe": FilterBounds(severities=grave),
        "severity=critical severity=severe": FilterBounds(severities=frozenset()),
        "source=LA": FilterBounds(sources=frozenset({"la"})),
        "NOT source!=LA": FilterBounds(sources=frozenset({"la"})),
        "source=LA OR source=LB": FilterBounds(sources=frozenset({"la", "lb"})),
        "source=LA OR wheel": FilterBounds(),
        "source=LA OR (severity=info severity=watch)": FilterBounds(sources=frozenset({"la"})),
        "source=LA wheel": FilterBounds(sources=frozenset({"la"}), words=frozenset({"wheel"})),
        "-wheel": FilterBounds(),
        '""': FilterBounds(),
        "wheel OR wheels": FilterBounds(words=frozenset({"wheel"})),
        "wheel OR message:wheels": FilterBounds(words=frozenset({"wheel"})),
        "message=Wheel": FilterBounds(texts=frozenset({"wheel"})),
        'message=~"^Wheel [0-9]+ over"': FilterBounds(texts=frozenset({"wheel ", " over"})),
        'message=~"(?i)Wheel|bus"': FilterBounds(),
        'message=~"wheels?"': FilterBounds(texts=frozenset({"wheel"})),
        "type:wheel": FilterBounds(words=frozenset({"wheel"})),
        "type=Wheel": FilterBounds(words=frozenset({"wheel"})),
        'type=~"wheel|bus"': FilterBounds(),
        "type!=wheel": FilterBounds(),
        "type<wheel": FilterBounds(),
        "type=null": FilterBounds(),
        "type:null": FilterBounds(),
        'generationTime>"1970-01-01T00:00:01Z"': FilterBounds(start_us=1_000_001),
        'generationTime="1970-01-01T00:00:01Z"': FilterBounds(start_us=1_000_000, stop_us=1_000_001),
        'generationTime>="1970-01-01T00:00:01Z" -generationTime>="1970-01-01T00:00:02Z"': FilterBounds(
            start_us=1_000_000, stop_us=2_000_000
        ),
        'generationTime<="1970-01-01T00:00:01Z" OR generationTime<"1970-01-01T00:00:05Z"': FilterBounds(
            stop_us=5_000_000
        ),
        'generationTime>="1970-01-01T00:00:03Z" OR generationTime="1970-01-01T00:00:01Z"': FilterBounds(
            start_us=1_000_000
        ),
        'generationTime!="1970-01-01T00:00:01Z"': FilterBounds(),
        'receptionTime>"1970-01-01T00:00:01Z"': FilterBounds(),
    }.items():
        assert Filter(text).bounds == bounds, text


def test_bounds_judge_sources_that_no_set_names() -> None:
    for text, possible in {
        "source!=LA": ["LB", "GNC"],
        "-source:l": ["GNC"],
        "source:l": ["LA", "la", "LB"],
        'source=~"^L" severity=info': ["LA", "LB"],
        'source=~"^L" OR source=gnc': ["LA", "LB", "GNC"],
        "source:a OR wheel": ["LA", "la", "LB", "GNC"],
        "(source=LA OR source:g) -source=gnc": ["LA", "la"],
        "source<lb": ["LA", "la", "GNC"],
    }.items():
        bounds = Filter(text).bounds
        assert [name for name in ("LA", "la", "LB", "GNC") if bounds.may_be_from(name)] == possible, text


def test_bounds_that_ask_nothing_of_a_source_have_no_test_to_run() -> None:
    for text in ("", "wheel", "severity=info", "source!=la OR wheel", "source=la", "source=la OR source=lb"):
        assert Filter(text).bounds.source_test is None, text


def test_a_hundred_texts_do_not_make_a_hundred_searches_of_every_block() -> None:
    words = " ".join(f"message:word{n}" for n in range(100))
    assert 0 < len(Filter(words).bounds.texts) < 50
