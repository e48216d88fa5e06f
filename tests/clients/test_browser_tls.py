"""A real Chromium and the server's own TLS: a page of another origin reads, stores and listens.

Its own certificates it trusts by their keys, as it has no option for an authority's file.
"""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from tests.server.certificates import Authority
from tests.server.serving import serving
from yamcs_archive.server.tls import TlsFiles

pytestmark = pytest.mark.long
BROWSER_S = 60
PAGE = """<!doctype html><script>
const archive = "https://localhost:PORT", seen = {}
const tell = () => fetch("/seen", {method: "POST", body: JSON.stringify(seen)})
const socket = new WebSocket(archive.replace("https", "wss") + "/api/websocket", "json")
socket.onerror = () => { seen.error = "websocket"; tell() }
socket.onopen = () => socket.send(JSON.stringify({type: "events", id: 1, options: {instance: "sim"}}))
socket.onmessage = async message => {
  const frame = JSON.parse(message.data)
  if (frame.type === "reply") {
    const path = archive + "/api/archive/sim/events"
    const posted = await fetch(path, {
      method: "POST",
      headers: {"content-type": "application/json"},
      body: JSON.stringify({message: "by a page"})
    })
    seen.posted = posted.status
    seen.listed = (await (await fetch(path)).json()).event.map(event => event.message)
    if (seen.live) tell()
  } else {
    seen.live = frame.data.message
    if (seen.listed) tell()
  }
}
</script>"""


@contextmanager
def page_server() -> Iterator[tuple[ThreadingHTTPServer, queue.Queue[Any], list[str]]]:
    """Serve a page, which is set later, and take what it has seen."""
    told: queue.Queue[Any] = queue.Queue()
    pages: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(pages[0].encode())

        def do_POST(self) -> None:
            told.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server, told, pages
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def key_of(files: TlsFiles) -> str:
    """Return the digest of a certificate's public key, as Chromium takes it."""
    certificate = load_pem_x509_certificate(files.certificate.read_bytes())
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(key).digest()).decode()


def test_a_page_in_a_browser_reads_stores_and_listens_over_tls(tmp_path: Path) -> None:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("chromium is not installed")
    files = Authority(tmp_path).issue()
    with page_server() as (server, told, pages):
        origin = f"http://localhost:{server.server_port}"
        secure = ("--tls-certificate", files.certificate, "--tls-key", files.key, "--cors-origin", origin)
        with serving(tmp_path / "data", *secure) as served:
            pages.append(PAGE.replace("PORT", str(served.port)))
            browser = subprocess.Popen(
                [
                    program,
                    "--headless=new",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--no-proxy-server",
                    f"--user-data-dir={tmp_path / 'profile'}",
                    f"--ignore-certificate-errors-spki-list={key_of(files)}",
                    origin,
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                seen = told.get(timeout=BROWSER_S)
            finally:
                browser.terminate()
                browser.wait(BROWSER_S)
            assert seen == {"posted": 200, "listed": ["by a page"], "live": "by a page"}
            assert served.stop() == (0, "")
