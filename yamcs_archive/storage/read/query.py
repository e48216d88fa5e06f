"""Reading in key order: of each slice, young events and block are merged, and only wanted ones are built.

The order of keys is strict: no event comes twice. An event that is stored throughout a scan comes once: from
a memory table or from a block, as it is when its slice is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from heapq import merge
from itertools import chain, islice
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import DamagedError
from yamcs_archive.event import SEVERITIES, Event, EventKey, Severity
from yamcs_archive.event_vectors import DictColumn, Indexes, StoredVectors, Vectors
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.limits import BATCH_EVENTS_MAX
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.keys import (
    BEFORE_ALL,
    BEYOND_ALL,
    encode_key,
    in_key_order,
    time_bound,
)
from yamcs_archive.storage.format.text_filters import trigrams
from yamcs_archive.storage.format.text_search import TextMatcher
from yamcs_archive.storage.format.zone_maps import block_filter
from yamcs_archive.storage.read.block_cache import BlockCache
from yamcs_archive.storage.read.few_found import FEW_MAX, FewFound, Opener, Selection
from yamcs_archive.storage.read.picked_vectors import picked_vectors
from yamcs_archive.storage.read.range_reader import BlockOpener, RangeReader, Slice
from yamcs_archive.storage.read.skipping_reader import reader_for
from yamcs_archive.storage.young.views import YoungEvents

_COMPARED_MAX = 4
"""Up to 4 wanted values are compared one by one; more go through a lookup table."""


class Query(NamedTuple):
    """Which events, in which order. Times are int microseconds since 1970."""

    start: int | None = None
    """The least generation time, included."""
    stop: int | None = None
    """The first generation time that is not wanted."""
    sources: frozenset[str] | None = None
    min_severity: Severity | None = None
    text: str | None = None
    """A case-folded text that the message contains, when case-folded itself."""
    matches: Callable[[Event], bool] | None = None
    """A further condition."""
    texts: frozenset[str] = frozenset()
    """Case-folded texts that the message of every event contains for which ``matches`` holds."""
    words: frozenset[str] = frozenset()
    """Case-folded texts, each of which is in message, source or type of every such event."""
    descending: bool = False
    limit: int | None = None
    after_key: EventKey | None = None
    """Go on after this key, in the direction of the scan."""
    cancelled: Callable[[], bool] | None = None
    """Called before each slice is read: once it returns True, reading ends there."""
    skipped: Callable[[DamagedError], None] | None = None
    """Called for what is damaged, which is then left out; None: it is an error."""

    def bounds(self, horizon: int | None) -> tuple[bytes, bytes]:
        """Return the bounds of the wanted keys: the first is included, the second is not."""
        lower = BEFORE_ALL if self.start is None else time_bound(self.start)
        upper = BEYOND_ALL if self.stop is None else time_bound(self.stop)
        if horizon is not None:
            lower = max(lower, time_bound(horizon))
        if self.after_key is not None:
            key = encode_key(*self.after_key)
            lower, upper = (lower, min(upper, key)) if self.descending else (max(lower, key + b"\0"), upper)
        return lower, upper

    @property
    def matcher(self) -> TextMatcher | None:
        """The texts that the message must contain, if any."""
        texts = self.texts if self.text is None else {*self.texts, self.text}
        return TextMatcher(texts) if texts else None

    @property
    def trigrams(self) -> tuple[int, ...]:
        """The hashes of the trigrams that the texts of every wanted event have."""
        return trigrams(
            self.texts | self.words if self.text is None else {*self.texts, *self.words, self.text}
        )

    @property
    def selection(self) -> Selection | None:
        """What decides which events within the bounds are wanted, if it is but a few columns, and small."""
        found = Selection(self.sources, self.min_severity, self.text)
        return None if self.wants_every or self.matches is not None or not found.is_small else found

    @property
    def wants_every(self) -> bool:
        """True if every event within the bounds is wanted."""
        others = self.sources, self.min_severity, self.text, self.matches
        return others == (None,) * len(others)

    def wants(self, event: Event) -> bool:
        """Say whether an event within the bounds is wanted."""
        return (
            (self.sources is None or event.source in self.sources)
            and (self.min_severity is None or event.severity >= self.min_severity)
            and (self.text is None or self.text in event.message.casefold())
            and (self.matches is None or self.matches(event))
        )

    def narrowed(self, wanted: Filter, sources: Callable[[], Iterable[str]]) -> Query | None:
        """Return the query for what both this one and a filter want; None if nothing can match both.

        ``sources`` returns the names of all sources, or raises DamagedError if they are not known for sure.
        """
        bounds = wanted.bounds
        if bounds.impossible:
            return None
        named = self.sources
        if bounds.sources is not None or bounds.source_test is not None:
            names = _known(sources) if named is None else named
            named = None if names is None else frozenset(name for name in names if bounds.may_be_from(name))
        return self._replace(
            start=max((t for t in (self.start, bounds.start_us) if t is not None), default=None),
            stop=min((t for t in (self.stop, bounds.stop_us) if t is not None), default=None),
            sources=named,
            min_severity=max(
                (s for s in (self.min_severity, bounds.min_severity) if s is not None), default=None
            ),
            matches=wanted.matches,
            texts=bounds.texts,
            words=bounds.words,
        )


def _known(sources: Callable[[], Iterable[str]]) -> Iterable[str] | None:
    """Return the names of all sources; None if they are not known for sure."""
    try:
        return sources()
    except DamagedError:
        return None


def scan(
    environment: Environment,
    query: Query,
    horizon: int | None,
    events_max: int,
    *,
    cache: BlockCache,
    few: FewFound,
) -> Iterator[Event]:
    """Yield the events that a query wants, in its order. With a limit, blocks are taken from the cache."""
    selection = None if query.skipped is not None else query.selection
    opener: BlockOpener | None = None if query.limit is None else cache
    if opener is not None and selection is not None:
        opener = Opener(few, selection, cache)
    matcher = query.matcher
    slices = _read_slices(environment, query, horizon, events_max, opener)
    found = chain.from_iterable(
        _merged(slice_, _block_events(slice_, query, matcher, few, selection), query) for slice_ in slices
    )
    return found if query.limit is None else islice(found, query.limit)


def scan_vectors(
    environment: Environment, query: Query, horizon: int | None, events_max: int
) -> Iterator[StoredVectors]:
    """Yield the same events as vectors: those of each slice, in parts of at most a batch, none of them empty.

    No event is built. The order is always that of keys, and the query's limit is ignored.
    """
    for slice_, indexes in _slices(environment, query, horizon, events_max):
        found = _vectors_of(slice_, indexes, query)
        if found is not None:
            for start in range(0, found.size, BATCH_EVENTS_MAX):
                yield found.cut(start, start + BATCH_EVENTS_MAX)


def scan_lazily(
    environment: Environment, query: Query, horizon: int | None, events_max: int
) -> Iterator[Vectors]:
    """Yield the same events, those of each slice together; of a block only what is asked for is decoded.

    DamagedError may also come from what is yielded, when it is decoded. The query's limit is ignored.
    """
    for slice_, indexes in _slices(environment, query, horizon, events_max):
        block = slice_.block
        if block is None or not indexes or slice_.young or query.matches is not None:
            found = _vectors_of(slice_, indexes, query)
            if found is not None and found.size:
                yield found
        else:
            yield picked_vectors(block, None if len(indexes) == block.count else indexes)


def count(environment: Environment, query: Query, horizon: int | None, events_max: int) -> int:
    """Return the number of events that match a query; its limit is ignored. Ends early once it is cancelled.

    Of a block only the columns that decide are decoded: none if all of it matches.
    """
    found = 0
    every = query.wants_every
    for slice_, indexes in _slices(environment, query, horizon, events_max):
        found += len(slice_.young) if every else len(_young_of(slice_, query))
        if slice_.block is None or not indexes or query.matches is None:
            found += len(indexes)
        else:
            found += _matching(slice_.block.take(indexes), query.matches).size
    return found


def _vectors_of(slice_: Slice, indexes: Sequence[int], query: Query) -> StoredVectors | None:
    """Return the wanted events of block and tables, in key order; None if there are none."""
    found = []
    if slice_.block is not None and indexes:
        block = slice_.block
        events = block.events if len(indexes) == block.count else block.take(indexes)
        found.append(events if query.matches is None else _matching(events, query.matches))
    if slice_.young:
        found.append(_young_vectors(slice_.young, query))
    if len(found) < 2:
        return found[0] if found else None
    return in_key_order(StoredVectors.concat(found))


def _matching(events: StoredVectors, matches: Callable[[Event], bool]) -> StoredVectors:
    return events.take([at for at, event in enumerate(events.events()) if matches(event)])


def _slices(
    environment: Environment, query: Query, horizon: int | None, events_max: int
) -> Iterator[tuple[Slice, Sequence[int]]]:
    """Yield the slices, each with the indexes of the wanted events of its block."""
    matcher = query.matcher
    for slice_ in _read_slices(environment, query, horizon, events_max):
        yield slice_, matching_indexes(slice_, query, matcher)


def _read_slices(
    environment: Environment,
    query: Query,
    horizon: int | None,
    events_max: int,
    opener: BlockOpener | None = None,
) -> Iterator[Slice]:
    """Return the slices that may have wanted events."""
    lower, upper = query.bounds(horizon)
    wanted = None
    texts = query.trigrams
    if query.sources is not None or query.min_severity is not None or texts:
        wanted = block_filter(query.sources, query.min_severity, texts)
    reader = reader_for(environment, events_max, query.cancelled, opener, skipped=query.skipped)
    return reader.slices(lower, upper, descending=query.descending, wanted=wanted)


def _young_of(slice_: Slice, query: Query) -> list[Event]:
    """Return the wanted young events of a slice."""
    found = slice_.young.events()
    return found if query.wants_every else list(filter(query.wants, found))


def _young_vectors(young: YoungEvents, query: Query) -> StoredVectors:
    """Return the matching events among young ones of wanted sources; at least one is given."""
    found = young.vectors()
    holds: npt.NDArray[np.bool_] = np.ones(found.size, np.bool_)
    if query.min_severity is not None:
        holds &= found.severities >= _least_code(query.min_severity)
    if query.text is not None:
        holds &= np.array([query.text in message.casefold() for message in found.messages], np.bool_)
    if not holds.all():
        found = found.take(np.flatnonzero(holds))
    return found if query.matches is None else _matching(found, query.matches)


def _merged(slice_: Slice, found: Iterable[Event], query: Query) -> Iterable[Event]:
    """Return the wanted events of block and tables, in the query's order."""
    young = _young_of(slice_, query) if slice_.young else []
    return merge(found, young, key=attrgetter("key"), reverse=query.descending) if young else found


