"""Reading in key order: what is wanted of each piece, rows and block merged, events built last.

The output is strictly monotonic by key: no event comes twice, and whatever is stored throughout the
scan comes once, in whichever form it is when its piece is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import merge
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from yamcs_archive.event import SEVERITIES, Event, EventKey, Severity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.limits import BATCH_EVENTS_MAX
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.checksum import Pair
from yamcs_archive.storage.format.keys import BEFORE_ALL, BEYOND_ALL, encode_key, of_sources, time_bound
from yamcs_archive.storage.format.messages import TextMatcher
from yamcs_archive.storage.format.rows import decode_row, decode_rows
from yamcs_archive.storage.format.vectors import Vectors, joined
from yamcs_archive.storage.format.zone_maps import block_filter
from yamcs_archive.storage.read.block_cache import BlockCache
from yamcs_archive.storage.read.range_reader import RangeReader, Slice

_FEW = 4
"""So many sources are looked for in a block's table, so many codes in a column; of more, all are."""
_TOGETHER_MIN = 64
"""Number of rows from which on they are decoded together, in half the time; 16 are faster one by one."""


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
    """What else must hold for an event."""
    texts: frozenset[str] = frozenset()
    """Case-folded texts, each of which the message of any event contains for which ``matches`` holds."""
    descending: bool = False
    limit: int | None = None
    after_key: EventKey | None = None
    """Go on behind this key, in the direction of the scan."""
    cancelled: Callable[[], bool] | None = None
    """Called before each slice is read: once it returns True, reading ends there."""

    def bounds(self, horizon: int | None) -> tuple[bytes, bytes]:
        """Return the least key that may be wanted, and the first one beyond."""
        lower = BEFORE_ALL if self.start is None else time_bound(self.start)
        upper = BEYOND_ALL if self.stop is None else time_bound(self.stop)
        if horizon is not None:
            lower = max(lower, time_bound(horizon))
        if self.after_key is not None:
            key = encode_key(*self.after_key)
            lower, upper = (lower, min(upper, key)) if self.descending else (max(lower, key + b"\0"), upper)
        return lower, upper

    @property
    def names(self) -> frozenset[bytes] | None:
        """The wanted sources, as keys have them; None: all."""
        return None if self.sources is None else frozenset(name.encode() for name in self.sources)

    @property
    def sought(self) -> TextMatcher | None:
        """What the message must contain, if anything."""
        texts = self.texts if self.text is None else {*self.texts, self.text}
        return TextMatcher(texts) if texts else None

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
        """Return what is asked for by this and by a filter; None where nothing can be.

        ``sources`` gives the names of all sources that there are.
        """
        bounds = wanted.bounds
        if bounds.impossible:
            return None
        named = self.sources
        if bounds.sources is not None or bounds.source_test is not None:
            names = sources() if named is None else named
            named = frozenset(name for name in names if bounds.may_be_from(name))
        return self._replace(
            start=max((t for t in (self.start, bounds.start_us) if t is not None), default=None),
            stop=min((t for t in (self.stop, bounds.stop_us) if t is not None), default=None),
            sources=named,
            min_severity=max(
                (s for s in (self.min_severity, bounds.min_severity) if s is not None), default=None
            ),
            matches=wanted.matches,
            texts=bounds.texts,
        )


def scan(
    environment: Environment, query: Query, horizon: int | None, rows_max: int, cache: BlockCache
) -> Iterator[Event]:
    """Yield the events that a query wants, in its order. With a limit, blocks are taken from the cache."""
    pieces = _pieces(environment, query, horizon, rows_max, None if query.limit is None else cache)
    found = chain.from_iterable(_merged(piece, places, query) for piece, places in pieces)
    return found if query.limit is None else islice(found, query.limit)


def scan_vectors(
    environment: Environment, query: Query, horizon: int | None, rows_max: int
) -> Iterator[Vectors]:
    """Yield the same events as vectors, none of them empty: what was read together, in parts if it is much.

    What is the same for many events is then done once, and none is built; in key order, whatever the query
    says, and its limit does not count.
    """
    for piece, places in _pieces(environment, query, horizon, rows_max):
        found = _vectors_of(piece, places, query)
        if found is not None:
            for start in range(0, found.size, BATCH_EVENTS_MAX):
                yield found.cut(start, start + BATCH_EVENTS_MAX)


def count(environment: Environment, query: Query, horizon: int | None, rows_max: int) -> int:
    """Return the number of events that match a query; its limit is ignored. Ends early once it is given up.

    Only the columns that decide are decoded of a block: none if all of it matches.
    """
    found = 0
    every = query.wants_every
    for piece, places in _pieces(environment, query, horizon, rows_max):
        found += len(piece.rows) if every else len(_rows_of(piece, query))
        if piece.block is None or not places or query.matches is None:
            found += len(places)
        else:
            found += _matching(piece.block.take(places), query.matches).size
    return found


def _vectors_of(piece: Slice, places: Sequence[int], query: Query) -> Vectors | None:
    """Return the events of the block's places and those of the rows, in key order; None for none."""
    found = []
    if piece.block is not None and places:
        block = piece.block
        events = block.events if len(places) == block.count else block.take(places)
        found.append(events if query.matches is None else _matching(events, query.matches))
    if piece.rows:
        found.append(_row_vectors(piece.rows, query))
    if len(found) < 2:
        return found[0] if found else None
    return joined(found).in_key_order()


def _matching(events: Vectors, matches: Callable[[Event], bool]) -> Vectors:
    return events.take([at for at, event in enumerate(events.events()) if matches(event)])


