"""The trees of an LMDB file, followed page by page, and what a broken one has lost from them.

1. The file has two heads, each with the state after one of its last two commits. The newer one counts; where
   it leads nowhere, the older one.
2. A page that is not where its tree says, that is in a tree twice, or that cannot be read, ends that branch:
   the keys that were below it are a :class:`Gap`. Everything beside it is read.
3. Pages of a broken tree are still in the file. So where a sub-database has a gap, the leaves that no tree
   led to are read too, and each value whose checksum is that of this sub-database is taken. Some of these
   pages may be older than the damage: events never change, so an older copy of one is as good; what else an
   old page may say is for the reader of it to judge (``Leaf.is_stray``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from yamcs_archive.storage.disk.lmdb_pages import (
    HEADS,
    LEAF,
    Node,
    PageError,
    PageFile,
    kind_of,
    nodes,
    number_of,
    sub_database,
)


class Gap(NamedTuple):
    """Keys of a sub-database that its tree no longer leads to: from ``lower`` up to ``upper``."""

    database: str
    lower: bytes
    upper: bytes | None
    """None: no key is beyond."""
    reason: str


class Leaf(NamedTuple):
    """A page with values."""

    file: PageFile
    number: int
    page: bytes
    nodes: list[Node]
    is_stray: bool
    """No tree leads to it: it may be older than the values that do have a tree."""

    @classmethod
    def of(cls, file: PageFile, number: int, page: bytes, *, is_stray: bool) -> Leaf:
        """Return a page with the nodes that are within it."""
        found = [node for node in nodes(page, LEAF) if node is not None]
        return cls(file, number, page, found, is_stray)

    def pairs(self, lost: Callable[[bytes, PageError], None]) -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values; ``lost`` is called with the key of a value that is out of reach."""
        for node in self.nodes:
            try:
                yield node.key, self.file.value(self.page, node)
            except PageError as error:
                lost(node.key, error)


class Trees:
    """The sub-databases of one file."""

    def __init__(self, file: PageFile, names: tuple[str, ...]) -> None:
        self.file = file
        self.gaps: list[Gap] = []
        """All that is lost; complete once every sub-database was read."""
        self.may_be_older = True
        """The head of the newest commit is damaged, or may be: what is read may be the commit before."""
        self._seen: set[int] = set()
        self._roots: dict[str, int | None] = {}
        for nth, root in enumerate(file.roots):
            gaps = len(self.gaps)
            self._find(root.main)
            del self.gaps[gaps:]  # what is missing for that shows below
            if set(names) <= self._roots.keys():
                self.may_be_older = nth > 0 or len(file.roots) < HEADS
                break
            self._seen.clear()
        for name in set(names) - self._roots.keys():
            self.gaps.append(Gap(name, b"", None, "the file does not say where its values are"))

    def _find(self, main: int | None) -> None:
        for leaf in self._leaves("", main):
            for node in leaf.nodes:
                name = node.key.decode("ascii", "replace")
                try:
                    found = sub_database(self.file.value(leaf.page, node), node.flags).root
                except PageError:
                    continue
                self._roots.setdefault(name, found)

    def leaves(self, name: str) -> Iterator[Leaf]:
        """Yield the leaves of a sub-database in the order of their keys; gaps are noted."""
        if name in self._roots:
            yield from self._leaves(name, self._roots[name])

    def _leaves(self, name: str, root: int | None) -> Iterator[Leaf]:
        if root is None:
            return
        left: list[tuple[int, bytes, bytes | None]] = [(root, b"", None)]
        while left:
            number, lower, upper = left.pop()
            try:
                page = self._page(number)
            except PageError as error:
                self.gaps.append(Gap(name, lower, upper, str(error)))
                continue
            kind = kind_of(page)
            found = self._sound(name, nodes(page, kind), lower, upper)
            if kind == LEAF:
                yield Leaf(self.file, number, page, found, is_stray=False)
                continue
            # The first key of a branch is empty: it stands for all keys below the second.
            keys = [lower, *(node.key for node in found[1:])]
            ends = [*keys[1:], upper]
            below = zip((node.child for node in found), keys, ends, strict=True)
            left.extend(reversed(list(below)))

    def _page(self, number: int) -> bytes:
        if number in self._seen:
            raise PageError(f"page {number} has two places")
        page = self.file.page(number)
        if number_of(page) != number or not kind_of(page):
            raise PageError(f"page {number} is damaged")
        self._seen.add(number)
        return page

    def _sound(
        self, name: str, found: Iterator[Node | None], lower: bytes, upper: bytes | None
    ) -> list[Node]:
        """Return the nodes that are within their page, and note the keys of the others."""
        sound: list[Node] = []
        is_gap = False
        for node in found:
            if node is None:
                is_gap = True
                continue
            if is_gap:
                after = sound[-1].key if sound else lower
                self.gaps.append(Gap(name, after, node.key, "a part of their page is damaged"))
                is_gap = False
            sound.append(node)
        if is_gap:
            after = sound[-1].key if sound else lower
            self.gaps.append(Gap(name, after, upper, "a part of their page is damaged"))
        return sound

    def stray_leaves(self) -> Iterator[Leaf]:
        """Yield every other page of the file that may be a leaf. Call it after all trees were read."""
        for number in range(self.file.pages):
            if number in self._seen:
                continue
            try:
                page = self.file.page(number)
            except PageError:
                continue
            if kind_of(page) == LEAF and number_of(page) == number:
                yield Leaf.of(self.file, number, page, is_stray=True)
