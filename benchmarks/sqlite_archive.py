"""SQLite behind this project's own HTTP core: the fair partner of the POST.

The same WSGI server, the same decoding and the same answers; only the store differs. What a handler does
with an archive is here done with a table: each event is committed on its own, synced, before its answer.

Run as ``python -m benchmarks.sqlite_archive DIRECTORY``; prints its URL. Needs uvicorn
(the extra ``server``).
"""

from __future__ import annotations

import sys
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import msgspec

from benchmarks.contenders.sqlite import Sqlite
from yamcs_archive import Appended, Archive, Event
from yamcs_archive.event import as_stored
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.server.listening_socket import bind, listen, url_of
from yamcs_archive.server.process import freeze, leave
from yamcs_archive.server.settings import Settings
from yamcs_archive.server.uvicorn_server import HttpServer
from yamcs_archive.times import now_us


class _Table:
    """The part of an ``Instance`` that the POST needs."""

    def __init__(self, directory: Path) -> None:
        self._store = Sqlite(directory)

    def submit(self, event: Event, *, request_id: str | None = None) -> Future[Appended]:
        """Insert the event, whose key must be complete; on return it is durable, and the future is done."""
        assert request_id is None  # a table has no room for it, and the load sends none
        complete = msgspec.structs.replace(event, reception_time=event.reception_time or now_us())
        self._store.append_one([complete])
        done: Future[Appended] = Future()
        done.set_result(Appended(as_stored(complete), duplicate=False))
        return done

    def close(self) -> None:
        """Close the table."""
        self._store.close()


class SqliteArchive:
    """Seems to the HTTP core to be an archive, with one instance of any name."""

    def __init__(self, directory: Path) -> None:
        self._table = _Table(directory)

    def as_archive(self) -> Archive:
        """Return itself, with the type that the core needs."""
        return cast(Archive, self)

    def instance(self, _: str) -> _Table:
        """Return the table, for any name of an instance."""
        return self._table

    def close(self) -> None:
        """Close the table."""
        self._table.close()


def _serve(directory: Path) -> None:
    """Serve a table by the server and the handler of ``yamcs-archive serve``, with its settings."""
    settings = Settings(data=directory)
    with bind(settings.host, 0) as listening:
        archive = SqliteArchive(directory)
        listen(listening)
        print(url_of(listening, settings.host), flush=True)
        freeze()
        HttpServer(listening, create_asgi_app(archive.as_archive()), stopping=lambda: None).run()
        archive.close()
    leave()


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
