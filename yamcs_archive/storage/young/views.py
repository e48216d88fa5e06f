"""The memory tables of an instance side by side, and what a reader sees of them; pure.

1. Tables continue one another: each begins at the record at which the one before it ends. At most two have
   records: one that is being put into LMDB, and one that grows. Before them come carried events, which a
   checkpoint has left out of blocks: their commits are in LMDB, they themselves are in a record that it
   names.
   A bulk commit that has late events adds its own to them.
2. A view is made for a checkpoint, which a reader has read in its LMDB transaction. It has the records that
   follow that checkpoint without a gap, up to the newest one. If the tables have moved on, there is none: the
   reader must begin a new transaction.
3. The tuple of tables is replaced, never changed, so a view keeps those that it began with.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from yamcs_archive.columns import Columns
from yamcs_archive.errors import DamagedError
from yamcs_archive.event import Event
from yamcs_archive.event_vectors import StoredVectors, int64s
from yamcs_archive.limits import (
    TABLE_BYTES_LEFT_MAX,
    TABLE_BYTES_MAX,
    TABLE_EVENTS_LEFT_MAX,
    TABLE_RECORDS_MAX,
)
from yamcs_archive.storage.format.commits import CommitRecord
from yamcs_archive.storage.format.keys import TIME_BYTES
from yamcs_archive.storage.format.log_records import Carried, LogRecord
from yamcs_archive.storage.format.meta import NO_CHECKPOINT, Checkpoint
from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.young.memory_table import Extent, MemoryTable, is_full

_TAIL_BYTES = 5
LeftOut = Callable[[DamagedError], None]
"""Is called for what is damaged and left out."""


class YoungEvents:
    """Some young events, in the order in which they are read."""

    __slots__ = ("_parts", "keys")

    def __init__(self, keys: list[bytes], parts: list[tuple[MemoryTable, list[int], list[int]]]) -> None:
        """``parts``: for each table, which of the keys are its own, and their indexes in it."""
        self.keys = keys
        self._parts = parts

    def __len__(self) -> int:
        return len(self.keys)

    def take(self, places: Sequence[int]) -> YoungEvents:
        """Return the events at some places, in rising order."""
        if len(places) == len(self.keys):
            return self
        new_place = {old: new for new, old in enumerate(places)}
        parts = []
        for table, own, indexes in self._parts:
            kept = [
                (new_place[place], index)
                for place, index in zip(own, indexes, strict=True)
                if place in new_place
            ]
            if kept:
                parts.append((table, [place for place, _ in kept], [index for _, index in kept]))
        return YoungEvents([self.keys[place] for place in places], parts)

    def below(self, bound: bytes) -> int:
        """Return how many keys, which must be in rising order, are below a bound."""
        return bisect_left(self.keys, bound)

    def of_sources(self, names: Container[bytes]) -> YoungEvents:
        """Return the events of these sources, given as UTF-8; no event is built."""
        return self.take(
            [place for place, key in enumerate(self.keys) if key[TIME_BYTES:-_TAIL_BYTES] in names]
        )

    def columns(self) -> Columns[int]:
        """Return the events."""
        if len(self._parts) == 1:
            [(table, _, indexes)] = self._parts
            return table.columns(indexes)
        both = Columns.concat([table.columns(indexes) for table, _, indexes in self._parts])
        return both.take(self._order())

    def _order(self) -> list[int]:
        places = [place for _, own, _ in self._parts for place in own]
        return sorted(range(len(places)), key=places.__getitem__)

    def commit_numbers(self) -> list[int]:
        """Return the number of the commit of each event."""
        numbers = [number for table, _, indexes in self._parts for number in table.commit_numbers(indexes)]
        return numbers if len(self._parts) < 2 else [numbers[at] for at in self._order()]

    def events(self) -> list[Event]:
        """Return the events; what a caller changes in ``extra`` does not reach the tables."""
        columns = self.columns()
        if any(columns.extra):
            columns = columns._replace(extra=list(map(dict, columns.extra)))
        return list(map(Event, *columns))

    def vectors(self) -> StoredVectors:
        """Return the events as vectors, with the numbers of their commits."""
        return StoredVectors.of(self.columns(), 0)._replace(commits=int64s(self.commit_numbers()))


NO_EVENTS = YoungEvents([], [])


class YoungView(NamedTuple):
    """What a reader sees of the tables."""

    parts: tuple[tuple[MemoryTable, Extent], ...]

    @property
    def events(self) -> int:
        """The number of events."""
        return sum([extent.events for _, extent in self.parts])

    @property
    def is_newest(self) -> bool:
        """True if what was taken of it until now, sources and requests too, has no later record."""
        return all(table.begun == extent.last for table, extent in self.parts)

    @property
    def uncounted(self) -> int:
        """The number of events of commits that LMDB does not have, and the source states there do not
        count.
        """
        return sum([extent.events for _, extent in self.parts if extent.commits])

    def find(
        self, lower: bytes, upper: bytes, *, descending: bool, events_max: int
    ) -> tuple[YoungEvents, bool]:
        """Return the first events with ``lower <= key < upper``, and whether more follow.

        ``descending``: the last ones, from the greatest key on.
        """
        found = [
            (table, *table.find(lower, upper, extent, descending=descending, events_max=events_max))
            for table, extent in self.parts
            if extent.events
        ]
        followed = any(more for *_, more in found)
        found = [part for part in found if part[1]]
        if len(found) <= 1:
            if not found:
                return NO_EVENTS, False
            [(table, keys, indexes, more)] = found
            return YoungEvents(keys, [(table, list(range(len(keys))), indexes)]), more
        merged = sorted(
            (
                (key, index, nth)
                for nth, (_, keys, indexes, _) in enumerate(found)
                for key, index in zip(keys, indexes, strict=True)
            ),
            reverse=descending,
        )
        # Beyond the last key of a table that has more, keys of that table are missing.
        ends = [keys[-1] for _, keys, _, more in found if more]
        if ends:
            end = max(ends) if descending else min(ends)
            merged = [each for each in merged if (each[0] >= end if descending else each[0] <= end)]
        followed |= len(merged) > events_max
        del merged[events_max:]
        parts = []
        for nth, (table, *_) in enumerate(found):
            own = [place for place, (_, _, of) in enumerate(merged) if of == nth]
            if own:
                parts.append((table, own, [merged[place][1] for place in own]))
        return YoungEvents([key for key, _, _ in merged], parts), followed

    def commits(self, first: int = 0) -> Iterator[CommitRecord]:
        """Yield the records of the commits from a number on, in order."""
        for table, extent in self.parts:
            for number in range(max(first, table.first_commit), table.first_commit + extent.commits):
                if (found := table.commit(number, extent)) is not None:
                    yield found

    def newest_commit(self) -> CommitRecord | None:
        """Return the record of the newest commit."""
        for table, extent in reversed(self.parts):
            if extent.commits:
                return table.commit(table.first_commit + extent.commits - 1, extent)
        return None

    def commit(self, number: int) -> CommitRecord | None:
        """Return the record of a commit, or None."""
        found = (table.commit(number, extent) for table, extent in self.parts)
        return next((record for record in found if record is not None), None)

    def has_commits_from(self, number: int) -> bool:
        """Return whether a commit with that number, and later ones, can only be here."""
        return any(table.first_commit <= number for table, extent in self.parts if extent.commits)

    def sources(self) -> dict[str, SourceState]:
        """Return the states of the sources that changed, as they are now."""
        found: dict[str, SourceState] = {}
        for table, _ in self.parts:
            found.update(table.sources.copy())
        return found

    def requests(self) -> dict[bytes, bytes]:
        """Return the new records of request ids, as they are stored."""
        found: dict[bytes, bytes] = {}
        for table, _ in self.parts:
            found.update(table.requests.copy())
        return found

    def has(self, key: bytes) -> bool:
        """Return whether a young event has this key."""
        return bool(self.find(key, key + b"\0", descending=False, events_max=1)[0])

    def fact(self, name: bytes) -> bytes | None:
        """Return a changed fact of the instance, as it is stored."""
        return next((table.facts[name] for table, _ in reversed(self.parts) if name in table.facts), None)


NOTHING_YOUNG = YoungView(())


class CarriedGoneError(DamagedError):
    """The record with carried events is missing: a later checkpoint has other ones, or they are lost."""


class CommitsGoneError(DamagedError):
    """Commits are missing between two records: a later checkpoint, and bulk after it, has them."""


class YoungSource(Protocol):
    """Where a reader gets a view from."""

    def view(
        self, checkpoint: Checkpoint, left_out: LeftOut | None = None, *, again: bool = True
    ) -> YoungView | None:
        """Return what follows a checkpoint; None if the reader must begin a new transaction.

        ``left_out`` is called for what is damaged; without it that is an error. Without ``again`` new
        transactions have shown the same checkpoint: records that are missing are damage then, and not those
        that a later one has put into LMDB.
        """


def view_of_some(records: Iterable[LogRecord], carrying: Container[int]) -> YoungView:
    """Return a view of records of which some may be missing: each stretch of them is a table.

    ``carrying``: the numbers of those whose carried events count.
    """
    tables: list[MemoryTable] = []
    carried: MemoryTable | None = None
    head = 0
    for record in records:
        if record.carried is not None and record.sequence in carrying:
            if carried is None:
                carried = MemoryTable.of_carried(record.sequence, record.carried)
            else:
                carried.add_carried(record.sequence, record.carried)
        numbers = [commit.number for commit in record.commits]
        if numbers and (numbers[0] <= head or numbers != list(range(numbers[0], numbers[-1] + 1))):
            continue  # its checksum is right, so that was not written by this program
        if not tables or tables[-1].last + 1 != record.sequence or (numbers and numbers[0] != head + 1):
            tables.append(MemoryTable(record.sequence - 1))
        tables[-1].add(record)
        head = numbers[-1] if numbers else head
    every = tables if carried is None else [carried, *tables]
    return YoungView(tuple((table, table.extent) for table in every))


class MemoryTables:
    """The tables of an instance: carried events, the table that is put into LMDB, the one that grows.

    Only one thread changes them; the state is replaced, so that readers see all of a change or nothing.
    """

    def __init__(self, checkpoint: Checkpoint, records: Iterable[LogRecord] = ()) -> None:
        """Make the tables of the records after a checkpoint. Raises DamagedError if carried events are
        missing.
        """
        self._state: tuple[MemoryTable | None, tuple[MemoryTable, ...]] = (
            None,
            (MemoryTable(checkpoint.last),),
        )
        self._next: tuple[Checkpoint, MemoryTable | None] = checkpoint, None
        self._read = 0  # the newest commit that was read, once there is one
        self._unnamed: dict[int, Carried] = {}  # what records carry that no checkpoint has named yet
        for record in records:
            self.add(record)
        if not self.carry_up_to(checkpoint.carried):
            where = f"record {checkpoint.carried} of the log"
            raise CarriedGoneError(where, "the events that it carries are missing, or those before them")

    def add(self, record: LogRecord) -> None:
        """Add a record that was read. What it carries is seen only after :meth:`carry_up_to`.

        Raises CommitsGoneError unless its commits continue those before.
        """
        for commit in record.commits:
            if self._read not in (0, commit.number - 1):
                reason = f"it has commit {commit.number}, and {self._read + 1} was to follow"
                raise CommitsGoneError(f"record {record.sequence} of the log", reason)
            self._read = commit.number
        self.growing.add(record)
        if record.carried is not None:
            self._unnamed[record.sequence] = record.carried

    def carry_up_to(self, number: int) -> bool:
        """Carry the events of the record that a checkpoint names, and of those before it that count.

        Return False if one of them is not among the records that were added; then nothing has changed.
        """
        known = 0 if self.carried is None else self.carried.last
        chain: list[tuple[int, Carried]] = []
        while number != known:
            found = self._unnamed.get(number)
            if found is None or found.before >= number:
                return False
            chain.append((number, found))
            number = found.before
        for at, found in reversed(chain):
            self.carry(at, found)
        if chain:
            newest = chain[0][0]
            self._unnamed = {at: found for at, found in self._unnamed.items() if at > newest}
        return True

    def carry(self, number: int, carried: Carried) -> None:
        """Carry the events of a record beside those that are carried already."""
        table, tables = self._state
        if table is None:
            self._state = MemoryTable.of_carried(number, carried), tables
        else:
            table.add_carried(number, carried)

    @property
    def all(self) -> tuple[MemoryTable, ...]:
        """Every table, carried events first."""
        carried, tables = self._state
        return tables if carried is None else (carried, *tables)

    @property
    def carried(self) -> MemoryTable | None:
        """The events that a checkpoint left out of blocks, if there are any."""
        return self._state[0]

    @property
    def growing(self) -> MemoryTable:
        """The table that takes the next record."""
        return self._state[1][-1]

    @property
    def frozen(self) -> MemoryTable | None:
        """The next table to put into LMDB, if there is one."""
        tables = self._state[1]
        return tables[0] if len(tables) > 1 else None

    @property
    def before_growing(self) -> tuple[MemoryTable, ...]:
        """All tables but the one that grows, carried events first."""
        return self.all[:-1]

    @property
    def any(self) -> bool:
        """True if a table has something."""
        carried, tables = self._state
        return carried is not None or any(table.last > table.after for table in tables)

    def are_full(self, events_max: int) -> bool:
        """Return whether no more events may be added before some are put into LMDB."""
        tables = self._state[1]
        growing = tables[-1]
        if len(tables) > 1:
            if is_full(growing, events_max):
                return True
            events, size_bytes = (
                sum([each.events for each in tables]),
                sum([each.size_bytes for each in tables]),
            )
        else:
            events, size_bytes = growing.events, growing.size_bytes
        # After a failed checkpoint what was in two tables is in one.
        return (
            events >= 2 * events_max
            or size_bytes >= 2 * TABLE_BYTES_MAX
            or growing.last - tables[0].after >= 2 * TABLE_RECORDS_MAX
        )

    @property
    def count(self) -> int:
        """The number of young events."""
        return sum(table.events for table in self.all)

    @property
    def few(self) -> bool:
        """True if what is young is so little that it stays in the log at rest and at close."""
        size_bytes = sum(table.size_bytes for table in self.all)
        return self.count <= TABLE_EVENTS_LEFT_MAX and size_bytes <= TABLE_BYTES_LEFT_MAX

    def freeze(self) -> MemoryTable:
        """Let a new table grow; return the one that was full."""
        carried, tables = self._state
        full = tables[-1]
        self._state = carried, (*tables, MemoryTable(full.last))
        return full

    def about_to_store(self, checkpoint: Checkpoint, carried: MemoryTable | None) -> None:
        """Take note that LMDB may be at a checkpoint at any moment, with ``carried`` left out."""
        self._next = checkpoint, carried

    def stored(self, last: int, carried: MemoryTable | None) -> list[MemoryTable]:
        """Drop the frozen tables of which LMDB has all records, up to ``last``, and return them.

        ``carried`` are the events left out.
        """
        *frozen, growing = self._state[1]
        self._state = carried, (*(table for table in frozen if table.last > last), growing)
        return [table for table in frozen if table.last <= last]

    def view(
        self,
        checkpoint: Checkpoint,
        _left_out: LeftOut | None = None,
        *,
        again: bool = True,  # noqa: ARG002  # they come to fit in any case
    ) -> YoungView | None:
        """Return what follows a checkpoint."""
        carried, tables = self._state
        if checkpoint.carried != (0 if carried is None else carried.last):
            # It may be in LMDB a moment before it is known to be, or for longer if that cannot be found out.
            coming, carried = self._next
            if coming != checkpoint:
                return None
        before = () if carried is None else ((carried, carried.extent),)
        if checkpoint.carried != (before[0][1].last if before else 0):
            return None  # more are carried by now
        for at, table in enumerate(tables):
            if table.after == checkpoint.last:
                # The newest first: a record that comes meanwhile is then in no view without the one before
                # it.
                parts = [(each, each.extent) for each in reversed(tables[at:])][::-1]
                first = next((each.first_commit for each, extent in parts if extent.commits), None)
                if first is not None and checkpoint.commit not in (first - 1, NO_CHECKPOINT.commit):
                    return None  # commits between them have passed the log by
                return YoungView((*before, *parts))
        return YoungView(before) if tables[-1].last == checkpoint.last else None
