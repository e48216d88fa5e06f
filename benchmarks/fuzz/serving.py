"""Serves an archive over real sockets, from a thread of this process."""

from __future__ import annotations

import atexit
import threading

from yamcs_archive import Archive
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.server.listening_socket import bind, listen
from yamcs_archive.server.uvicorn_server import HttpServer


def serve(archive: Archive) -> int:
    """Serve on a free port of loopback until the process ends; return the port."""
    listening = bind("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    listen(listening)
    app = create_asgi_app(archive)

    def stopping() -> None:
        app.end_polls()
        app.end_live(1)

    server = HttpServer(listening, app, stopping)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    atexit.register(server.stop)
    return port