def _pieces(
    environment: Environment,
    query: Query,
    horizon: int | None,
    rows_max: int,
    cache: BlockCache | None = None,
) -> Iterator[tuple[Slice, Sequence[int]]]:
    """Yield the pieces, each with the places of what is wanted of its block."""
    lower, upper = query.bounds(horizon)
    ask = None
    if query.sources is not None or query.min_severity is not None:
        ask = block_filter(query.sources, query.min_severity)
    reader = RangeReader(environment, rows_max, query.cancelled, cache)
    pieces = reader.slices(lower, upper, descending=query.descending, ask=ask)
    sought, names = query.sought, query.names
    for piece in pieces:
        places = places_of(piece, query, sought)
        if names is not None and piece.rows:
            # Only rows of wanted sources are decoded: the source is in their keys.
            piece = piece._replace(rows=of_sources(piece.rows, names))  # noqa: PLW2901  # fewer rows
        yield piece, places


def _rows_of(piece: Slice, query: Query) -> list[Event]:
    """Return what is wanted of a piece's rows."""
    pairs = piece.rows
    if len(pairs) >= _TOGETHER_MIN:
        return list(filter(query.wants, decode_rows(pairs).events()))
    return [event for key, value in pairs if query.wants(event := decode_row(key, value).event)]


def _row_vectors(pairs: Sequence[Pair], query: Query) -> Vectors:
    """Return the matching events of rows of wanted sources, decoded together; at least one row."""
    found = decode_rows(pairs)
    holds: npt.NDArray[np.bool_] = np.ones(found.size, np.bool_)
    if query.min_severity is not None:
        holds &= _one_of(found.severities, _codes_from(query.min_severity), len(SEVERITIES))
    if query.text is not None:
        holds &= np.array([query.text in message.casefold() for message in found.messages], np.bool_)
    if not holds.all():
        found = found.take(np.flatnonzero(holds))
    return found if query.matches is None else _matching(found, query.matches)


def _merged(piece: Slice, places: Sequence[int], query: Query) -> Iterable[Event]:
    """Return the events of the block's places and those of the rows, in the order that is wanted."""
    rows = _rows_of(piece, query)
    if piece.block is None or not places:
        return rows
    found = block_events(piece.block, places, query)
    return merge(found, rows, key=_key, reverse=query.descending) if rows else found


def _key(event: Event) -> EventKey:
    return event.key


def places_of(piece: Slice, query: Query, sought: TextMatcher | None) -> Sequence[int]:
    """Return the places of what is wanted of a piece's block."""
    block = piece.block
    if block is None:
        return ()
    # Of most blocks a search needs no more than the bytes of the messages; but where key columns decide too,
    # they leave few blocks to look through.
    asks_keys = query.sources is not None or query.min_severity is not None
    found = None if sought is None or asks_keys else block.containing(sought)
    if found is not None and not found:
        return ()
    within = _within(block, piece)
    if found is not None:
        return [place for place in found if place in within]
    if not asks_keys or not within:
        return within
    places = _of_keys(block, within, query)
    if sought is not None and places:
        among = set(block.containing(sought))
        places = [place for place in places if place in among]
    return places


def _within(block: Block, piece: Slice) -> range:
    """Return the places of a piece's block that lie within the piece."""
    if piece.whole:  # known without its times
        return range(block.count)
    return range(block.place_of_bound(piece.lower), block.place_of_bound(piece.upper))


def _of_keys(block: Block, within: range, query: Query) -> list[int]:
    """Return the places at which a block's key columns are as a query wants them."""
    cut = slice(within.start, within.stop)
    holds: Any = True
    if query.sources is not None:
        table, places = block.sources.values, block.sources.codes[cut]
        if len(query.sources) <= _FEW:
            named = [table.index(source) for source in query.sources if source in table]
            holds = _one_of(places, named, len(table))
        else:
            holds = names_among(table, query.sources)[places]
    if query.min_severity is not None:
        holds &= _one_of(block.severities[cut], _codes_from(query.min_severity), len(SEVERITIES))
    found: list[int] = (np.flatnonzero(holds) + within.start).tolist()
    return found


def names_among(table: Sequence[str], wanted: frozenset[str]) -> npt.NDArray[np.bool_]:
    """Return for each name of a table whether it is wanted.

    >>> names_among(["A", "B"], frozenset("B")).tolist()
    [False, True]
    """
    return np.fromiter(map(wanted.__contains__, table), np.bool_, len(table))


def _codes_from(least: Severity) -> list[int]:
    return [code for code, severity in enumerate(SEVERITIES) if severity >= least]


def _one_of(codes: npt.NDArray[Any], wanted: Sequence[int], count: int) -> npt.NDArray[np.bool_]:
    """Say of each code, of which there are ``count`` different ones, whether it is one of those wanted."""
    if not 1 <= len(wanted) <= _FEW:
        there = np.zeros(count, np.bool_)
        there[list(wanted)] = True
        found: npt.NDArray[np.bool_] = there[codes]
        return found
    holds: npt.NDArray[np.bool_] = np.equal(codes, wanted[0])
    for code in wanted[1:]:
        holds |= codes == code
    return holds


def block_events(block: Block, places: Sequence[int], query: Query) -> Iterator[Event]:
    """Yield the events at some places of a block, in the query's order, built one by one."""
    if query.limit is not None and query.matches is None:
        places = places[-query.limit :] if query.descending and query.limit else places[: query.limit]
    found = block.some_events(places, descending=query.descending)
    return found if query.matches is None else filter(query.matches, found)


def get(environment: Environment, key: EventKey, horizon: int | None, cache: BlockCache) -> Event | None:
    """Return the event of that key, or None."""
    encoded = encode_key(*key)
    if horizon is not None and key.generation_time < horizon:
        return None
    [piece] = RangeReader(environment, 2, cache=cache).slices(encoded, encoded + b"\0")
    return next(iter(_merged(piece, places_of(piece, Query(), None), Query())), None)
