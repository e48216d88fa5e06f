"""AsyncArchive: an archive that is opened, read and closed without blocking the event loop."""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from yamcs_archive.aio.instance import AsyncInstance
from yamcs_archive.aio.threads import Threads
from yamcs_archive.archive import Archive
from yamcs_archive.options import Options


class AsyncArchive:
    """An archive for programs that use asyncio. Get one from :meth:`open`, or give it an open Archive.

    What it has no method for, the archive itself does: ``await asyncio.to_thread(archive.archive.diagnose)``.

    >>> import asyncio
    >>> async def main():
    ...     async with AsyncArchive.open(directory) as archive:
    ...         sim = await archive.instance("simulator", create=True)
    ...         done = await sim.append(Event("Wheel 3 over speed", source="AOCS"))
    ...         return done.event.seq_number, await archive.instances()
    >>> asyncio.run(main())
    (0, ['simulator'])
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        """The archive itself."""
        self._threads = Threads()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        readonly: bool = False,
        holder: str = "",
        options: Options | None = None,
    ) -> Opening:
        """Open the archive in a directory: await the result, or use it in ``async with``, which also closes.

        Arguments and errors are those of :meth:`yamcs_archive.Archive.open`. If that is cancelled, the
        archive is not open, or is closed as soon as it is.
        """
        return Opening(path, {"readonly": readonly, "holder": holder, "options": options})

    @property
    def path(self) -> Path:
        """The directory."""
        return self.archive.path

    @property
    def readonly(self) -> bool:
        """Whether the archive was opened for reading only."""
        return self.archive.readonly

    @property
    def closed(self) -> bool:
        """Whether the archive is closed."""
        return self.archive.closed

    async def instance(self, name: str, *, create: bool = False) -> AsyncInstance:
        """Return the instance of that name; arguments and errors are those of ``Archive.instance``."""
        found = await self._threads.run(lambda: self.archive.instance(name, create=create))
        return AsyncInstance(found, self._threads)

    async def instances(self) -> list[str]:
        """Return the names of all instances, sorted."""
        return await self._threads.run(self.archive.instances)

    async def close(self) -> None:
        """Commit everything that was submitted, and close the archive; idempotent.

        If it is cancelled, closing goes on. Reading that is under way ends with ClosedError.
        """
        if not self.archive.closed:
            await self._threads.run(self.archive.close)
        self._threads.end()

    async def __aenter__(self) -> Self:
        self.archive.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.archive!r})"


class Opening:
    """An archive that is about to be opened: what :meth:`AsyncArchive.open` returns."""

    def __init__(self, path: str | os.PathLike[str], options: dict[str, Any]) -> None:
        self._path = path
        self._options = options
        self._opened: AsyncArchive | None = None

    async def _open(self) -> AsyncArchive:
        threads = Threads()
        try:
            archive = await threads.run(lambda: Archive.open(self._path, **self._options), Archive.close)
        finally:
            threads.end()
        return AsyncArchive(archive)

    def __await__(self) -> Generator[Any, None, AsyncArchive]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncArchive:
        self._opened = await self._open()
        return self._opened

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._opened is not None:
            await self._opened.close()
