"""The recipes for nginx and Caddy, tried with the real ones of Debian: TLS, WebSocket, streams, prefix."""

from __future__ import annotations

import base64
import json
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import pytest
import websocket

from tests.child import ROOT
from tests.server.certificates import Authority
from tests.server.serving import WAIT_S, Served, serving
from yamcs_archive import Archive, Event
from yamcs_archive.access.administration import add_user
from yamcs_archive.access.passwords import hashed
from yamcs_archive.access.permissions import Grant
from yamcs_archive.http.limits import STREAMS_MAX

RECIPES = ROOT / "docs" / "deployment"
NAME = "ops.example"
PASSWORD = "correct horse"
BASIC = {"Authorization": "Basic " + base64.b64encode(f"ada:{PASSWORD}".encode()).decode()}
EVENTS = "/archive/api/archive/sim/events"

pytestmark = pytest.mark.long


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def replaced(text: str, *changes: tuple[str, str]) -> str:
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after)
    return text


def nginx(folder: Path, port: int, archive: int, certificate: Path, key: Path) -> list[str]:
    """Write a configuration with the recipe, and return the command that runs it."""
    recipe = replaced(
        (RECIPES / "nginx.conf").read_text(),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("server 127.0.0.1:8090", f"server 127.0.0.1:{archive}"),
        ("/etc/ssl/ops.example.pem", str(certificate)),
        ("/etc/ssl/private/ops.example.key", str(key)),
        ("return 301 /archive/", f"return 301 https://{NAME}:{port}/archive/"),
    )
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/pid;\nerror_log {folder}/error.log;\n"
        f"events {{ }}\nhttp {{\naccess_log off;\n{temporary}{recipe}}}\n"
    )
    return ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")]


