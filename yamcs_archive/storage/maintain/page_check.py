"""The check of LMDB's own pages: the two heads of the file, the trees, and the list of free pages.

1. It is read without LMDB, so that nothing damaged leads astray: pages by their numbers, each once. A read
   transaction is open meanwhile, so that no page of the state that is checked is used anew. Pages of large
   values, which are nearly all of a large archive, are not read but for their heads.
2. Each page of a state has one use: it is part of a tree, or of a large value, or it is free. Keys are in
   order and within the bounds that the branches above give, and each tree is as the file says.
3. Where a page of a tree is damaged nothing else is verified: LMDB could be led anywhere by it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from yamcs_archive.errors import UnavailableError
from yamcs_archive.results import Fault
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.lmdb_open import DATA
from yamcs_archive.storage.disk.lmdb_pages import (
    BIG_VALUE,
    BRANCH,
    HEAD_BYTES,
    HEADS,
    LEAF,
    NODE_HEAD_BYTES,
    OVERFLOW,
    Node,
    PageError,
    PageFile,
    Root,
    Tree,
    bounds_of,
    fault_of_freed,
    fault_of_heads,
    flags_of,
    free_pages,
    kind_of,
    nodes,
    number_of,
    overflow_of,
    overflow_pages,
    sub_database,
)
from yamcs_archive.storage.maintain.faults import key_or_none

_TRIES, _WAIT_S = 200, 0.001
"""How often the heads are read, and the time between: a writer may change both meanwhile."""
_LONGER_MAX = 2
"""How many times the pages of the file there may be: pages that were given back need not be written."""
_FREE, _MAIN = "free pages", "sub-databases"
_FREE_FLAGS = 8
"""Those of the list of free pages, whose keys are integers; other trees have none."""


def check_pages(environment: Environment) -> list[Fault]:
    """Return what is wrong with the pages of the newest state.

    Heads are damaged only if they stay so: a writer may change both while they are read. Raises
    UnavailableError if the file cannot be opened, or if it does so at every look.
    """
    before: list[Root] = []
    why = "a writer commits faster than the heads of the file can be read"
    for _ in range(_TRIES):
        try:
            with environment.read() as transaction, PageFile(environment.path / DATA) as file:
                roots = file.roots
                reason = fault_of_heads(roots) or fault_of_freed(file)
                of_state = [root for root in roots if root.transaction == transaction.id()]
                if of_state and not reason:
                    return list(_Pages(file, of_state[0]).faults())
        except PageError as error:  # another process may have compacted it meanwhile
            why = str(error)
            continue
        if roots == before:
            reason = reason or "none of them is that of the newest commit"
            return [Fault(DATA, f"the heads of the file are damaged: {reason}")]
        before = roots
        threading.Event().wait(_WAIT_S)
    raise UnavailableError(f"{environment.path}: {why}; try again")


def _fills(page: bytes, kind: int, found: list[Node]) -> bool:
    """Return whether the entries lie side by side at the end of a page, as LMDB keeps them."""
    sizes = (0 if kind == BRANCH else 8 if node.flags & BIG_VALUE else node.size_bytes for node in found)
    begins = [node.at - len(node.key) - NODE_HEAD_BYTES for node in found]
    ends = [node.at + size + (node.at + size) % 2 for node, size in zip(found, sizes, strict=True)]
    places = sorted(zip(begins, ends, strict=True))
    lower, upper = bounds_of(page)
    return (
        lower == HEAD_BYTES + 2 * len(found)
        and places[0][0] == upper
        and places[-1][1] == len(page)
        and all(one[1] == other[0] for one, other in pairwise(places))
    )


class _Pages:
    """The pages of one state, and what is wrong with them."""

    def __init__(self, file: PageFile, root: Root) -> None:
        self._file, self._root = file, root
        self._used = np.zeros(0, bool)
        """For each page whether a use of it is known."""

    def faults(self) -> Iterator[Fault]:
        """Yield the faults."""
        main, free, pages = self._root.main_tree, self._root.free_tree, self._root.last_page + 1
        if main is None or free is None:
            return
        if pages > _LONGER_MAX * self._file.pages + HEADS:
            yield Fault(DATA, f"it has {self._file.pages} pages, and its head names {pages}")
            return
        self._used = np.zeros(pages, bool)
        names: list[tuple[str, Tree]] = []
        found = list(self._tree(_MAIN, main, names))
        for name, tree in names:
            found += self._tree(name, tree, None)
        found += self._tree(_FREE, free, None)
        yield from found
        if found:
            return
        unused = np.flatnonzero(~self._used[HEADS:]) + HEADS
        if unused.size:
            yield Fault(DATA, f"{unused.size} pages are neither used nor free, page {unused[0]} first")

    def _tree(self, name: str, tree: Tree, names: list[tuple[str, Tree]] | None) -> Iterator[Fault]:
        """Yield the faults of a tree; ``names`` gets the sub-databases that it describes."""
        if tree.flags != (_FREE_FLAGS if name == _FREE else 0):
            yield Fault(name, f"its flags are {tree.flags:#x}")
        counts = {BRANCH: 0, LEAF: 0, OVERFLOW: 0}
        entries = depth = faults = 0
        left: list[tuple[int, bytes, bytes | None, int]] = []
        if tree.root is not None:
            left.append((tree.root, b"", None, 1))
        while left:
            number, lower, upper, level = left.pop()
            depth = max(depth, level)
            try:
                page, kind = self._page(number)
                found = self._nodes(name, page, kind, lower, upper)
                counts[kind] += 1
                if kind == BRANCH:
                    starts = [lower, *(node.key for node in found[1:])]
                    ends = [*starts[1:], upper]
                    below = zip(found, starts, ends, strict=True)
                    left += [(node.child, first, end, level + 1) for node, first, end in below]
                    continue
                entries += len(found)
                for node in found:
                    counts[OVERFLOW] += self._value(name, page, node, names)
            except PageError as error:
                faults += 1
                first, last = key_or_none(lower), key_or_none(upper)
                yield Fault(f"{name}, page {number}", str(error), first, last)
        said = tree.depth, tree.branches, tree.leaves, tree.overflow_pages, tree.entries
        right = depth, counts[BRANCH], counts[LEAF], counts[OVERFLOW], entries
        if said != right and not faults:
            yield Fault(name, f"its depth, pages and entries are {right}, and the file says {said}")

    def _page(self, number: int) -> tuple[bytes, int]:
        """Return a page of a tree, and its kind."""
        self._use(number, 1)
        page = self._file.page(number)
        kind = kind_of(page)
        if number_of(page) != number or not kind or flags_of(page) != kind:
            raise PageError("its head is damaged")
        return page, kind

    def _use(self, number: int, pages: int) -> None:
        """Note the use of pages."""
        if number < HEADS or number + pages > self._used.size:
            raise PageError(f"page {number} is none of the file")
        if self._used[number : number + pages].any():
            raise PageError(f"page {number} has two uses")
        self._used[number : number + pages] = True

    def _use_free(self, numbers: npt.NDArray[np.uint64]) -> None:
        """Note that pages are free."""
        if not numbers.size:
            return
        if numbers.min() < HEADS or numbers.max() >= self._used.size:
            raise PageError("a page that is free is none of the file")
        if self._used[numbers].any() or np.unique(numbers).size != numbers.size:
            raise PageError("a page that is free has another use")
        self._used[numbers] = True

    def _nodes(self, name: str, page: bytes, kind: int, lower: bytes, upper: bytes | None) -> list[Node]:
        """Return the entries of a page, whose keys are in order and within bounds."""
        found = [node for node in nodes(page, kind) if node is not None]
        if not found or len(found) != sum(1 for _ in nodes(page, kind)):
            raise PageError("an entry lies outside of it, or it has none")
        if not _fills(page, kind, found):
            raise PageError("its entries do not fill it")
        keys = [node.key for node in found]
        if kind == BRANCH:
            keys = keys[1:]  # the first one stands for all keys below the second
        elif any(node.flags & ~(BIG_VALUE | (2 if name == _MAIN else 0)) for node in found):
            raise PageError("an entry has unknown flags")
        if name == _FREE:
            keys = [key[::-1] for key in keys]  # integers of this machine, which is a little-endian one
            lower, upper = lower[::-1], None if upper is None else upper[::-1]
        if any(one >= other for one, other in pairwise(keys)):
            raise PageError("its keys are not in order")
        if keys and (keys[0] < lower or (upper is not None and keys[-1] >= upper)):
            raise PageError("its keys are not between those of the pages beside it")
        return found

    def _value(self, name: str, page: bytes, node: Node, names: list[tuple[str, Tree]] | None) -> int:
        """Check where a value is; return the number of pages that it has for itself."""
        first = overflow_of(page, node)
        pages = 0
        if first is not None:
            pages = -(-(HEAD_BYTES + node.size_bytes) // self._file.page_bytes)
            self._use(first, pages)
            head = self._file.bytes_at(first, 0, HEAD_BYTES)
            if (number_of(head), flags_of(head), overflow_pages(head)) != (first, OVERFLOW, pages):
                raise PageError(f"the head of page {first}, with a large value, is damaged")
        if name == _FREE:
            self._use_free(np.asarray(free_pages(self._file.value(page, node)), np.uint64))
        elif names is not None:
            described = node.key.decode("ascii", "replace")
            names.append((described, sub_database(self._file.value(page, node), node.flags)))
        return pages
