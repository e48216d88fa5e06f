"""When each source was heard: stretches of its events without a long pause, from keys alone.

1. Only key frames of blocks are decoded; of rows, their records. Nothing is estimated: summaries
   pass over blocks that have none of the sources asked for, and count nothing.
2. Stretches come in the order of their last event, then of source: so one is given out as soon as nothing can
   join it, and no more are held than there are sources.
3. No transaction is held between two stretches.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

import numpy as np

from yamcs_archive.event import Stretch
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.dictionary import DictColumn
from yamcs_archive.storage.format.integers import Int64s
from yamcs_archive.storage.format.keys import of_sources
from yamcs_archive.storage.format.rows import decode_rows
from yamcs_archive.storage.format.zone_maps import block_filter
from yamcs_archive.storage.read.query import Query, names_among
from yamcs_archive.storage.read.range_reader import RangeReader, Slice


class Histogram(Iterator[Stretch]):
    """The stretches of the events that a query wants; times, sources and horizon count, nothing else."""

    def __init__(
        self, environment: Environment, query: Query, horizon: int | None, rows_max: int, pause_us: int
    ) -> None:
        lower, upper = query.bounds(horizon)
        ask = None if query.sources is None else block_filter(query.sources, None)
        self._pieces = RangeReader(environment, rows_max, query.cancelled).slices(lower, upper, ask=ask)
        self._sources, self._names, self._pause_us = query.sources, query.names, pause_us
        self._open: OrderedDict[str, Stretch] = OrderedDict()
        """Those that may go on, by source; the one that has been silent for longest comes first."""
        self._ended: deque[Stretch] = deque()
        self._reached: int | None = None
        """The time of the last event that was seen."""

    def __next__(self) -> Stretch:
        while not self._ended:
            piece = next(self._pieces, None)
            if piece is None:
                self._ended.extend(self._open.values())
                self._open.clear()
                if not self._ended:
                    raise StopIteration
            else:
                self._see(piece)
        return self._ended.popleft()

    @property
    def resume(self) -> int | None:
        """The time from which on every stretch that was not yet given out can be found whole.

        None before the first one, and while nothing is left.
        """
        left = [stretch.start for stretch in (*self._ended, *self._open.values())]
        return min(left, default=self._reached)

    def _see(self, piece: Slice) -> None:
        """Take in the events of the next piece; what ended before its last one is ended for certain."""
        if self._names is not None:
            piece = piece._replace(rows=of_sources(piece.rows, self._names))
        begun = _begun(piece, self._sources, self._pause_us)
        if not begun:
            return
        self._reached = reached = max(stretch.stop for stretch in begun)
        ended: list[Stretch] = []
        touched: list[Stretch] = []
        for stretch in begun:
            held = self._open.pop(stretch.source, None)
            if held is not None and stretch.start - held.stop <= self._pause_us:
                stretch = Stretch(held.source, held.start, stretch.stop, held.events + stretch.events)  # noqa: PLW2901
            elif held is not None:
                ended.append(held)
            self._open[stretch.source] = stretch
        touched = sorted((self._open[source] for source in {stretch.source for stretch in begun}), key=_place)
        for stretch in touched:
            self._open.move_to_end(stretch.source)
        while self._open:
            first = next(iter(self._open.values()))
            if first.stop + self._pause_us >= reached:
                break
            ended.append(self._open.pop(first.source))
        self._ended.extend(sorted(ended, key=_place))


def _place(stretch: Stretch) -> tuple[int, str]:
    return stretch.stop, stretch.source


def _begun(piece: Slice, sources: frozenset[str] | None, pause_us: int) -> list[Stretch]:
    """Return the stretches of a piece, source by source, those of a source in order; computed together."""
    parts = list(_keys_of(piece))
    if not parts:
        return []
    times = np.concatenate([part for part, _ in parts])
    table, places = DictColumn.concat([names for _, names in parts])
    if sources is not None:
        holds = names_among(table, sources)[places]
        times, places = times[holds], places[holds]
    # Times rise within a part.
    order = np.argsort(places, kind="stable") if len(parts) == 1 else np.lexsort((times, places))
    times, places = times[order], places[order]
    ends = (places[1:] != places[:-1]) | (times[1:] - times[:-1] > pause_us)
    stops = np.concatenate((np.flatnonzero(ends) + 1, [len(times)] if len(times) else [])).astype(np.intp)
    starts = np.concatenate(([0], stops[:-1])).astype(np.intp)[: len(stops)]
    named = [table[place] for place in places[starts].tolist()]
    columns = times[starts].tolist(), times[stops - 1].tolist(), (stops - starts).tolist()
    return list(map(Stretch, named, *columns))


def _keys_of(piece: Slice) -> Iterator[tuple[Int64s, DictColumn]]:
    if piece.rows:
        rows = decode_rows(piece.rows)
        yield rows.times, rows.sources
    block = piece.block
    if block is not None:
        start, stop = block.index_of_bound(piece.lower), block.index_of_bound(piece.upper)
        yield block.times[start:stop], DictColumn(block.sources.values, block.sources.codes[start:stop])
