"""The states of sources in the writer's memory, so that a commit seldom looks one up.

1. A state in memory is the present one: a commit changes it after its record was synced, and a refusal at
   once.
2. The states of *unsaved* sources have counts of refused events that are ahead of the medium. They are in
   memory until a commit, or the end of the writer, has saved them: nothing else has those counts.
3. Memory is bounded: beyond :data:`_SOURCES_CACHED_MAX` all but the unsaved ones are dropped. The committer
   saves these when they are as many themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

from yamcs_archive.storage.format.source_states import SourceState
from yamcs_archive.storage.write.stored_events import StoredEvents

_SOURCES_CACHED_MAX = 65_536
"""Source states in memory, some 15 MB. Beyond it those that are on the medium are dropped, and read again
when needed. If as many are ahead of the medium, by counts of refusals, these are written without an event."""


class SourceCache:
    """States by the names of sources, for the thread that commits."""

    def __init__(self) -> None:
        self.states: dict[str, SourceState] = {}
        """Those that are known, by the names of their sources."""
        self.unsaved: set[str] = set()
        """The sources whose counts of refused events are ahead of the medium."""

    def state(self, stored: StoredEvents, changed: Mapping[str, SourceState], source: str) -> SourceState:
        """Return the state of a source after what has ``changed`` and is not stored yet."""
        known = changed.get(source) or self.states.get(source)
        if known is None:
            known = self.states[source] = stored.source(source)
        return known

    def remember(self, changed: Mapping[str, SourceState]) -> None:
        """Cache the changed states, up to the bound; those ahead of the medium stay in any case."""
        self.states.update(changed)
        if len(self.states) > _SOURCES_CACHED_MAX:
            ahead = self.unsaved & self.states.keys()
            self.states = {source: self.states[source] for source in ahead}

    @property
    def must_be_saved(self) -> bool:
        """True if so many sources are unsaved that the next commit saves them even if it has no event."""
        return len(self.unsaved) > _SOURCES_CACHED_MAX

    def unsaved_states(self) -> dict[str, SourceState]:
        """Return the states whose counts of refused events are ahead of the medium. For any thread."""
        states = {source: self.states.get(source) for source in tuple(self.unsaved)}
        return {source: state for source, state in states.items() if state is not None}

    def clear(self) -> None:
        """Forget all of them."""
        self.states.clear()
        self.unsaved.clear()
