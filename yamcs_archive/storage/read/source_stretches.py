"""When each source was heard: stretches of its events without a long pause, from keys alone.

1. Only the keys of young events and the key frames of blocks are decoded. Nothing is estimated: zone maps
   serve to pass over blocks without a wanted source, not to count.
2. Stretches come in the order of their last event, then of source: so a stretch is returned as soon as no
   event can extend it, and at most one for each source is kept.
3. No transaction is held between two stretches.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator

import numpy as np

from yamcs_archive.event import Stretch
from yamcs_archive.event_vectors import DictColumn, Int64s, dict_encode
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.format.keys import decode_keys
from yamcs_archive.storage.format.zone_maps import block_filter
from yamcs_archive.storage.read.query import Query, names_among
from yamcs_archive.storage.read.range_reader import Slice
from yamcs_archive.storage.read.skipping_reader import reader_for


class Histogram(Iterator[Stretch]):
    """The stretches of the events that a query wants; only its times and sources count."""

    def __init__(
        self, environment: Environment, query: Query, horizon: int | None, events_max: int, pause_us: int
    ) -> None:
        lower, upper = query.bounds(horizon)
        wanted = None if query.sources is None else block_filter(query.sources, None)
        reader = reader_for(environment, events_max, query.cancelled, skipped=query.skipped)
        self._slices = reader.slices(lower, upper, wanted=wanted)
        self._sources, self._pause_us = query.sources, pause_us
        self._open: OrderedDict[str, Stretch] = OrderedDict()
        """Those that may be extended, by source; the source that has been silent for longest comes first."""
        self._ended: deque[Stretch] = deque()
        self._reached: int | None = None
        """The time of the last event that was seen."""

    def __next__(self) -> Stretch:
        while not self._ended:
            slice_ = next(self._slices, None)
            if slice_ is None:
                self._ended.extend(self._open.values())
                self._open.clear()
                if not self._ended:
                    raise StopIteration
            else:
                self._see(slice_)
        return self._ended.popleft()

    @property
    def resume(self) -> int | None:
        """The time from which another histogram finds every stretch that was not returned yet, whole.

        None before the first one, and when nothing is left.
        """
        left = [stretch.start for stretch in (*self._ended, *self._open.values())]
        return min(left, default=self._reached)

    def _see(self, slice_: Slice) -> None:
        """Add the events of the next slice; stretches that cannot be extended after it have ended."""
        begun = _begun(slice_, self._sources, self._pause_us)
        if not begun:
            return
        self._reached = reached = max(stretch.stop for stretch in begun)
        ended: list[Stretch] = []
        for stretch in begun:
            held = self._open.pop(stretch.source, None)
            if held is not None and stretch.start - held.stop <= self._pause_us:
                stretch = Stretch(held.source, held.start, stretch.stop, held.events + stretch.events)  # noqa: PLW2901
            elif held is not None:
                ended.append(held)
            self._open[stretch.source] = stretch
        touched = sorted(
            (self._open[source] for source in {stretch.source for stretch in begun}), key=_last_event
        )
        for stretch in touched:
            self._open.move_to_end(stretch.source)
        while self._open:
            first = next(iter(self._open.values()))
            if first.stop + self._pause_us >= reached:
                break
            ended.append(self._open.pop(first.source))
        self._ended.extend(sorted(ended, key=_last_event))


def _last_event(stretch: Stretch) -> tuple[int, str]:
    return stretch.stop, stretch.source


def _begun(slice_: Slice, sources: frozenset[str] | None, pause_us: int) -> list[Stretch]:
    """Return the stretches of a slice, source by source, those of a source in order."""
    parts = list(_keys_of(slice_))
    if not parts:
        return []
    times = np.concatenate([part for part, _ in parts])
    names, codes = DictColumn.concat([sources for _, sources in parts])
    if sources is not None:
        holds = names_among(names, sources)[codes]
        times, codes = times[holds], codes[holds]
    # Times rise within a part.
    order = np.argsort(codes, kind="stable") if len(parts) == 1 else np.lexsort((times, codes))
    times, codes = times[order], codes[order]
    ends = (codes[1:] != codes[:-1]) | (times[1:] - times[:-1] > pause_us)
    stops = np.concatenate((np.flatnonzero(ends) + 1, [len(times)] if len(times) else [])).astype(np.intp)
    starts = np.concatenate(([0], stops[:-1])).astype(np.intp)[: len(stops)]
    named = [names[code] for code in codes[starts].tolist()]
    columns = times[starts].tolist(), times[stops - 1].tolist(), (stops - starts).tolist()
    return list(map(Stretch, named, *columns))


def _keys_of(slice_: Slice) -> Iterator[tuple[Int64s, DictColumn]]:
    if slice_.young:
        times, sources, _ = decode_keys(slice_.young.keys)
        yield times, dict_encode([source.decode() for source in sources])
    block = slice_.block
    if block is not None:
        within = slice_.block_indexes
        cut = slice(within.start, within.stop)
        yield block.times[cut], block.sources._replace(codes=block.sources.codes[cut])
