"""The states in which a power cut may leave a medium: which of its pending changes it has kept; pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from benchmarks.power_cut.medium import File, Medium, Names, Node, Write, apply_names

SECTOR, PAGE, WORD = 512, 4096, 8
_SHARES = (0.1, 0.5, 0.9)


class State:
    """One state: the names and the contents that were kept."""

    def __init__(self, medium: Medium, kept: Callable[[Write | Names], list[Write | Names]]) -> None:
        """``kept`` returns what remains of a pending change."""
        self._kept = kept
        self.contents: dict[str, bytes] = {}
        """Every file's content, by its path."""
        self.folders: list[str] = []
        self._walk("", medium.root)

    def _walk(self, path: str, node: Node) -> None:
        if isinstance(node, File):
            content = bytearray(node.durable)
            for each in node.pending:
                for part in self._kept(each):
                    assert isinstance(part, Write)
                    part.apply(content)
            self.contents[path] = bytes(content)
            return
        self.folders.append(path)
        names = dict(node.durable)
        for changed in node.pending:
            for part in self._kept(changed):
                assert isinstance(part, Names)
                apply_names(names, part.changes)
        for name, below in names.items():
            self._walk(f"{path}/{name}", below)

    def digest(self, moment: int) -> bytes:
        """Return the same bytes for the same state; ``moment`` is part of it."""
        total = hashlib.blake2b(str((moment, self.folders)).encode(), digest_size=16)
        for path, content in self.contents.items():
            total.update(f"{path}\0{len(content)}\0".encode())
            total.update(content)
        return total.digest()

    def write(self, folder: Path) -> None:
        """Write it to an empty folder."""
        for path in self.folders:
            (folder / path[1:]).mkdir(exist_ok=True)
        for path, content in self.contents.items():
            (folder / path[1:]).write_bytes(content)


Chooser = Callable[[Write | Names], list[Write | Names]]


def choosers(medium: Medium, rng: Random) -> Iterator[tuple[str, Chooser]]:
    """Yield the ways in which pending changes may be lost, each with its name."""
    pending = [each for node in medium.nodes() for each in node.pending]
    yield "all lost", lambda _: []
    if not pending:
        return
    yield "all kept", lambda each: [each]
    last = rng.choice(sorted(each.at for each in pending))
    yield "in order", lambda each: [each] if each.at <= last else []
    share = rng.choice(_SHARES)
    some = {id(each) for each in pending if rng.random() < share}
    yield "reordered", lambda each: [each] if id(each) in some else []
    for grain in (SECTOR, PAGE):
        yield f"torn at {grain}", _torn(pending, grain, rng)
    yield "cut within a sector", _cut(pending, rng)


def _torn(pending: list[Write | Names], grain: int, rng: Random) -> Chooser:
    """Keep some aligned pieces of each write: any of them, or all up to one of them."""
    share, in_order = rng.choice(_SHARES), rng.random() < 0.3
    found: dict[int, list[Write | Names]] = {}
    for each in pending:
        parts: list[Write | Names]
        if isinstance(each, Names) or each.data is None:
            parts = [each] if rng.random() < share else []
        else:
            pieces = list(_pieces(each, grain))
            if in_order:
                parts = [*pieces[: rng.randint(0, len(pieces))]]
            else:
                parts = [piece for piece in pieces if rng.random() < share]
        found[id(each)] = parts
    return lambda each: found[id(each)]


def _pieces(each: Write, grain: int) -> Iterator[Write]:
    assert each.data is not None
    at, stop = each.offset, each.offset + len(each.data)
    while at < stop:
        end = min(stop, (at // grain + 1) * grain)
        yield Write(each.at, at, each.data[at - each.offset : end - each.offset])
        at = end


def _cut(pending: list[Write | Names], rng: Random) -> Chooser:
    """Keep everything but the end of the last write, which is cut at a word, as no sector should be."""
    last = max((each for each in pending if isinstance(each, Write)), key=lambda each: each.at, default=None)
    if last is None or last.data is None:
        return lambda each: [each]
    kept = WORD * rng.randint(0, len(last.data) // WORD)
    part: list[Write | Names] = [Write(last.at, last.offset, last.data[:kept])] if kept else []
    return lambda each: part if each is last else [each]
