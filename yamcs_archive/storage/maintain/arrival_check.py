"""The check of commit records: each event belongs to the commit whose number it has, and is in its runs.

1. Records are taken in windows, each of as many as memory allows. For a window, the numbers of commits of all
   events are read in key order; blocks without an event of its commits are passed over by their zone maps.
2. A record is right if each of its commits has as many events as it says, and if its runs hold all of them:
   then reading in arrival order yields each event exactly once. Pruned events may be missing.
3. Records may be missing before the horizon's commit, if no event is left that has one of their numbers.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from yamcs_archive.errors import DamagedError
from yamcs_archive.event_vectors import Int64s, int64s
from yamcs_archive.results import Fault
from yamcs_archive.storage.format.block import Block
from yamcs_archive.storage.format.commits import CommitRecord, Run, commit_key, decode_commit
from yamcs_archive.storage.format.keys import BEYOND_ALL
from yamcs_archive.storage.format.zone_maps import commit_filter
from yamcs_archive.storage.maintain.faults import VerifyScope, key_or_none, noted_before
from yamcs_archive.storage.read.metadata import commit_pairs
from yamcs_archive.storage.read.range_reader import RangeReader, Slice

_RECORDS_AT_ONCE = 1_000
"""Largest number of records that are read in one transaction."""
_WINDOW_COMMITS_MAX = 4_000_000
_WINDOW_RUNS_MAX = 200_000
"""Largest numbers of commits and runs of a window: 32 MB for the one, some 50 MB for the other."""


def check_arrival(scope: VerifyScope, head: int) -> int:
    """Compare the records of the commits up to ``head`` with the events; return the number of the commits."""
    commits = 0
    window: list[CommitRecord] = []
    window_commits = window_runs = 0
    records = _Records(scope, head)
    begin = 1
    for record in records.each():
        window.append(record)
        commits += len(record.times)
        window_commits += len(record.times)
        window_runs += len(record.runs)
        if window_commits >= _WINDOW_COMMITS_MAX or window_runs >= _WINDOW_RUNS_MAX:
            _Window(window, scope, begin).compare(are_records_missing=records.are_missing)
            begin = record.last + 1
            window, window_commits, window_runs = [], 0, 0
    if window:
        _Window(window, scope, begin).compare(are_records_missing=records.are_missing)
    return commits


class _Records:
    """The records that can be read."""

    def __init__(self, scope: VerifyScope, head: int) -> None:
        self._scope, self._head = scope, head
        self.are_missing = False
        """True once a record that should be there is not, or cannot be read; it is noted then."""

    def each(self) -> Iterator[CommitRecord]:
        """Yield them in their order; note gaps between them."""
        environment, faults, head = self._scope.environment, self._scope.faults, self._head
        expected: int | None = 1
        after, more = commit_key(0), True
        while more:
            with environment.snapshot(noted_before) as snapshot:
                pairs, more = commit_pairs(
                    environment, snapshot, after, commit_key(head + 1), _RECORDS_AT_ONCE
                )
            pruned = self._scope.facts().horizon_commit
            for key, value in pairs:
                after = key + b"\0"
                try:
                    record = decode_commit(key, value)
                except DamagedError as error:
                    faults.add_value(error)
                    expected = None  # nobody knows how many commits it had
                    self.are_missing = True
                    continue
                if expected is not None and record.first != expected and record.first > pruned:
                    self.are_missing = True
                    if not faults.has_lost(expected, record.first - 1):
                        reason = f"a record begins with it, and commit {expected} was to follow"
                        faults.add(Fault(f"commits {record.first}", reason))
                expected = record.last + 1
                # Packed meanwhile, it may have later commits, whose events are not all looked at.
                if record.first <= head:
                    yield record
                    after = commit_key(record.last + 1)
        if expected is not None and expected <= head:
            reason = f"the records end before commit {head}, the newest one"
            faults.add(Fault(f"commits {expected}", reason))


class _Runs(NamedTuple):
    """The runs of a window in the order of their first keys, each with the index of its record."""

    runs: list[Run]
    records: list[int]


class _Window:
    """Some neighbouring records, and what the events say of them."""

    def __init__(self, records: list[CommitRecord], scope: VerifyScope, begin: int) -> None:
        """``begin``: the first commit that no earlier window has; it may be one without a record."""
        self._records, self._scope, self._faults = records, scope, scope.faults
        self._lowest, self._greatest = begin, records[-1].last
        self._firsts = np.array([record.first for record in records], np.int64)
        self._lasts = np.array([record.last for record in records], np.int64)
        self._starts = np.concatenate(([0], np.cumsum(self._lasts - self._firsts + 1)))
        self._counts = np.zeros(int(self._starts[-1]), np.int64)
        """Events found of each commit, those of one record after those of the other."""
        self._without = np.zeros(0, np.int64)
        """Numbers of commits of events, of which no record has them."""
        self._within = [0] * len(records)
        """Events found in the runs of each record."""
        runs = sorted((run, index) for index, record in enumerate(records) for run in record.runs)
        self._ahead = _Runs([run for run, _ in runs], [index for _, index in runs])
        self._next = 0
        self._open: list[tuple[Run, int]] = []
        """The runs that reach into the slice that is read."""

    def compare(self, *, are_records_missing: bool) -> None:
        """Read the numbers of commits of all events, and note what does not fit."""
        environment, _, events_max, go_on, faults = self._scope
        reader = RangeReader(environment, events_max, cache=_Readable(), left_out=noted_before)
        lower = self._scope.bound()
        wanted = commit_filter(self._lowest, self._greatest)
        try:
            for slice_ in reader.slices(lower, BEYOND_ALL, wanted=wanted):
                go_on()
                self._look(slice_)
        except DamagedError:
            faults.are_events_missing = True  # noted when the events were read
        self._report()
        if self._without.size and not are_records_missing:
            number = int(self._without.min())
            reason = "events have its number, and it has no record"
            self._faults.add(Fault(f"commits {number}", reason, events=self._without.size))

    def _look(self, slice_: Slice) -> None:
        """Count the events of a slice by commit, and in each run."""
        keys, commits = slice_.young.keys, int64s(slice_.young.commit_numbers())
        self._count(commits)
        block, start, stop = slice_.block, 0, 0
        if block is not None:
            start, stop = slice_.block_indexes.start, slice_.block_indexes.stop
            self._count(block.commits[start:stop])
        for run, index in self._runs_in(slice_):
            record = self._records[index]
            low, high = bisect_left(keys, run.first), bisect_left(keys, run.last + b"\0")
            found = commits[low:high]
            if block is not None:
                begin = max(start, block.index_of_bound(run.first))
                end = min(stop, block.index_of_bound(run.last + b"\0"))
                found = np.concatenate((found, block.commits[begin:end]))
            self._within[index] += int(((record.first <= found) & (found <= record.last)).sum())

    def _runs_in(self, slice_: Slice) -> list[tuple[Run, int]]:
        """Return the runs that reach into a slice; slices come in key order."""
        runs, records = self._ahead
        while self._next < len(runs) and runs[self._next].first < slice_.upper:
            self._open.append((runs[self._next], records[self._next]))
            self._next += 1
        self._open = [found for found in self._open if found[0].last >= slice_.lower]
        return self._open

    def _count(self, commits: Int64s) -> None:
        own = commits[(self._lowest <= commits) & (commits <= self._greatest)]
        records = self._firsts.searchsorted(own, "right") - 1
        inside = (records >= 0) & (own <= self._lasts[records])
        records, inside_own = records[inside], own[inside]
        np.add.at(self._counts, self._starts[records] + inside_own - self._firsts[records], 1)
        if len(inside_own) < len(own):
            self._without = np.concatenate((self._without, own[~inside]))

    def _report(self) -> None:
        may_lack = self._faults.are_events_missing
        bound = self._scope.bound()  # read after the events: they may have been pruned meanwhile
        for record, within, start in zip(
            self._records, self._within, self._starts.tolist()[:-1], strict=True
        ):
            found = self._counts[start : start + len(record.times)]
            said = np.array(record.events, np.int64)
            lacks = may_lack or (bool(record.runs) and record.runs[0].first < bound)
            wrong = np.flatnonzero(found > said if lacks else found != said)
            for at in wrong.tolist():
                reason = f"{found[at]} events have its number, its record says {said[at]}"
                self._add(record, record.first + at, reason, int(found[at]))
            total = int(found.sum())
            if within != total:
                reason = f"its record leads to {within} of the {total} events that have its number"
                if len(record.times) > 1:
                    reason = (
                        f"the record of the commits up to {record.last} leads to {within} of {total} events"
                    )
                self._add(record, record.first, reason, total - within)

    def _add(self, record: CommitRecord, commit: int, reason: str, events: int) -> None:
        first, last = (record.runs[0].first, record.runs[-1].last) if record.runs else (None, None)
        fault = Fault(f"commits {commit}", reason, key_or_none(first), key_or_none(last), events)
        self._faults.add(fault)


class _Readable:
    """Opens blocks for a reader; one that is damaged is left out, because it was noted before."""

    def open(self, key: bytes, value: bytes) -> Block | None:
        """Return the block, None if its key columns cannot be read."""
        try:
            block = Block(key, value)
            _ = block.commits, block.times, block.sources, block.numbers
        except DamagedError:
            return None
        return block