def _block_events(
    slice_: Slice, query: Query, matcher: TextMatcher | None, few: FewFound, selection: Selection | None
) -> Iterable[Event]:
    """Return the wanted events of a slice's block, in the query's order."""
    block = slice_.block
    if block is None:
        return ()
    kept = few.recall(block, selection) if selection is not None and slice_.whole else None
    if kept is None:
        indexes = matching_indexes(slice_, query, matcher)
        fewer = query.limit is not None and query.limit < len(indexes)
        if selection is None or not slice_.whole or fewer or len(indexes) > FEW_MAX:
            return block_events(block, indexes, query) if indexes else ()
        kept = list(block.some_events(indexes))
        few.keep(block, selection, kept)
    return reversed(kept) if query.descending else kept


def matching_indexes(slice_: Slice, query: Query, matcher: TextMatcher | None) -> Sequence[int]:
    """Return the indexes of the wanted events of a slice's block."""
    block = slice_.block
    if block is None:
        return ()
    # In most blocks a search needs only the bytes of the messages. But where key columns decide too, they are
    # decoded first: they leave few blocks to search.
    asks_keys = query.sources is not None or query.min_severity is not None
    found = None if matcher is None or asks_keys else block.containing(matcher)
    if found is not None and not found:
        return ()
    within = slice_.block_indexes
    if found is not None:
        return [index for index in found if index in within]
    if not asks_keys or not within:
        return within
    indexes = _of_keys(block, within, query)
    if matcher is not None and indexes:
        among = set(block.containing(matcher))
        indexes = [index for index in indexes if index in among]
    return indexes


