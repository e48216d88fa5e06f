"""Stored events field by field, as the storage reads them and the encoders of many take them; types only.

Numbers are vectors of numpy. Texts of which few are different (sources, types, users) are a table of the
different ones and, for each event, its place in the table. Which classes have this form is said in
:mod:`yamcs_archive.event`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from yamcs_archive.event import Event

if TYPE_CHECKING:  # so that numpy is needed only where something is calculated
    import numpy as np
    import numpy.typing as npt

    Ints = npt.NDArray[np.int64]


class DictColumn(Protocol):
    """A column of texts, or None, few of them different: dictionary encoding."""

    @property
    def values(self) -> list[Any]:
        """The different values."""

    @property
    def codes(self) -> npt.NDArray[np.int32]:
        """For each event, the index of its value."""


class EventVectors(Protocol):
    """Complete events, field by field. Times are microseconds since 1970."""

    @property
    def times(self) -> Ints:
        """Generation times."""

    @property
    def numbers(self) -> Ints:
        """Sequence numbers."""

    @property
    def received(self) -> Ints:
        """Reception times."""

    @property
    def severities(self) -> npt.NDArray[np.uint8]:
        """Codes of severities."""

    @property
    def sources(self) -> DictColumn:
        """Sources."""

    @property
    def types(self) -> DictColumn:
        """Types."""

    @property
    def users(self) -> DictColumn:
        """The users who created the events."""

    @property
    def messages(self) -> list[str]:
        """Messages."""

    @property
    def extensions(self) -> list[bytes] | None:
        """Extensions; None where no event has any."""

    @property
    def extra(self) -> list[dict[str, str]] | None:
        """Further text by name; None where no event has any."""

    def event(self, at: int) -> Event:
        """Return one event."""

    def events(self) -> Iterator[Event]:
        """Yield all events."""


class StoredVectors(EventVectors, Protocol):
    """What :meth:`~yamcs_archive.Instance.event_vectors` yields: events field by field, and parts of them."""

    @property
    def size(self) -> int:
        """The number of events."""

    def take(self, places: Sequence[int], /) -> StoredVectors:
        """Return the events at these indexes, in that order."""
