"""``--user``: every command with a URL sends requests as that user, and sends the password nowhere else."""

from __future__ import annotations

import base64
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S, stopping
from tests.cli.conftest import Run
from tests.http.feeds import waitress_server
from yamcs_archive import Archive, Event
from yamcs_archive.client import Client
from yamcs_archive.credentials import Login, check_url, is_open
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.importers.yamcs import History
from yamcs_archive.server.settings import Settings

PASSWORD = "pä:ss word"
LOGIN = Login("ada", PASSWORD)


@dataclass
class Front:
    """A server that asks for HTTP Basic and forwards requests that have it; or one that redirects."""

    port: int = 0
    backend: int = 0
    redirect: str | None = None
    forbid: bool = False
    seen: list[str | None] = field(default_factory=list)
    """The ``Authorization`` of each request."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def standing(front: Front) -> Iterator[Front]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"] or 0))
            front.seen.append(self.headers["authorization"])
            if front.redirect is not None and not self.path.startswith("/moved"):
                self._say(302, b"", [("location", front.redirect + self.path)])
            elif self.headers["authorization"] != LOGIN.header:
                self._say(401, b"<html>Unauthorized</html>", [("www-authenticate", "Basic")])
            elif front.forbid:
                self._say(403, b"<html>Forbidden</html>")
            else:
                kept = {name: self.headers[name] for name in ("accept", "content-type") if self.headers[name]}
                with closing(HTTPConnection("127.0.0.1", front.backend, timeout=WAIT_S)) as connection:
                    connection.request(self.command, self.path.removeprefix("/moved"), body, kept)
                    found = connection.getresponse()
                    media = found.headers["content-type"] or ""
                    self._say(found.status, found.read(), [("content-type", media)])  # the client may be gone

        do_POST = do_GET  # noqa: N815  # as the base class calls it

        def _say(self, status: int, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
            self.send_response(status)
            for name, value in (*headers, ("content-length", str(len(body)))):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # the base class's name
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # a client that left

    server = Server(("127.0.0.1", 0), Handler)
    front.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def front(data: Path) -> Iterator[Front]:
    history = '{"message": "a", "generationTime": "2026-11-23T12:00:00Z", "seqNumber": 1}\n'
    Path(data.parent, "history.jsonl").write_text(history)
    with Archive.open(data) as archive:
        archive.instance("sim").append_many(Event(f"Step {n}", generation_time=n) for n in range(20))
        with waitress_server(archive) as port, standing(Front(backend=port)) as front:
            yield front


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YAMCS_ARCHIVE_PASSWORD", PASSWORD)


Command = Callable[[str, Path], tuple[object, ...]]
COMMANDS: dict[str, Command] = {
    "log": lambda url, _: ("events", "log", "--url", url),
    "log of a stream": lambda url, _: ("events", "log", "--url", url, "-n", "all"),
    "log, the first": lambda url, _: ("events", "log", "--url", url, "--first", 3),
    "log after a cursor": lambda url, _: (
        *("events", "log", "--url", url, "--instance", "sim", "--show-cursor"),
    ),
    "create": lambda url, _: ("events", "create", "--url", url, "-m", "more"),
    "instances": lambda url, _: ("instances", "list", "--url", url),
    "import": lambda url, to: ("events", "import", "yamcs", url, "--data", to),
    "import by name": lambda url, to: ("events", "import", "yamcs", url, "--data", to, "--from", "sim"),
    "import of a file": lambda url, to: (
        *("events", "import", to.parent / "history.jsonl", "--url", url, "--instance", "sim"),
    ),
    "mirror": lambda url, to: ("mirror", url, "--data", to, "--once"),
    "mirror by name": lambda url, to: ("mirror", url, "--data", to, "--once", "--instance", "sim"),
}


def secrets() -> list[bytes]:
    return [PASSWORD.encode(), base64.b64encode(f"ada:{PASSWORD}".encode()), PASSWORD.encode("latin-1")]


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_asks_as_the_user_and_keeps_no_password(
    run: Run, front: Front, tmp_path: Path, command: Command
) -> None:
    ran = run(*command(front.url, tmp_path / "new"), "--user", "ada")
    assert ran.status == 0, ran.err
    assert front.seen
    assert set(front.seen) == {LOGIN.header}
    written = [path.read_bytes() for path in (tmp_path / "new").rglob("*") if path.is_file()]
    for secret in secrets():
        assert all(secret not in file for file in (*written, ran.out.encode(), ran.err.encode()))


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_command_that_is_not_authorised_gives_advice_and_creates_nothing(
    run: Run, front: Front, tmp_path: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    ran = run(*command(front.url, new))
    assert (ran.status, ran.out) == (1, "")
    assert "give --user NAME" in ran.err
    assert set(front.seen) == {None}  # the password of the environment is sent only with --user
    assert not new.exists() or command(front.url, new)[0] == "mirror"
    monkeypatch.setenv("YAMCS_ARCHIVE_PASSWORD", "wrong")
    ran = run(*command(front.url, new), "--user", "ada")
    assert (ran.status, ran.out) == (1, "")
    assert "it refuses user 'ada' or the password: see --user and YAMCS_ARCHIVE_PASSWORD" in ran.err
    assert "wrong" not in ran.err
    front.forbid = True
    monkeypatch.setenv("YAMCS_ARCHIVE_PASSWORD", PASSWORD)
    ran = run(*command(front.url, new), "--user", "ada")
    assert ran.status == 1
    assert "user 'ada' may not do this there" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_redirect_takes_the_password_to_no_other_place(
    run: Run, front: Front, tmp_path: Path, command: Command
) -> None:
    with standing(Front()) as other:
        front.redirect = f"http://ada:{'secret'}@127.0.0.1:{other.port}/api"
        ran = run(*command(front.url, tmp_path / "new"), "--user", "ada")
        assert (ran.status, ran.out) == (1, "")
        assert "302" in ran.err
        assert "secret" not in ran.err
        assert other.seen == []


def test_within_its_place_a_redirect_is_followed_with_the_password(run: Run, front: Front) -> None:
    front.redirect = f"{front.url}/moved"
    ran = run("instances", "list", "--url", front.url, "--user", "ada")
    assert (ran.status, ran.out) == (0, "sim\n")
    assert front.seen == [LOGIN.header] * 2


def test_a_served_copy_follows_as_the_user(front: Front, tmp_path: Path) -> None:
    arguments = ["serve", "--data", str(tmp_path / "new"), "--port", "0", "--mirror-of", front.url]
    for user, expected in (
        ((), "give --user NAME"),
        (("--user", "ada"), "sim: 20 events taken over"),
    ):
        with stopping(
            subprocess.Popen(
                [sys.executable, "-m", "yamcs_archive", *arguments, *user],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        ) as process:
            assert process.stderr is not None
            assert expected in process.stderr.readline()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("events", "log", "--data", "x", "--user", "ada"), "--user is for a URL"),
        (("instances", "list", "--data", "x", "--user", "ada"), "--user is for a URL"),
        (("serve", "--data", "x", "--instance", "i", "--user", "ada"), "--user is for --mirror-of URL"),
        (("events", "log", "--url", "http://127.0.0.1:1", "--user", "ada:secret"), "a name without ':'"),
        (("events", "log", "--url", "http://127.0.0.1:1", "--user", ""), "must not be empty"),
        (("events", "log", "--url", "http://127.0.0.1:1", "--user", "a\nb"), "no control characters"),
    ],
)
def test_a_user_that_cannot_be_is_a_wrong_command_line(
    run: Run, arguments: tuple[str, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert (ran.status, ran.out) == (2, "")
    assert said in ran.err
    assert "secret" not in ran.err
    assert not list(tmp_path.iterdir())


def test_a_password_that_cannot_be_sent_is_not_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("YAMCS_ARCHIVE_PASSWORD", "sec\nret")
    ran = run("events", "log", "--url", "http://127.0.0.1:1", "--user", "ada")
    assert ran.status == 2
    assert "YAMCS_ARCHIVE_PASSWORD: must have no control characters" in ran.err
    assert "ret" not in ran.err.replace("characters", "")


def _child(arguments: list[str], stdin: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "yamcs_archive", *arguments],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if not name.startswith("YAMCS_ARCHIVE_")},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # with no terminal, except for stdin if it is one
    )


def test_without_a_password_a_terminal_is_asked_and_without_one_it_is_refused(front: Front) -> None:
    arguments = ["instances", "list", "--url", front.url, "--user", "ada"]
    with stopping(_child(arguments, subprocess.DEVNULL)) as process:
        out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out) == (2, "")
    assert err == (
        "yamcs-archive: --user needs a password: set YAMCS_ARCHIVE_PASSWORD; there is no terminal to ask on\n"
    )
    ours, theirs = pty.openpty()
    try:
        with stopping(_child(arguments, theirs)) as process:
            try:
                assert process.stderr is not None
                prompt = f"Password of ada at {front.url}: "
                assert process.stderr.read(len(prompt)) == prompt
                os.write(ours, PASSWORD.encode() + b"\n")
                out, err = process.communicate(timeout=WAIT_S)
            finally:
                process.kill()
    finally:
        os.close(theirs)
        os.close(ours)
    assert (process.returncode, out, err) == (0, "sim\n", "\n")


def test_a_password_that_others_can_read_on_the_way_is_warned_of() -> None:
    opened = [
        "http://ops.example",
        "http://192.0.2.1:8090",
        "http://127.0.0.1.example",
        "http://[2001:db8::1]",
    ]
    kept = [
        "https://ops.example",
        "http://127.0.0.1",
        "http://127.9.9.9:1",
        "http://localhost:1",
        "http://[::1]",
    ]
    assert [is_open(url) for url in (*opened, *kept)] == [True] * len(opened) + [False] * len(kept)


@pytest.mark.parametrize(
    "url",
    [
        "http://ada:secret@127.0.0.1:1",
        "http://ada:secret@[::1",
        "http://secret@127.0.0.1:1",
        "http://ada:sec/secret@127.0.0.1:1",
        "http://ada:secret@127.0.0.1:port",
        "ada:secret@127.0.0.1:1",
        "https://ada:a@secret@127.0.0.1:1",
        "ftp://ada:secret@127.0.0.1",
    ],
)
def test_a_url_with_a_user_is_refused_by_every_door_and_never_shown(
    run: Run, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = tmp_path / "new"
    for command in (
        *(command(url, new) for command in COMMANDS.values()),
        ("events", "log", url),  # where none belongs
        ("events", "log", f"--urk={url}"),
        ("serve", "--data", new, "--mirror-of", url),
        ("serve", "--data", new, "--instance", "sim", "--cors-origin", url),
        ("serve", "--data", new, "--port", url),
    ):
        ran = run(*command)
        assert (ran.status, ran.out) == (2, ""), command
        assert "secret" not in ran.err
    monkeypatch.setenv("YAMCS_ARCHIVE_URL", url)
    ran = run("events", "log")
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith("yamcs-archive: YAMCS_ARCHIVE_URL")
    assert "secret" not in ran.err
    assert not new.exists()
    doors: list[Callable[[], object]] = [
        lambda: History(url, "sim"),
        lambda: Client(url),
        lambda: Settings(data=new, mirror_of=url),
        lambda: Settings(data=new, cors_origins=[url]),
    ]
    for door in doors:
        with pytest.raises(InvalidInputError) as caught:
            door()
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("", "127.0.0.1:8090", "http://", "http:///x", "http://127.0.0.1:99999", "http://127.0.0.1:x"),
        *("http://a b", "http://[::1", "http://127.0.0.1/?a=1", "http://127.0.0.1#x", "http://127.0.0.1?"),
        *("http://" + "a" * 64 + ".example", "http://é.example", "http://127.0.0.1/é", "http://a\x00b"),
        *("http://127.0.0.1:0", "http://.example", "file:///etc/passwd", "http://a\nb"),
    ],
)
def test_a_text_that_is_no_url_of_an_archive_is_refused(run: Run, url: str) -> None:
    with pytest.raises(InvalidInputError):
        check_url(url)
    ran = run("events", "log", "--url", url)
    assert (ran.status, ran.out) == (2, "")


@pytest.mark.parametrize("url", ["http://[::1]:8090", "HTTPS://ops.example/a/b/", "http://x-1.example:65535"])
def test_a_url_of_an_archive_is_accepted(url: str) -> None:
    assert check_url(url) == url
