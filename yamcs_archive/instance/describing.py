"""The methods of an instance that tell how it fares."""

from __future__ import annotations

from yamcs_archive.activity import InstanceActivity, InstanceUsage
from yamcs_archive.instance.base import OpenInstance
from yamcs_archive.reports import InstanceSummary
from yamcs_archive.results import StoredForms


class Describing(OpenInstance):
    """Tells what was appended, what is stored, and what it takes."""

    def activity(self) -> InstanceActivity:
        """Return what was appended since this process opened the instance; it reads nothing.

        It works whatever the state of the disk, also after the archive was closed.

        >>> _ = sim.append_many([Event("a", generation_time=1), Event("b", generation_time=2)])
        >>> found = sim.activity()
        >>> found.stored, found.commit_events.count, found.duplicates
        (2, 1, 0)
        """
        return self._store.activity()

    def usage(self) -> InstanceUsage:
        """Return what the instance holds and uses now: young events and blocks, map and file, readers,
        backlog.

        It takes some 20 us, whatever the number of events and sources, and writes nothing.

        Raises GoneError if its file is gone, ClosedError, ForkedError, UnavailableError.

        >>> _ = sim.append(Event("Wheel 3 over speed"))
        >>> found = sim.usage()
        >>> found.young_events, found.blocks, found.map_used_bytes <= found.map_bytes
        (1, 0, True)
        """
        self._check_open()
        return self._store.usage()

    def stored_forms(self) -> StoredForms:
        """Return in which forms the instance is stored: whether an earlier version has written some of it.

        It reads every zone map, and every block's header. To bring what is found forward, open the archive
        for writing and call :meth:`settle`, or wait: a writer does the same by itself.

        Raises GoneError, ClosedError, ForkedError, UnavailableError.

        >>> _ = sim.append(Event("Wheel 3 over speed"))
        >>> found = sim.stored_forms()
        >>> found.format, found.is_current
        (2, True)
        """
        self._check_open()
        return self._store.stored_forms()

    def summary(self) -> InstanceSummary:
        """Return the numbers of the instance, as ``yamcs-archive stats`` shows them.

        It reads the state of every source, some microseconds each; for numbers of each source see
        :meth:`stats`. Counts of refused events are those that ``stats`` has.

        Raises DamagedError, GoneError, ClosedError, ForkedError, UnavailableError.

        >>> _ = sim.append(Event("Wheel 3 over speed", source="AOCS", generation_time=5))
        >>> found = sim.summary()
        >>> found.events, found.sources, found.last_time, found.commit
        (1, 1, 5, 1)
        """
        self._check_open()
        stats = self._store.stats()
        states, mirrored = stats.sources.values(), self._store.mirrored
        return InstanceSummary(
            name=self.name,
            events=sum(state.events for state in states),
            sources=len(states),
            duplicates=sum(state.duplicates for state in states),
            conflicts=sum(state.conflicts for state in states),
            expired=sum(state.expired for state in states),
            created=stats.created,
            first_time=stats.first.generation_time if stats.first else None,
            last_time=stats.last.generation_time if stats.last else None,
            commit=stats.commit,
            commit_time=stats.commit_time,
            horizon=stats.horizon,
            mirror_of=None if mirrored is None else mirrored.url,
            usage=self._store.usage(),
            activity=self._store.activity() if stats.writing else None,
        )
