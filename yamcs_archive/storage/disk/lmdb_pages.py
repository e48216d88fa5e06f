"""The pages of an LMDB file, read without LMDB: no map, no lock, nothing trusted.

1. A page is read by its number with ``pread``. What the medium refuses, and what lies beyond the end of the
   file, is a :class:`PageError`, never a signal.
2. No number of a page is trusted: each is compared with the size of the file, each offset with the page. A
   value is right only if its own checksum is, which the caller looks at.
3. The form is that of LMDB 0.9 (``docs/format.md`` names it), in this machine's byte order: a file of another
   one cannot be opened by LMDB either.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

PAGE_BYTES_DEFAULT = 4096
_PAGE_BYTES = tuple(1 << shift for shift in range(9, 17))
"""The sizes of pages that LMDB makes."""
HEAD_BYTES, NODE_HEAD_BYTES = 16, 8
_PAGE_HEAD = struct.Struct("=QHHHH")
"""Number of the page, unused, flags, end of the list of nodes, begin of the nodes."""
_META = struct.Struct("=IIQQ48s48sQQ")
"""Magic, version, address, size of the map, the two trees, last page, transaction."""
_TREE = struct.Struct("=IHHQQQQQ")
"""Size of pages or unused, flags, depth, pages of three kinds, values, root."""
_NODE = struct.Struct("=HHHH")
"""Size of the value, low and high; flags; size of the key. In a branch the first three are the page below."""
_OVERFLOW = struct.Struct("=Q")
_VALUE_BYTES_MAX = 1 << 28
"""Bytes of a value that are read at most: a block has some frames of at most 16 MiB."""
_MAGIC, _VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW = 1, 2, 4
_KINDS = BRANCH | LEAF
BIG_VALUE, _SUB_DATABASE = 1, 2
_NO_PAGE = 2**64 - 1
HEADS = 2
"""Heads of a file, each on a page of its own."""
_DEPTH_MAX = 32
"""Greatest depth of a tree."""
_ADDRESSES_END = 1 << 47
"""Bytes of a file and of its map for which no process has addresses."""


class PageError(Exception):
    """A page, or a part of one, cannot be read; the text says why."""


class Tree(NamedTuple):
    """What a file says of one of its trees."""

    flags: int
    depth: int
    branches: int
    leaves: int
    overflow_pages: int
    """Pages of large values."""
    entries: int
    root: int | None


class Root(NamedTuple):
    """One of the two states of a file: its transaction, and the root of its tree of sub-databases, if any."""

    transaction: int
    main: int | None
    page: int = 0
    """The page that it stands on, 0 or 1."""
    main_tree: Tree | None = None
    free_tree: Tree | None = None
    """Those of the sub-databases and of the pages that are free."""
    last_page: int = 0
    map_bytes: int = 0


class Node(NamedTuple):
    """One entry of a page: a key, and where its value is."""

    key: bytes
    flags: int
    at: int
    """The offset of the value in the page; of the number of its first page if it is a large one."""
    size_bytes: int
    child: int
    """The number of the page below, in a branch."""


class PageFile:
    """A file of LMDB, open for reading.

    Raises PageError if the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._bytes = os.fstat(self._file).st_size
        except OSError as error:
            raise PageError(f"{path}: {error.strerror}") from None
        self.page_bytes = PAGE_BYTES_DEFAULT
        self.roots = self._roots()
        """The states that the two heads of the file name, the newest first; none if both are damaged."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; idempotent."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    @property
    def pages(self) -> int:
        """The number of pages, counting one that is cut short."""
        return -(-self._bytes // self.page_bytes)

    def bytes_at(self, page: int, offset: int, size_bytes: int) -> bytes:
        """Return bytes from an offset of a page on; they may go on in the pages after it."""
        begin = page * self.page_bytes + offset
        if size_bytes > _VALUE_BYTES_MAX:
            raise PageError(f"page {page} begins a value of {size_bytes} bytes, and none is so large")
        if begin + size_bytes > self._bytes:
            raise PageError(f"page {page} is beyond the end of the file")
        parts: list[bytes] = []
        try:
            while size_bytes:
                part = os.pread(self._file, size_bytes, begin)
                if not part:
                    raise PageError(f"page {page} is beyond the end of the file")
                parts.append(part)
                begin, size_bytes = begin + len(part), size_bytes - len(part)
        except OSError as error:
            raise PageError(f"page {page} cannot be read: {error.strerror}") from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def page(self, number: int) -> bytes:
        """Return a page."""
        return self.bytes_at(number, 0, self.page_bytes)

    def value(self, page: bytes, node: Node) -> bytes:
        """Return the value of a node of a leaf, wherever it is."""
        if not node.flags & BIG_VALUE:
            return page[node.at : node.at + node.size_bytes]
        (first,) = _OVERFLOW.unpack_from(page, node.at)
        return self.bytes_at(first, HEAD_BYTES, node.size_bytes)

    def _roots(self) -> list[Root]:
        found: dict[int, Root] = {}
        for page_bytes in (0, *_PAGE_BYTES):
            try:
                raw = self.bytes_at(0, page_bytes + HEAD_BYTES, _META.size)
            except PageError:
                continue
            magic, version, _, map_bytes, free, main, last_page, transaction = _META.unpack(raw)
            said_bytes = _TREE.unpack(free)[0]
            if (magic, version) != (_MAGIC, _VERSION) or said_bytes not in _PAGE_BYTES:
                continue
            if page_bytes not in (0, said_bytes):
                continue
            self.page_bytes = said_bytes
            trees = tree_of(main), tree_of(free)
            found[page_bytes] = Root(
                transaction, trees[0].root, int(page_bytes > 0), *trees, last_page, map_bytes
            )
        return sorted(found.values(), key=lambda root: root.transaction, reverse=True)


def fault_of_heads(roots: list[Root]) -> str:
    """Return what is wrong with the two heads of a file; nothing if they are as LMDB writes them.

    It writes them in turn, those of even transactions to the first page; the older one is that of the
    transaction before. A new file has two of transaction 0.

    >>> fault_of_heads([Root(4, None, 0), Root(3, None, 1)])
    ''
    >>> fault_of_heads([Root(5, None, 0), Root(3, None, 1)])
    'they are of the transactions 3 and 5'
    """
    if len(roots) < HEADS:
        return "one of them cannot be read"
    newer, older = roots
    largest_bytes = max(max(root.map_bytes, root.last_page * PAGE_BYTES_DEFAULT) for root in roots)
    if largest_bytes >= _ADDRESSES_END:
        return f"they are of a map of {largest_bytes} bytes"
    if newer.transaction == older.transaction == 0:
        return ""
    if newer.transaction != older.transaction + 1 or any(root.transaction % 2 != root.page for root in roots):
        return f"they are of the transactions {older.transaction} and {newer.transaction}"
    return ""


def fault_of_freed(file: PageFile) -> str:
    """Return whether the newer head has another number than the newest entry of its list of free pages.

    Every transaction frees the pages that it replaces, so the two are equal. A flipped bit may turn the older
    head into one that looks like the successor of the newer one. Nothing for heads as LMDB writes them, or
    where the list cannot be read.

    The older head may have the list of its successor: so it is after a power cut within the write of a head,
    whose number comes last. A flipped bit of the newer head may look the same; nothing tells the two apart.
    """
    for root in file.roots[:1]:
        freed = _newest_freed(file, root.free_tree)
        if freed not in (None, root.transaction):
            return f"one is of transaction {root.transaction}, and the last pages were freed by {freed}"
    return ""


def _newest_freed(file: PageFile, tree: Tree | None) -> int | None:
    """Return the greatest key of the list of free pages."""
    number = None if tree is None else tree.root
    for _ in range(_DEPTH_MAX):
        if number is None:
            break
        try:
            page = file.page(number)
        except PageError:
            break
        kind = kind_of(page)
        *_, last = (None, *nodes(page, kind)) if kind else (None,)
        if last is None:
            break
        if kind == LEAF:
            return int.from_bytes(last.key, sys.byteorder)
        number = last.child
    return None


def kind_of(page: bytes) -> int:
    """Return BRANCH or LEAF, or 0 for a page that is neither."""
    _, _, flags, lower, upper = _PAGE_HEAD.unpack_from(page)
    if not HEAD_BYTES <= lower <= upper <= len(page):
        return 0
    kind: int = flags & _KINDS
    return kind if kind in (BRANCH, LEAF) else 0


def number_of(page: bytes) -> int:
    """Return the number that a page has for itself."""
    number: int = _PAGE_HEAD.unpack_from(page)[0]
    return number


def nodes(page: bytes, kind: int) -> Iterator[Node | None]:
    """Yield the nodes of a page in the order of their keys; None for one that lies outside of the page."""
    lower = _PAGE_HEAD.unpack_from(page)[3]
    for (offset,) in struct.iter_unpack("=H", page[HEAD_BYTES : lower - (lower - HEAD_BYTES) % 2]):
        yield _node(page, offset, kind)


def _node(page: bytes, offset: int, kind: int) -> Node | None:
    if not HEAD_BYTES <= offset <= len(page) - _NODE.size:
        return None
    low, high, flags, key_bytes = _NODE.unpack_from(page, offset)
    at = offset + _NODE.size + key_bytes
    size_bytes = low | high << 16
    if kind == BRANCH:
        here_bytes, child = 0, size_bytes | flags << 32
    else:
        here_bytes, child = (_OVERFLOW.size if flags & BIG_VALUE else size_bytes), 0
    if at + here_bytes > len(page):
        return None
    return Node(page[offset + _NODE.size : at], flags, at, size_bytes, child)


def tree_of(value: bytes) -> Tree:
    """Return what the description of a tree says."""
    _, flags, depth, branches, leaves, overflow_pages, entries, root = _TREE.unpack(value)
    return Tree(flags, depth, branches, leaves, overflow_pages, entries, None if root == _NO_PAGE else root)


def sub_database(value: bytes, flags: int) -> Tree:
    """Return what the main tree says of a sub-database. Raises PageError for a value that describes none."""
    if flags != _SUB_DATABASE or len(value) != _TREE.size:
        raise PageError("the description of a sub-database is damaged")
    return tree_of(value)


def flags_of(page: bytes) -> int:
    """Return the flags of a page: its kind alone, in a sound one."""
    flags: int = _PAGE_HEAD.unpack_from(page)[2]
    return flags


def bounds_of(page: bytes) -> tuple[int, int]:
    """Return where the list of entries of a page ends, and where the entries begin."""
    _, _, _, lower, upper = _PAGE_HEAD.unpack_from(page)
    return lower, upper


def overflow_of(page: bytes, node: Node) -> int | None:
    """Return the number of the first page of a large value; None for a value that is in its leaf."""
    if not node.flags & BIG_VALUE:
        return None
    (first,) = _OVERFLOW.unpack_from(page, node.at)
    return int(first)


def overflow_pages(page: bytes) -> int:
    """Return how many pages a large value has, from the head of its first one."""
    return int.from_bytes(page[12:16], sys.byteorder)


def free_pages(value: bytes) -> memoryview:
    """Return the numbers of pages in a value of the list of free pages. Raises PageError for damage."""
    if len(value) % 8 or not value:
        raise PageError("an entry of the list of free pages is damaged")
    numbers = memoryview(value).cast("Q")
    # The entry may have room for more of them than it has.
    if numbers[0] >= len(numbers):
        raise PageError("an entry of the list of free pages is damaged")
    return numbers[1 : numbers[0] + 1]
