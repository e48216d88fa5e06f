"""How often each template of messages occurs, where first, and whether it is new; pure.

1. ``template_numbers`` finds the template of each message; here events are counted.
2. Templates and their bytes are bounded. Once there is no room for a further one, the messages of all others
   count together: nothing is said of them, and of the rarest templates there may be rarer ones.
"""

from __future__ import annotations

from heapq import nsmallest

import numpy as np
import numpy.typing as npt

from yamcs_archive.event import SEVERITIES
from yamcs_archive.event_vectors import Int64s, Vectors
from yamcs_archive.pass_report.analysis.masking import ELLIPSIS
from yamcs_archive.pass_report.analysis.message_texts import MessageTexts
from yamcs_archive.pass_report.analysis.rounded_counts import with_rows
from yamcs_archive.pass_report.analysis.template_numbers import OTHER, TemplateNumbers
from yamcs_archive.pass_report.findings import MessageTemplate
from yamcs_archive.pass_report.limits import (
    EXAMPLE_CHARACTERS_MAX,
    MASKED_KNOWN_BYTES_MAX,
    TEMPLATES_BYTES_MAX,
    TEMPLATES_MAX,
)


class TemplateCounts:
    """The templates of the messages of a window, and of what came before it.

    ``new_since``, if it is given, is the time from which on a template counts as new.

    >>> from yamcs_archive import Event
    >>> from yamcs_archive.columns import Columns
    >>> from yamcs_archive.event_vectors import StoredVectors
    >>> events = [Event(f"Step {n}", generation_time=n, seq_number=n, reception_time=n) for n in (8, 9, 10)]
    >>> counts = TemplateCounts(new_since=0)
    >>> counts.add(StoredVectors.of(Columns.of(events), commit=1))
    >>> [(template.text, template.events, template.new) for template in counts.rarest(10)]
    [('Step <n>', 3, True)]
    """

    def __init__(
        self,
        new_since: int | None,
        *,
        templates_max: int = TEMPLATES_MAX,
        bytes_max: int = TEMPLATES_BYTES_MAX,
        known_bytes_max: int = MASKED_KNOWN_BYTES_MAX,
    ) -> None:
        self._new_since = new_since
        self._numbers = TemplateNumbers(templates_max, bytes_max, known_bytes_max)
        self._events: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._last: npt.NDArray[np.int64] = np.zeros(0, np.int64)
        self._old: npt.NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._firsts: dict[int, tuple[int, str, int, str]] = {}
        """Time, source, severity and message of each template's first event in the window."""

    def add_history(self, events: Vectors) -> None:
        """Note the templates of events before the window, all of them before ``new_since``."""
        found, _ = self._found(events)
        self._old[found] = True

    def add(self, events: Vectors) -> None:
        """Count the templates of events of the window, in the order of times."""
        found, texts = self._found(events)
        if self._new_since is not None:
            self._old[found[: int(events.times.searchsorted(self._new_since))]] = True
        unseen = np.flatnonzero(self._events[found] == 0)
        np.add.at(self._events, found, 1)
        self._last[found] = events.times  # of several the last is kept
        if len(unseen):
            numbers, at = np.unique(found[unseen], return_index=True)
            for number, index in zip(numbers.tolist(), unseen[at].tolist(), strict=True):
                self._note(number, events, index, texts.message(index))

    def _found(self, events: Vectors) -> tuple[Int64s, MessageTexts]:
        """Return the number of each event's template, and the messages."""
        found, texts = self._numbers.of(events)
        size = len(self._numbers.texts)
        self._events, self._last = with_rows(self._events, size), with_rows(self._last, size)
        self._old = with_rows(self._old, size)
        return found, texts

    def _note(self, number: int, events: Vectors, at: int, message: str) -> None:
        if number == OTHER:
            return
        if len(message) > EXAMPLE_CHARACTERS_MAX:
            message = f"{message[:EXAMPLE_CHARACTERS_MAX]}{ELLIPSIS} ({len(message)} characters)"
        self._numbers.bytes_left -= len(message)
        source = events.sources.values[events.sources.codes[at]]
        self._firsts[number] = int(events.times[at]), source, int(events.severities[at]), message

    @property
    def count(self) -> int:
        """The number of templates in the window."""
        return len(self._firsts)

    @property
    def new_count(self) -> int:
        """The number of those that are new."""
        return sum(1 for number in self._firsts if not self._old[number])

    @property
    def untold(self) -> int:
        """The number of events in the window whose templates had no room."""
        return int(self._events[OTHER]) if len(self._events) else 0

    @property
    def is_full(self) -> bool:
        """Whether there was no room for a template, in the window or before it."""
        return self._numbers.is_full

    def rarest(self, most: int) -> list[MessageTemplate]:
        """Return the templates with the fewest events, of equal ones the one seen first."""

        events = self._events.tolist()

        def order(number: int) -> tuple[int, int, str]:
            return events[number], self._firsts[number][0], self._numbers.texts[number]

        return list(map(self._template, nsmallest(most, self._firsts, key=order)))

    def new(self, most: int) -> list[MessageTemplate]:
        """Return the first new templates, by their first event."""

        def order(number: int) -> tuple[int, str]:
            return self._firsts[number][0], self._numbers.texts[number]

        new = (number for number in self._firsts if not self._old[number])
        return list(map(self._template, nsmallest(most, new, key=order)))

    def _template(self, number: int) -> MessageTemplate:
        time, source, severity, example = self._firsts[number]
        return MessageTemplate(
            text=self._numbers.texts[number],
            events=int(self._events[number]),
            first_time=time,
            last_time=int(self._last[number]),
            source=source,
            severity=SEVERITIES[severity].name,
            example=example,
            new=None if self._new_since is None else not self._old[number],
        )
