"""The methods of an instance that read in arrival order, and that keep a copy in step."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future

from yamcs_archive import arguments
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event
from yamcs_archive.instance.base import OpenInstance, SkipDamaged, skipping
from yamcs_archive.limits import TIME_MAX_US, TIME_MIN_US
from yamcs_archive.results import (
    Change,
    Commit,
    MirrorState,
)


class Following(OpenInstance):
    """Reads events in arrival order."""

    def changes(self, after: str | None = None, *, skip_damaged: SkipDamaged = False) -> Iterator[Change]:
        """Return an iterator over all events after a cursor, in arrival order, each exactly once.

        Without ``after`` it starts at the oldest event that is stored. It ends at the newest; call it again
        with the last cursor for events stored meanwhile. A cursor stays valid across restarts, checkpoints
        and compaction. It contains a fingerprint of its commit: if the archive was put back to an older
        state, and that commit is missing or replaced, the cursor is refused.

        With ``skip_damaged`` it goes round damaged blocks and commit records, as :meth:`events` does.
        A cursor within a commit of which events are left out counts the others: use it with ``skip_damaged``.

        Raises BadCursorError, OtherHistoryError or CursorGoneError, at once.

        >>> _ = sim.append(Event("First", source="AOCS", generation_time=0))
        >>> last = [change.cursor for change in sim.changes()][-1]
        >>> _ = sim.append(Event("Late", source="AOCS", generation_time=-5))
        >>> [change.event.message for change in sim.changes(after=last)]
        ['Late']
        """
        self._check_open()
        return self._store.changes(after, skipping(skip_damaged))

    def commits(self, after: str | None = None) -> Iterator[Commit]:
        """Return an iterator over the events of :meth:`changes`, commit by commit, for a copy in step.

        One commit is in memory at a time: up to 20,000 events or 8 MiB of text. Raises the errors of
        :meth:`changes`.

        >>> _ = sim.append_many([Event("First", generation_time=0), Event("Second", generation_time=1)])
        >>> _ = sim.append(Event("Late", generation_time=-5))
        >>> [[event.message for event in commit.events] for commit in sim.commits()]
        [['First', 'Second'], ['Late']]
        """
        self._check_open()
        return self._store.commits(after)

    @property
    def mirrored(self) -> MirrorState | None:
        """The served instance that is copied here, and the cursor that the copy has reached, or None."""
        self._check_open()
        return self._store.mirrored

    def take_over(self, commits: Sequence[Commit], state: MirrorState) -> None:
        """Store commits of another archive, each as one commit with its own time, and the state of the copy.

        All of it is one transaction, durable on return. From then on the instance is a mirror: any other
        append is refused with :class:`~yamcs_archive.errors.MirrorError`. Events that are stored here
        already, or that are below this instance's own prune horizon, are skipped. Events must have times and
        numbers.

        Raises ConflictError if an event is stored here and differs in any field (nothing is stored then),
        InvalidInputError, OutOfSpaceError, ReadOnlyError, ClosedError, ForkedError.

        >>> event = Event("a", generation_time=0, seq_number=0, reception_time=1)
        >>> sim.take_over([Commit(2, (event,), "c")], MirrorState("http://127.0.0.1:8090", "simulator", "c"))
        >>> next(sim.commits()).time, sim.mirrored.cursor
        (2, 'c')
        """
        self._check_open()
        if not isinstance(state, MirrorState):
            raise InvalidInputError("state", state, "must be a MirrorState")
        mirrored = MirrorState(
            arguments.text("url", state.url),
            arguments.text("instance", state.instance),
            None if state.cursor is None else arguments.text("cursor", state.cursor),
        )
        copied = [_copied(commit) for commit in arguments.several("commits", commits, "commits")]
        self._store.take_over(copied, mirrored)

    def promote(self) -> MirrorState:
        """Make a mirror an archive of its own, durably, to which events can be appended.

        For a copy whose source is gone. Returns what it was a mirror of. It keeps its lineage: nothing that a
        cursor of it has seen changes. It does not follow its source again, because it may have events then
        that the source does not have.

        Raises :class:`~yamcs_archive.errors.NotAMirrorError`, ReadOnlyError, ClosedError, OutOfSpaceError.

        >>> sim.take_over([], MirrorState("http://127.0.0.1:8090", "simulator", None))
        >>> sim.promote().url, sim.mirrored, sim.append(Event("First of its own")).duplicate
        ('http://127.0.0.1:8090', None, False)
        """
        self._check_open()
        return self._store.promote()

    def cursor(self) -> str:
        """Return the cursor after the newest event: ``changes`` after it yields events stored from now on.

        >>> list(sim.changes(after=sim.cursor()))
        []
        """
        self._check_open()
        return self._store.cursor()

    def renewed(self, cursor: str) -> str:
        """Add the fingerprint of its commit to a cursor of an earlier version.

        A cursor without a fingerprint stays valid even if the archive was put back to an older state. A
        cursor that has one is returned unchanged and unchecked. Raises the errors of :meth:`changes`.

        >>> sim.renewed(sim.cursor()) == sim.cursor()
        True
        """
        self._check_open()
        return self._store.renewed(cursor)

    def arrival(self, after: str, *, timeout_s: float | None = None) -> Future[None]:
        """Return a future that is done as soon as ``changes(after)`` has an event.

        It is also done after ``timeout_s`` seconds, and at close; so check ``changes`` then. Waiting needs no
        thread, and the future may be cancelled. Callbacks run on one thread for all futures of this instance,
        never on the one that commits: keep them short. If another process writes, this one looks for new
        events ten times a second while a future waits.

        Raises BadCursorError, OtherHistoryError, CursorGoneError, ClosedError and ForkedError at once. If the
        file can no longer be read, the error comes through the future.

        >>> cursor = sim.cursor()
        >>> waiting = sim.arrival(cursor)
        >>> waiting.done()
        False
        >>> _ = sim.append(Event("Wheel 3 nominal", source="AOCS"))
        >>> waiting.result(timeout=60)
        >>> [change.event.message for change in sim.changes(after=cursor)]
        ['Wheel 3 nominal']
        """
        self._check_open()
        if timeout_s is not None:
            timeout_s = arguments.seconds("timeout_s", timeout_s, threading.TIMEOUT_MAX)
        return self._store.arrival(after, timeout_s)


def _copied(commit: Commit) -> tuple[int, list[Event]]:
    """Return time and events of a commit to be copied; InvalidInputError for a value that is no commit."""
    try:
        made, supply = commit.time, commit.events
    except Exception:  # whatever it is
        raise InvalidInputError("commits", commit, "must be commits, with time and events") from None
    events = list(arguments.several("events", supply, "events"))
    for event in events:
        if type(event) is not Event:
            raise InvalidInputError("event", event, "must be an Event")
        event.key  # noqa: B018  # raises where it is not filled in
        if event.reception_time is None:
            raise InvalidInputError("reception_time", None, "is not filled in before the event is stored")
    return arguments.whole("time", made, TIME_MIN_US, TIME_MAX_US), events
