"""A life that serves its archive over HTTP, and the clients that learn what it acknowledged.

1. The server is the one of ``yamcs-archive serve``, uvicorn on the archive's own socket, in the process that
   is killed. Beside it a thread makes checkpoints. A client compacts, prunes and makes backups.
2. The clients are threads of the parent, which is not killed: what they were answered is what the server
   acknowledged. They end, and close their sockets, before the parent forks again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import httptools as _loaded_before_the_fork  # noqa: F401
import uvloop as _loaded_too  # noqa: F401

from benchmarks.crash.ledger import Ledger
from benchmarks.crash.lives import INSTANCE, Ended, Plan
from benchmarks.crash.offers import Done, Note, Offered, Serves
from benchmarks.crash.work import Hands
from benchmarks.crash.worker import Book
from yamcs_archive import Archive, Client, Instance
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.server.listening_socket import bind, listen
from yamcs_archive.server.uvicorn_server import HttpServer

_HOST = "127.0.0.1"
_CLIENTS = (1, 3, 6)
_ANSWER_S_MAX, _END_S_MAX = 30.0, 60.0


def serve(archive: Archive, sim: Instance, book: Book, plan: Plan, copies: Path) -> None:
    """Serve the archive until the process is killed."""
    Hands(sim, book, plan.seed, copies, "server").begin(0, maintaining=plan.maintaining)
    listening = bind(_HOST, 0)
    listen(listening)
    server = HttpServer(listening, create_asgi_app(archive, operations=True), lambda: None)
    book.note(Serves(listening.getsockname()[1]))
    server.run()


def clients(plan: Plan, copies: Path) -> Callable[[int, Ledger], Callable[[], Ended]]:
    """Return what starts the clients of a life, and returns what waits for their end."""

    def begin(port: int, ledger: Ledger) -> Callable[[], Ended]:
        kinds: Counter[str] = Counter()

        def count(note: Note) -> None:
            if isinstance(note, Offered | Done):
                kinds[note.kind] += 1

        book = Book(ledger, count)
        client = Client(f"http://{_HOST}:{port}", retries=0, timeout_s=_ANSWER_S_MAX)
        hands = Hands(client.instance(INSTANCE, check=False), book, plan.seed, copies, "client")
        hands.begin(Random(plan.seed).choice(_CLIENTS), maintaining=plan.maintaining)

        def end() -> Ended:
            with closing(client):
                ended = hands.join(_END_S_MAX)
            faults = book.faults if ended else [*book.faults, f"a client waits for port {port}"]
            return Ended(faults, kinds)

        return end

    return begin
