"""Hypothesis strategies for events and keys: every legal value, often at a bound; lists of critical sizes."""

from hypothesis import strategies as st
from msgspec.structs import replace

from tests.sizes import EVENTS, around
from yamcs_archive import Event, EventKey, Severity
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN, TIME_MAX_US, TIME_MIN_US

_utf8 = st.characters(codec="utf-8")
_utf8_no_nul = st.characters(codec="utf-8", exclude_characters="\0")

times = st.one_of(
    st.integers(TIME_MIN_US, TIME_MAX_US),
    st.sampled_from([TIME_MIN_US, -1, 0, 1, TIME_MAX_US]),
    st.integers(-3, 3),
)
numbers = st.one_of(
    st.integers(SEQ_NUMBER_MIN, SEQ_NUMBER_MAX),
    st.sampled_from([SEQ_NUMBER_MIN, -1, 0, 1, SEQ_NUMBER_MAX]),
)
sources = st.one_of(
    st.text(_utf8_no_nul, min_size=1, max_size=60),
    st.sampled_from(["A", "AB", "A\x01", "é", "\U0001f680", "\uffff", "User", "x" * 255]),
)
keys = st.builds(EventKey, times, sources, numbers)

stored_events = st.builds(
    Event,
    message=st.text(_utf8, max_size=200),
    source=sources,
    severity=st.sampled_from(Severity),
    type=st.none() | st.text(_utf8_no_nul, max_size=20),
    generation_time=times,
    seq_number=numbers,
    reception_time=times,
    created_by=st.none() | st.text(_utf8, max_size=20),
    extensions=st.binary(max_size=40),
    extra=st.dictionaries(st.text(_utf8, max_size=10), st.text(_utf8, max_size=20), max_size=3),
)
"""Complete events: their times and numbers are set."""


def sizes_at_thresholds(most: int = 65) -> st.SearchStrategy[int]:
    """Numbers of events for a list: each threshold of the code up to ``most``, one below and one above it."""
    return st.sampled_from([size for size in around(EVENTS) if size <= most])


def _repeated(some: list[Event], size: int) -> list[Event]:
    span = SEQ_NUMBER_MAX - SEQ_NUMBER_MIN + 1
    found = []
    for n in range(size):
        event = some[n % len(some)]
        number = ((event.seq_number or 0) + n // len(some) - SEQ_NUMBER_MIN) % span + SEQ_NUMBER_MIN
        found.append(replace(event, seq_number=number))
    return found


def many(events: st.SearchStrategy[Event], most: int = 65) -> st.SearchStrategy[list[Event]]:
    """Lists of a size at a threshold: a few drawn events, repeated with other numbers.

    Drawing each event would take seconds for hundreds of them.
    """
    return st.builds(_repeated, st.lists(events, min_size=1, max_size=5), sizes_at_thresholds(most))
