"""A medium under a recorded program: what it has for certain, and what it may have besides; no I/O.

The model is that of POSIX, which promises less than today's file systems keep:

1. The data and the length of a file last once the file was synced; a write through a descriptor of O_DSYNC
   lasts once it has returned. Until then each of its writes may be there, wholly or in parts, or not.
2. A name lasts once its folder was synced. Until then each change of names in the folder may be there or not;
   a rename is there or not as a whole. The sync of a file says nothing of its name.
3. Where a write that lasts covers an older one that does not, the older one cannot come back: the page cache
   has only one content.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.power_cut.recording import Entry


class UnknownActionError(Exception):
    """The record has an action that this model does not know: the replay would be wrong."""


@dataclass(eq=False, slots=True)
class Write:
    """A write that may be lost; ``data`` is None for a change of the length to ``offset``."""

    at: int
    """Number of its entry."""
    offset: int
    data: bytearray | None

    def apply(self, content: bytearray) -> None:
        """Write it to a content."""
        if self.data is None:
            del content[self.offset :]
            content.extend(bytes(self.offset - len(content)))
        else:
            write(content, self.offset, self.data)


def write(content: bytearray, offset: int, data: bytes | bytearray) -> None:
    """Write to a content, which grows as a file does.

    >>> content = bytearray(b"ab")
    >>> write(content, 3, b"d")
    >>> content
    bytearray(b'ab\\x00d')
    """
    content.extend(bytes(max(0, offset - len(content))))
    content[offset : offset + len(data)] = data


@dataclass(eq=False, slots=True)
class File:
    """A file: its durable content, and its writes since it was last synced."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write] = field(default_factory=list)

    def sync(self) -> None:
        """Make all of it durable."""
        for each in self.pending:
            each.apply(self.durable)
        self.pending.clear()

    def settle(self, done: Write) -> None:
        """Make one write durable, whatever becomes of those before it."""
        self.pending.remove(done)
        done.apply(self.durable)
        if done.data is None:
            return
        stop = done.offset + len(done.data)
        for each in self.pending:  # rule 3
            if each.data is not None:
                first, last = max(each.offset, done.offset), min(each.offset + len(each.data), stop)
                if first < last:
                    part = done.data[first - done.offset : last - done.offset]
                    each.data[first - each.offset : last - each.offset] = part


@dataclass(eq=False, slots=True)
class Names:
    """A change of names in a folder that may be lost: what each name leads to after it."""

    at: int
    changes: dict[str, Node | None]


@dataclass(eq=False, slots=True)
class Folder:
    """A folder: its durable names, what they are now, and the changes since it was last synced."""

    durable: dict[str, Node] = field(default_factory=dict)
    now: dict[str, Node] = field(default_factory=dict)
    pending: list[Names] = field(default_factory=list)

    def change(self, at: int, changes: dict[str, Node | None]) -> None:
        """Change names."""
        apply_names(self.now, changes)
        self.pending.append(Names(at, changes))

    def sync(self) -> None:
        """Make all its names durable."""
        for each in self.pending:
            apply_names(self.durable, each.changes)
        self.pending.clear()


Node = File | Folder


def apply_names(names: dict[str, Node], changes: dict[str, Node | None]) -> None:
    """Change names as a folder does."""
    for name, node in changes.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Medium:
    """A folder on a medium, to which the entries of a record are applied one after another."""

    def __init__(self, root: str) -> None:
        self.root = Folder()
        self.path = root
        """Where the recorded program had it."""
        self._open: dict[int, tuple[Node, Write | None]] = {}
        self._at = 0
        self.marks: list[bytes] = []
        """What was written to the file of marks since it was last taken."""

    def apply(self, entry: Entry) -> None:
        """Apply an entry; raise UnknownActionError for an action that is not modelled."""
        self._at += 1
        match entry.op:
            case "B":
                self._open.clear()  # another process
            case "O":
                self._opened(entry)
            case "C":
                self._open.pop(entry.descriptor, None)
            case "W" | "D" | "T":
                self._written(entry)
            case "E":
                file, written = self._open[entry.descriptor]
                if isinstance(file, File) and written is not None:
                    file.settle(written)
                self._open[entry.descriptor] = file, None
            case "S":
                self._open[entry.descriptor][0].sync()
            case "P":
                folder, name = self._folder(entry.text)
                self._file(folder.now[name]).pending.append(Write(self._at, entry.offset, None))
            case "K":
                folder, name = self._folder(entry.text)
                folder.change(self._at, {name: Folder()})
            case "U":
                folder, name = self._folder(entry.text)
                folder.change(self._at, {name: None})
            case "R":
                self._renamed(entry)
            case "M":
                self.marks.append(entry.text)
            case _:
                raise UnknownActionError(f"{entry.op}: {entry.text[:80]!r}")

    def nodes(self) -> Iterator[Node]:
        """Yield every file and folder that a name may lead to."""
        seen: set[int] = set()
        left: list[Node] = [self.root]
        while left:
            node = left.pop()
            if id(node) in seen:
                continue
            seen.add(id(node))
            yield node
            if isinstance(node, Folder):
                left += [*node.durable.values(), *node.now.values()]
                left += [
                    each for names in node.pending for each in names.changes.values() if each is not None
                ]

    def _opened(self, entry: Entry) -> None:
        path = entry.text.decode()
        made, emptied = entry.offset & 1, entry.offset & 2
        if path == self.path:
            self._open[entry.descriptor] = self.root, None
            return
        folder, name = self._folder(entry.text)
        if made:
            folder.change(self._at, {name: File()})
        node = folder.now[name]
        if emptied and not made:
            self._file(node).pending.append(Write(self._at, 0, None))
        self._open[entry.descriptor] = node, None

    def _written(self, entry: Entry) -> None:
        file = self._file(self._open[entry.descriptor][0])
        written = Write(self._at, entry.offset, None if entry.op == "T" else bytearray(entry.text))
        file.pending.append(written)
        self._open[entry.descriptor] = file, written if entry.op == "D" else None

    def _renamed(self, entry: Entry) -> None:
        folder, name = self._folder(entry.text)
        there, new_name = self._folder(entry.more)
        if folder is not there:
            raise UnknownActionError(f"a rename from {entry.text!r} to another folder, {entry.more!r}")
        folder.change(self._at, {name: None, new_name: folder.now[name]})

    def _folder(self, path: bytes) -> tuple[Folder, str]:
        """Return the folder of a path, and the name in it."""
        above, name = posixpath.split(path.decode())
        folder: Node = self.root
        for part in posixpath.relpath(above, self.path).split("/"):
            if part != ".":
                assert isinstance(folder, Folder)
                folder = folder.now[part]
        assert isinstance(folder, Folder)
        return folder, name

    def _file(self, node: Node) -> File:
        assert isinstance(node, File)
        return node