def caddy(folder: Path, port: int, archive: int, certificate: Path, key: Path) -> list[str]:
    """Write a configuration with the recipe, and return the command that runs it."""
    recipe = replaced(
        (RECIPES / "Caddyfile").read_text(),
        (f"https://{NAME} {{", f"https://{NAME}:{port} {{\n\tbind 127.0.0.1"),
        ("127.0.0.1:8090", f"127.0.0.1:{archive}"),
        ("/etc/ssl/ops.example.pem", str(certificate)),
        ("/etc/ssl/private/ops.example.key", str(key)),
    )
    options = f"admin off\n\tauto_https disable_redirects\n\tstorage file_system {folder}"
    (folder / "Caddyfile").write_text(f"{{\n\t{options}\n}}\n{recipe}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]


class Site:
    """An archive behind a proxy, as its users see it."""

    def __init__(self, port: int, authority: Path, served: Served, log: Path) -> None:
        self.port, self.served, self.log = port, served, log
        self.origin = f"https://{NAME}:{port}"
        self._trust = ssl.create_default_context(cafile=str(authority))
        self._opened = ExitStack()

    def tls(self) -> ssl.SSLSocket:
        """Connect, and verify the name of the site."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        return self._opened.enter_context(self._trust.wrap_socket(plain, server_hostname=NAME))

    def connect(self) -> HTTPConnection:
        connection = HTTPConnection(NAME, self.port, timeout=WAIT_S)
        connection.sock = self.tls()
        return connection

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] = BASIC) -> HTTPResponse:
        connection = self.connect()
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        return connection.getresponse()

    def close(self) -> None:
        self._opened.close()


@pytest.fixture(scope="module", params=[nginx, caddy], ids=["nginx", "caddy"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    proxy = request.param
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"no {proxy.__name__}")
    folder = tmp_path_factory.mktemp("site")
    authority = Authority(folder)
    files = authority.issue(names=(NAME,))
    users = folder / "users.json"
    add_user(users, "ada", [Grant.parse("ReadEvents"), Grant.parse("WriteEvents")], hashed(PASSWORD))
    with Archive.open(folder / "data") as archive:
        large = archive.instance("large", create=True)
        large.append_many(Event("x" * (1 << 20), generation_time=n, seq_number=n) for n in range(64))
    port = free_port()
    options = ("--users", users, "--trust-proxy", "127.0.0.1", "--user-header", "X-Remote-User")
    public = ("--public-url", f"https://{NAME}:{port}/archive")
    log = folder / "log"
    with serving(
        folder / "data", *options, *public, "--access-log", "--log-file", log, "--instance", "large"
    ) as served:
        command = proxy(folder, port, served.port, files.certificate, files.key)
        with (folder / "said").open("w") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said)
        found = Site(port, authority.file, served, log)
        try:
            give_up_s = time.monotonic() + WAIT_S
            while True:
                try:
                    found.tls()
                    break
                except OSError:
                    assert process.poll() is None, (folder / "said").read_text()
                    assert time.monotonic() < give_up_s
                    time.sleep(0.05)
            yield found
        finally:
            found.close()
            process.terminate()
            process.wait(WAIT_S)


def test_requests_go_through_tls_and_the_path_prefix(site: Site) -> None:
    assert site.ask("GET", "/archive/healthz", headers={}).status == 200
    assert site.ask("GET", "/archive/api/instances", headers={}).status == 401
    answer = site.ask("POST", EVENTS, {"message": "through the proxy", "source": "S"})
    assert json.load(answer)["createdBy"] == "ada"
    moved = site.ask("GET", "/archive", headers={})
    assert (moved.status, moved.headers["location"].removeprefix(site.origin)) == (301, "/archive/")


def test_the_page_s_origin_is_the_server_s_own_and_its_cookie_is_secure(site: Site) -> None:
    login = {"username": "ada", "password": PASSWORD}
    answer = site.ask("POST", "/archive/auth/session", login, {"Origin": site.origin})
    assert answer.status in (200, 204)
    assert re.search(r"; *Secure", answer.headers["set-cookie"])
    cookie = answer.headers["set-cookie"].partition(";")[0]
    event = {"message": "by the page"}
    own, foreign = ({"Origin": origin, "Cookie": cookie} for origin in (site.origin, "https://evil.example"))
    assert site.ask("POST", EVENTS, event, own).status == 200
    assert site.ask("POST", EVENTS, event, foreign).status == 403


def test_a_client_cannot_name_itself_to_the_archive(site: Site) -> None:
    for name in ("X-Remote-User", "x-remote-user", "X-Remote-user"):
        assert site.ask("GET", EVENTS, headers={name: "ada"}).status == 401
    # What it says of its address is replaced.
    assert (
        site.ask("GET", "/archive/api/user", headers=BASIC | {"X-Forwarded-For": "192.0.2.7"}).status == 200
    )
    assert "192.0.2.7" not in site.log.read_text()


def test_live_updates_come_through(site: Site) -> None:
    live = websocket.create_connection(
        f"wss://{NAME}:{site.port}/archive/api/websocket",
        socket=site.tls(),
        header=BASIC,
        origin=site.origin,
    )
    live.send(json.dumps({"type": "events", "id": 1, "options": {"instance": "sim"}}))
    assert json.loads(live.recv())["type"] == "reply"
    site.ask("POST", EVENTS, {"message": "live"})
    while (received := json.loads(live.recv()))["type"] != "events":
        pass
    assert received["data"]["message"] == "live"
    live.close()


def test_a_stream_that_nobody_reads_is_held_up_in_the_archive_and_not_kept_by_the_proxy(site: Site) -> None:
    path = "/archive/api/stream-archive/large:streamEvents"
    with ExitStack() as opened:  # Caddy does not end before its streams
        streams = [opened.enter_context(site.ask("POST", path, {})) for _ in range(STREAMS_MAX)]
        assert [stream.status for stream in streams] == [200] * STREAMS_MAX
        assert streams[0].read(10)  # the beginning comes at once
        refused = opened.enter_context(site.ask("POST", path, {}))
        assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        assert len(streams[-1].read()) > 64 << 20


def test_a_batch_is_stored_as_it_comes(site: Site) -> None:
    connection = site.connect()
    connection.putrequest("POST", f"{EVENTS}:batch")
    for name, value in {
        **BASIC,
        "Transfer-Encoding": "chunked",
        "Content-Type": "application/x-ndjson",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    lines = "".join(
        json.dumps({"message": "m", "source": "B", "sequenceNumber": n, "time": "2026-01-01T00:00:00Z"})
        + "\n"
        for n in range(20_000)  # 10,000 are stored together; proxies keep back some KiB
    ).encode()
    connection.send(b"%x\r\n%b\r\n" % (len(lines), lines))
    give_up_s = time.monotonic() + WAIT_S
    while (count := json.load(site.ask("GET", f"{EVENTS}:count?source=B"))["count"]) < 10_000:
        assert time.monotonic() < give_up_s, count
        time.sleep(0.05)
    connection.send(b"0\r\n\r\n")
    assert json.load(connection.getresponse())["stored"] == 20_000
