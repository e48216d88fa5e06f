"""Serves an archive in the tests' own process, for tests that need not kill or stop a process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive


@dataclass
class AtHand:
    """An archive that this process serves."""

    port: int
    held: ExitStack

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self.held.close()


@contextmanager
def at_hand(data: Path, port: int = 0) -> Iterator[AtHand]:
    """Serve the archive until the block ends."""
    with ExitStack() as held:
        archive = held.enter_context(Archive.open(data))
        archive.instance("sim", create=True)
        yield AtHand(held.enter_context(uvicorn_at(archive, port)), held)
