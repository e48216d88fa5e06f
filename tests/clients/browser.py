"""A real Chromium without a window, driven by its DevTools protocol over the package websockets."""

from __future__ import annotations

import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

WAIT_S = 60


def command() -> str | None:
    """Return the browser's command; None if there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page:
    """A tab: evaluates JavaScript, and records what its console shows and what goes over the network."""

    def __init__(self, connection: ClientConnection, session: str, numbers: Iterator[int]) -> None:
        self._connection, self._session, self._numbers = connection, session, numbers
        self._answers: dict[int, queue.Queue[dict[str, Any]]] = {}
        self.console: list[str] = []
        """Errors and warnings, exceptions that nobody caught, and failures of the network."""
        self.requests: list[dict[str, Any]] = []
        self.answers: list[dict[str, Any]] = []
        self.upgrades: list[dict[str, Any]] = []
        self.loaded = threading.Event()
        threading.Thread(target=self._read, daemon=True).start()
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        number = next(self._numbers)
        answer = self._answers[number] = queue.Queue(1)
        request = {"id": number, "sessionId": self._session, "method": method, "params": parameters}
        self._connection.send(json.dumps(request))
        found = answer.get(timeout=WAIT_S)
        assert "error" not in found, found
        result: dict[str, Any] = found["result"]
        return result

    def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        self.loaded.clear()
        self.call("Page.navigate", url=url)
        assert self.loaded.wait(WAIT_S)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, or what its promise brings."""
        found = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def _read(self) -> None:
        try:
            for text in self._connection:
                self._take(json.loads(text))
        except ConnectionClosed:
            pass

    def _take(self, message: dict[str, Any]) -> None:
        if "id" in message:
            if message["id"] in self._answers:
                self._answers.pop(message["id"]).put(message)
            return
        found = message["params"]
        match message["method"]:
            case "Page.loadEventFired":
                self.loaded.set()
            case "Runtime.consoleAPICalled" if found["type"] in ("error", "warning", "assert"):
                self.console.append(
                    str([part.get("value", part.get("description")) for part in found["args"]])
                )
            case "Runtime.exceptionThrown":
                self.console.append(str(found["exceptionDetails"]))
            case "Log.entryAdded" if found["entry"]["level"] in ("error", "warning"):
                self.console.append(f"{found['entry']['text']} {found['entry'].get('url', '')}")
            case "Network.requestWillBeSent":
                self.requests.append(found)
            case "Network.responseReceived":
                self.answers.append(found)
            case "Network.webSocketHandshakeResponseReceived":
                self.upgrades.append(found)


@contextmanager
def browser(directory: Path) -> Iterator[Page]:
    """Run a browser with a profile of its own until the block ends; give its page."""
    chromium = command()
    assert chromium is not None
    options = ["--headless=new", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += ["--disable-background-networking", "--disable-component-update", "--no-proxy-server"]
    if os.geteuid() == 0:
        options.append("--no-sandbox")  # it refuses to run as root with one
    profile = directory / "profile"
    said = directory / "chromium.log"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [chromium, *options, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        with connect(_address(profile, process, said), max_size=None, compression=None) as connection:
            numbers = itertools.count(1)
            target = _first(connection, numbers, "Target.createTarget", url="about:blank")["targetId"]
            attached = _first(connection, numbers, "Target.attachToTarget", targetId=target, flatten=True)
            yield Page(connection, attached["sessionId"], numbers)
    finally:
        process.terminate()
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT_S)


def _address(profile: Path, process: subprocess.Popen[bytes], said: Path) -> str:
    """Return the URL of the protocol, which the browser writes to a file of its profile."""
    until = time.monotonic() + WAIT_S
    while True:
        assert process.poll() is None, said.read_text(errors="replace")[-2000:]
        assert time.monotonic() < until, said.read_text(errors="replace")[-2000:]
        try:
            port, path = (profile / "DevToolsActivePort").read_text().splitlines()
        except (OSError, ValueError):
            time.sleep(0.02)
            continue
        return f"ws://127.0.0.1:{port}{path}"


def _first(connection: ClientConnection, numbers: Iterator[int], method: str, **parameters: Any) -> Any:
    number = next(numbers)
    connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
    while (found := json.loads(connection.recv(WAIT_S))).get("id") != number:
        pass
    return found["result"]


@contextmanager
def page_server(content: bytes) -> Iterator[str]:
    """Serve one page at every path until the block ends; give its origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
