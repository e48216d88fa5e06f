"""Backups of an instance of a served archive: its stream, written to a folder here."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from urllib.parse import quote

from yamcs_archive import arguments
from yamcs_archive.client.answer_codec import check_media, error_of
from yamcs_archive.client.transport import Request, Transport
from yamcs_archive.results import Backup

_MEDIA = "application/octet-stream"
_OK = 200


class RemoteBackups(ABC):
    """Makes backups of a served instance."""

    name: str
    _transport: Transport

    def backup(
        self,
        target: str | os.PathLike[str],
        *,
        incremental: bool = False,
        keep: int | None = None,
        rate_bytes_per_s: int | None = None,
    ) -> Backup:
        """Write a backup of the served instance to a folder here; see :meth:`Instance.backup`.

        The server reads no faster than this writes. If its stream breaks off, nothing is left of it here, and
        it is a ServerUnavailableError.
        """
        from yamcs_archive.backups import new_backup  # noqa: PLC0415  # it loads the engine

        return new_backup(self, target, incremental=incremental, keep=keep, rate_bytes_per_s=rate_bytes_per_s)

    @abstractmethod
    def cursor(self) -> str:
        """Return the cursor after the newest event."""

    def backup_stream(self, after: str | None = None) -> Iterator[bytes]:
        """Yield the bytes of a backup; see :meth:`Instance.backup_stream`."""
        query = "" if after is None else f"?after={quote(arguments.text('after', after), safe='')}"
        # The content is compressed already.
        headers = {"accept-encoding": "identity"}
        path = f"/api/archive/{quote(self.name, safe='')}:backup{query}"
        request = Request("GET", path, accept=_MEDIA, headers=headers)
        with self._transport.stream(request) as (answer, pieces):
            if answer.status != _OK:
                raise error_of(self._transport, answer, request.path, self.name)
            check_media(self._transport, answer, request.accept)
            yield from pieces
