"""Messages -> the numbers of their templates: of most by their keys alone, of what is new by masks; pure.

1. Keys are looked up for all events together, by numpy: those of up to 512 bytes, which are nearly all. The
   others are looked up one by one, and so are messages with escapes that have digits.
2. What is not known is masked in the order of the events: so templates have the same numbers whatever is
   remembered.
3. Templates and their bytes are bounded: once there is no room for a further one, it has the number OTHER.
   Keys that are remembered are bounded too, and may be forgotten at any time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from yamcs_archive.event_vectors import Indexes, Int64s, Vectors
from yamcs_archive.pass_report.analysis.known_texts import UNKNOWN, KnownTexts
from yamcs_archive.pass_report.analysis.masking import WITHOUT_DIGITS, Masks
from yamcs_archive.pass_report.analysis.message_texts import PADDING_BYTES, MessageTexts, unescaped

OTHER = 0
"""The number of all templates for which there is no room."""
_WIDTHS = (128, PADDING_BYTES)
"""Bytes of the rows of the tables: of most messages, and of the longest that are looked up together."""
_KEPT_BYTES_MAX = 4096
"""Longest message, in bytes, whose template is remembered."""
_CODED = b'"'
"""Begins what is remembered of a message with coded escapes: no key has it unescaped."""


class TemplateNumbers:
    """The numbers of templates, from 1 in the order in which they were first seen."""

    def __init__(self, templates_max: int, bytes_max: int, known_bytes_max: int) -> None:
        self.texts = [""]
        """The templates."""
        self.is_full = False
        """Whether there was no room for a template."""
        self.bytes_left = bytes_max
        """How many bytes there is room for."""
        self._templates_max = templates_max
        self._numbers: dict[str, int] = {}
        self._masks = Masks()
        # Half of the room is for short keys, and a quarter for each of the others.
        self._tables = [
            KnownTexts(width, known_bytes_max // share // width)
            for width, share in zip(_WIDTHS, (2, 4), strict=True)
        ]
        self._known: dict[bytes, int] = {}
        self._known_bytes_max = self._known_bytes_left = known_bytes_max // 4

    def of(self, events: Vectors) -> tuple[Int64s, MessageTexts]:
        """Return the number of each event's template, and the messages."""
        texts = MessageTexts(events)
        stored = np.full(len(texts.starts), UNKNOWN, np.int64)
        for table, which in self._by_table(texts.lengths, texts.coded):
            rows = table.rows(texts.keys, texts.starts[which], texts.lengths[which])
            stored[which] = table.find(rows)
        found = stored if texts.order is None else stored[texts.order]
        unknown = np.flatnonzero(found == UNKNOWN)
        if len(unknown):
            self._learn(texts, found, unknown)
        return found, texts

    def _by_table(
        self, lengths: Indexes, coded: npt.NDArray[np.bool_] | None
    ) -> Iterator[tuple[KnownTexts, Indexes | slice]]:
        """Yield the tables, each with the indexes of the messages that may be in it."""
        longest = 0
        for table in self._tables:
            fits = lengths <= table.width
            if longest:
                fits &= lengths > longest
            if coded is not None:
                fits &= ~coded
            longest = table.width
            if fits.all():
                yield table, slice(None)
                break
            if fits.any():
                yield table, np.flatnonzero(fits)

    def _learn(self, texts: MessageTexts, found: Int64s, unknown: Indexes) -> None:
        """Find the numbers of the events at some indexes, and remember them."""
        new: dict[bytes, int] = {}
        firsts = []
        for at, key in zip(unknown.tolist(), texts.keys_of(unknown), strict=True):
            if key is None:
                message = texts.message(at).encode().translate(WITHOUT_DIGITS)
                found[at] = self._of_other(_CODED + message)
            elif len(key) > PADDING_BYTES:
                found[at] = self._of_other(key)
            else:
                number = new.get(key)
                if number is None:
                    number = self._known.get(key)
                    number = new[key] = self._of_message(unescaped(key)) if number is None else number
                    firsts.append(at)
                found[at] = number
        indexes = np.array(firsts, np.intp)
        if texts.order is not None:
            indexes = texts.order[indexes]
        starts, lengths = texts.starts[indexes], texts.lengths[indexes]
        keys, numbers = list(new), np.fromiter(new.values(), np.int64, len(new))
        for table, some in self._by_table(lengths, None):
            rows = table.rows(texts.keys, starts[some], lengths[some])
            among = np.arange(len(keys))[some]
            for at in among[table.add(rows, numbers[some])].tolist():
                self._remember(keys[at], int(numbers[at]))

    def _of_other(self, key: bytes) -> int:
        """Return the number of a message that is in no table."""
        number = self._known.get(key)
        if number is None:
            number = self._of_message(key[1:] if key.startswith(_CODED) else unescaped(key))
            self._remember(key, number)
        return number

    def _remember(self, key: bytes, number: int) -> None:
        size = len(key)
        if size <= _KEPT_BYTES_MAX and key not in self._known:
            if size > self._known_bytes_left:
                self._known.clear()
                self._known_bytes_left = self._known_bytes_max
            self._known_bytes_left -= size
            self._known[key] = number

    def _of_message(self, message: bytes) -> int:
        """Return the number of a message in UTF-8 whose digits are 0."""
        template = self._masks.template_of(message)
        found = self._numbers.get(template)
        if found is not None:
            return found
        if self.is_full or len(self.texts) > self._templates_max or self.bytes_left < len(template):
            self.is_full = True
            return OTHER
        self.bytes_left -= len(template)
        self._numbers[template] = found = len(self.texts)
        self.texts.append(template)
        return found