def _of_keys(block: Block, within: range, query: Query) -> list[int]:
    """Return the indexes at which a block's key columns are as a query wants them."""
    cut = slice(within.start, within.stop)
    indexes: Indexes | None = None
    if query.sources is not None:
        indexes = np.flatnonzero(_from_any(block.sources, cut, query.sources)) + within.start
    if query.min_severity is not None:
        # Few events are from a wanted source, as a rule; so only these are looked at.
        severities = block.severities[cut] if indexes is None else block.severities[indexes]
        holds = np.flatnonzero(severities >= _least_code(query.min_severity))
        indexes = holds + within.start if indexes is None else indexes[holds]
    return [] if indexes is None else indexes.tolist()


def _from_any(column: DictColumn, cut: slice, sources: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Return which events of a part of a block are from one of some sources."""
    values, codes = column.values, column.codes[cut]
    if len(sources) > _COMPARED_MAX:
        return names_among(values, sources)[codes]
    return _one_of(codes, [values.index(source) for source in sources if source in values], len(values))


def names_among(table: Sequence[str], wanted: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Return for each name of a table whether it is wanted.

    >>> names_among(["A", "B"], frozenset("B")).tolist()
    [False, True]
    """
    return np.fromiter(map(wanted.__contains__, table), np.bool_, len(table))


@cache
def _least_code(least: Severity) -> int:
    """Return the least code of the severities from one on; the greater codes are theirs, too.

    >>> [severity.name for severity in SEVERITIES[_least_code(Severity.ERROR) :]]
    ['SEVERE', 'ERROR']
    """
    return next(code for code, severity in enumerate(SEVERITIES) if severity >= least)


def _one_of(codes: npt.NDArray[Any], wanted: Sequence[int], count: int) -> npt.NDArray[np.bool_]:
    """Say of each code, all below ``count``, whether it is a wanted one."""
    if not 1 <= len(wanted) <= _COMPARED_MAX:
        there = np.zeros(count, np.bool_)
        there[list(wanted)] = True
        found: npt.NDArray[np.bool_] = there[codes]
        return found
    holds: npt.NDArray[np.bool_] = np.equal(codes, wanted[0])
    for code in wanted[1:]:
        holds |= codes == code
    return holds


def block_events(block: Block, indexes: Sequence[int], query: Query) -> Iterator[Event]:
    """Yield the events at some indexes of a block, in the query's order."""
    if query.limit is not None and query.matches is None:
        indexes = indexes[-query.limit :] if query.descending and query.limit else indexes[: query.limit]
    found = block.some_events(indexes, descending=query.descending)
    return found if query.matches is None else filter(query.matches, found)


def get(environment: Environment, key: EventKey, horizon: int | None, cache: BlockCache) -> Event | None:
    """Return the event of that key, or None."""
    encoded = encode_key(*key)
    if horizon is not None and key.generation_time < horizon:
        return None
    [slice_] = RangeReader(environment, 2, cache=cache).slices(encoded, encoded + b"\0")
    block, indexes, every = slice_.block, slice_.block_indexes, Query()
    found = () if block is None or not indexes else block_events(block, indexes, every)
    return next(iter(_merged(slice_, found, every)), None)
