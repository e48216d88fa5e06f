"""AsyncInstance: an instance whose appends, reads and waits can be awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

from yamcs_archive.aio.gathering import append_gathered
from yamcs_archive.aio.threads import Threads, settled
from yamcs_archive.errors import DamagedError, InvalidInputError
from yamcs_archive.event import AnySeverity, Event, EventKey, StoredEvent, event_bytes
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.instance import Instance
from yamcs_archive.pass_report.limits import LATE_AFTER_S_DEFAULT, TOP_DEFAULT
from yamcs_archive.results import AppendCounts, Appended, Change, InstanceStats
from yamcs_archive.times import Time

if TYPE_CHECKING:
    from yamcs_archive.pass_report.report import PassReport

T = TypeVar("T")


class AsyncInstance:
    """One stream of events, for programs that use asyncio. Get one from :meth:`AsyncArchive.instance`.

    Its methods have the arguments, results and errors of :class:`yamcs_archive.Instance`. Any number of them
    may be under way; appends of many tasks share commits.
    """

    def __init__(self, instance: Instance, threads: Threads) -> None:
        self.instance = instance
        """The instance itself, for what has no method here."""
        self._threads = threads

    @property
    def name(self) -> str:
        """The instance's name."""
        return self.instance.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    async def append(self, event: Event, *, request_id: str | None = None) -> Appended:
        """Store one event; on return it is fsynced.

        While more than 32 MiB wait to be committed, the event waits on a thread, not in the loop. If this is
        cancelled, the event may be stored all the same; append it again with its time and number, or its
        ``request_id``, to be sure.
        """
        future = self.instance._submit_if_room(event, request_id)
        if future is None:
            submit = partial(self.instance.submit, event, request_id=request_id)
            future = await self._threads.run(submit, writing=True)
        return await settled(future)

    async def append_many(
        self, events: Iterable[Event] | AsyncIterable[Event], *, request_id: str | None = None
    ) -> AppendCounts:
        """Store events from any iterable, in chunks. Each chunk is durable before the next one is stored.

        An asynchronous iterable is read in the loop: each event is stamped when it comes, and waits at most a
        quarter of a second for others. An error of a commit ends this at once, even while the next event is
        awaited. Any other iterable is read on a thread: give it nothing that belongs to the loop.

        If this is cancelled, no further event is taken. Those that were taken may be stored or not.
        """
        if isinstance(events, AsyncIterable):
            chunks = self.instance._long_append(request_id)
            return await append_gathered(events, chunks, self.instance._options.clock, self._threads)
        try:
            supply = iter(events)
        except TypeError:
            raise InvalidInputError("events", events, "must be an iterable of events") from None
        ended: list[bool] = []
        try:
            wanted = takewhile(lambda _: not ended, supply)
            append = partial(self.instance.append_many, wanted, request_id=request_id)
            return await self._threads.run(append, writing=True)
        finally:
            ended.append(True)

    async def get(self, key: EventKey) -> StoredEvent | None:
        """Return the event with this key, or None."""
        return await self._threads.run(lambda: self.instance.get(key))

    def events(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        descending: bool = False,
        limit: int | None = None,
        after_key: EventKey | None = None,
        skip_damaged: bool | Callable[[DamagedError], None] = False,
    ) -> AsyncIterator[StoredEvent]:
        """Return an asynchronous iterator over the events of :meth:`Instance.events`, in key order.

        They are read on a thread, up to 1,000 or 1 MiB of text ahead. Errors, also of bad arguments, come
        with the first event. When the iteration is cancelled or closed, reading ends.

        >>> import asyncio
        >>> from yamcs_archive import AsyncArchive
        >>> async def main():
        ...     async with AsyncArchive.open(directory) as archive:
        ...         steps = await archive.instance("steps", create=True)
        ...         await steps.append_many(Event(f"Step {n}", generation_time=n) for n in range(5))
        ...         return [event.message async for event in steps.events(descending=True, limit=2)]
        >>> asyncio.run(main())
        ['Step 4', 'Step 3']
        """
        read = partial(
            self.instance.events,
            start=start,
            stop=stop,
            sources=sources,
            min_severity=min_severity,
            text=text,
            filter=filter,
            descending=descending,
            limit=limit,
            after_key=after_key,
            skip_damaged=skip_damaged,
        )
        return self._threads.items(lambda ended: read(cancelled=ended), event_bytes)

    async def count(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
    ) -> int:
        """Return the number of events that :meth:`events` gives for the same arguments."""
        ended: list[bool] = []
        call = partial(
            self.instance.count,
            start=start,
            stop=stop,
            sources=sources,
            min_severity=min_severity,
            text=text,
            filter=filter,
            cancelled=lambda: bool(ended),
        )
        try:
            return await self._threads.run(call)
        finally:
            ended.append(True)

    async def report(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        new_since: Time | None = None,
        history_since: Time | None = None,
        late_after_s: float = LATE_AFTER_S_DEFAULT,
        top: int = TOP_DEFAULT,
        progress: Callable[[int, int], None] | None = None,
        skip_damaged: bool | Callable[[DamagedError], None] = False,
    ) -> PassReport:
        """Return what an operator wants to know of the events with ``start <= generation_time < stop``.

        Events are read, and analysed, on a thread; ``progress`` is called in the loop. When this is
        cancelled, reading ends. See :meth:`Instance.report`.
        """
        loop = asyncio.get_running_loop()
        ended = threading.Event()
        call = partial(
            self.instance.report,
            start=start,
            stop=stop,
            sources=sources,
            min_severity=min_severity,
            text=text,
            filter=filter,
            new_since=new_since,
            history_since=history_since,
            late_after_s=late_after_s,
            top=top,
            # What is no function is refused there.
            progress=partial(_in_loop, loop, progress) if callable(progress) else progress,
            cancelled=ended.is_set,
            skip_damaged=skip_damaged,
        )
        try:
            found = await self._threads.run(call)
        finally:
            ended.set()
        if found is None:
            raise AssertionError("only a call that is cancelled has no result")
        return found

    async def sources(self) -> list[str]:
        """Return the names of all sources of which an event was ever stored here, sorted."""
        return await self._threads.run(self.instance.sources)

    async def stats(self) -> InstanceStats:
        """Return the counts of the instance, in all and for each source."""
        return await self._threads.run(self.instance.stats)

    async def cursor(self) -> str:
        """Return the cursor after the newest event."""
        return await self._threads.run(self.instance.cursor)

    def changes(
        self, after: str | None = None, *, skip_damaged: bool | Callable[[DamagedError], None] = False
    ) -> AsyncIterator[Change]:
        """Return an asynchronous iterator over all events after a cursor, in arrival order, each once.

        Without ``after`` it starts at the oldest event; it ends at the newest. See :meth:`follow`.
        """
        read = partial(self.instance.changes, after, skip_damaged=skip_damaged)
        return self._threads.items(lambda _: read(), lambda change: event_bytes(change.event))

    async def follow(self, after: str | None = None) -> AsyncIterator[Change]:
        """Yield the events after a cursor in arrival order, and then each new one when it is stored.

        Without ``after`` it starts with events that are stored from now on; keep the cursor of the last one
        to go on after a restart. It ends with ClosedError when the archive is closed. While it waits it uses
        no thread.
        """
        cursor = await self.cursor() if after is None else after
        while True:
            async for change in self.changes(cursor):
                cursor = change.cursor
                yield change
            await self._arrival(cursor)

    async def _arrival(self, cursor: str) -> None:
        arrival = await self._threads.run(lambda: self.instance.arrival(cursor), Future.cancel)
        try:
            await settled(arrival)
        finally:
            arrival.cancel()


def _in_loop(
    loop: asyncio.AbstractEventLoop, call: Callable[[int, int], None], done: int, whole: int
) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody waits
        loop.call_soon_threadsafe(call, done, whole)
