"""Every block of the pages on operation, HTTP, clients and settings is run as typed, or names a test of it.

So are those of upgrades, monitoring and deployment. Other pages have tests of their own.

What a command prints has the form that the page shows: numbers, times and paths apart; columns may be wider.
A shown line that ends in "..." goes on. Commands that never end are interrupted after what is shown.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import websocket

from tests.child import ROOT, WAIT_S, stopping
from tests.http.feeds import Feed, core_feed, wsgi_feed
from tests.server.certificates import Authority
from tests.server.serving import Served
from yamcs_archive import Archive, Event, Instance

PAGES = ("operation", "http", "clients", "configuration", "upgrades", "monitoring", "deployment/README")
US, START_US = 1_000_000, 1_767_225_600_000_000
"""A second, and the beginning of 2026."""


def blocks_of(page: str) -> list[tuple[str, str]]:
    """The language and the text of each block of a page."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


CONSOLE = [text for page in PAGES for language, text in blocks_of(page) if language == "console"]
TRIED_ELSEWHERE = {
    "2026-11-30T14:21:18.012Z WARNING": (
        "a disk that is full, and a line of each kind of the log",
        "tests/http/test_readiness.py::test_a_spell_of_refusals_is_told_at_once_at_intervals_and_at_its_end",
    ),
    "/var/log/yamcs-archive/archive.log {": (
        "logrotate and systemd; the signal that it sends is tried",
        "tests/server/test_log_output.py::test_a_file_that_was_renamed_goes_on_under_its_name_and_no_line_is_lost",
    ),
    "$ yamcs-archive doctor --data ops-data": (
        "what it finds depends on the machine",
        "tests/test_diagnosing.py::test_limits",
    ),
    "$ yamcs-archive salvage": (
        "a damaged archive",
        "tests/cli/test_salvage.py::test_each_loss_has_a_line_and_each_key_on_request",
    ),
    "$ sudo usermod": (
        "it changes users of the system",
        "tests/storage/test_other_user.py::test_the_umask_decides_who_may_read",
    ),
    "simulator has format version 3": (
        "a later version",
        "tests/cli/test_upgrade.py::test_a_later_format_is_refused_with_the_version_that_reads_it",
    ),
    "$ yamcs-archive upgrade --check": (
        "an archive of an earlier version",
        "tests/cli/test_upgrade.py::test_an_archive_of_each_form_is_checked_read_and_brought_forward",
    ),
    "scrape_configs:": (
        "Prometheus",
        "tests/monitoring/test_prometheus.py::"
        "test_prometheus_scrapes_an_archive_and_its_copy_and_evaluates_every_query",
    ),
    "    authorization: {credentials_file": (
        "Prometheus",
        "tests/monitoring/test_prometheus.py::"
        "test_prometheus_scrapes_an_archive_and_its_copy_and_evaluates_every_query",
    ),
    "promtool test rules": (
        "promtool, which .ci/run fetches",
        "tests/monitoring/test_prometheus.py::test_promtool_checks_and_tests_the_rules",
    ),
    "$ sudo python3 -m venv": (
        "it installs a service of the system",
        "tests/deployment/test_unit.py::test_the_server_works_with_the_rights_of_its_unit",
    ),
}
"""Blocks that cannot be run here, by how they begin: why, and the test of what they are about."""
RUN_BY_HAND = {
    "Serving http": "test_serve_says_what_the_page_shows",
    "$ yamcs-archive users add --users users.json ada": "test_users_log_in_as_typed",
    '{"stored": 9998': "test_a_batch_is_answered_as_shown",
    '{"group": [': "test_the_index_is_answered_as_shown",
    '{"status": "ready"': "test_readiness_is_answered_as_shown",
    '{"progress": {': "test_verification_is_answered_as_shown",
    '{"type": "events"': "test_live_updates_are_as_shown",
    '{"type": "reply"': "test_live_updates_are_as_shown",
    "# /etc/yamcs-archive/archive.toml": "test_the_commands_of_a_block_print_what_it_shows",
    "$ yamcs-archive health": "test_a_mirror_is_ready_as_shown",
    "from yamcs_archive import Archive\n": "test_the_factory_makes_an_application",
    "from yamcs_archive import Client,": "test_the_example_of_the_client_follows",
}
"""Blocks that have a test of their own, by how they begin."""


def beginning(text: str, known: Any) -> str | None:
    return next((begin for begin in known if text.startswith(begin)), None)


RUN_AS_TYPED = [text for text in CONSOLE if beginning(text, [*TRIED_ELSEWHERE, *RUN_BY_HAND]) is None]


def test_every_block_is_run_or_tried_elsewhere() -> None:
    texts = [text for page in PAGES for _, text in blocks_of(page)]
    known = [*TRIED_ELSEWHERE, *RUN_BY_HAND]
    assert [text for text in texts if text not in RUN_AS_TYPED and beginning(text, known) is None] == []
    assert [begin for begin in known if not any(text.startswith(begin) for text in texts)] == []
    assert len(RUN_AS_TYPED) >= 12
    for _, place in TRIED_ELSEWHERE.values():
        path, _, name = place.partition("::")
        assert f"def {name}" in (ROOT / path).read_text(encoding="utf-8"), place
    assert set(RUN_BY_HAND.values()) <= set(globals())


def form(line: str) -> str:
    """A line without what differs from run to run."""
    line = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]*(Z|(?=\.\.\.))", "TIME", line)
    line = re.sub(r"\d{8}T\S*", "STAMP", line)
    return re.sub(r"\d[\d.]*", "N", re.sub(r"\s+", " ", line)).rstrip()


def check_shown(printed: str, shown: str) -> None:
    """Check that lines have the form of those of the page; a last line "..." stands for more."""
    said, page = printed.splitlines(), shown.splitlines()
    if page[-1] == "...":
        page.pop()
        del said[len(page) :]
    assert len(said) == len(page), printed
    for line, wanted in zip(said, page, strict=True):
        if wanted.endswith("..."):
            assert form(line).startswith(form(wanted.removesuffix("..."))), line
        else:
            assert form(line) == form(wanted)


class Shell:
    """A folder with an archive, ``ops-data``, in which commands run; another archive is served."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.served: Served | None = None
        program = folder / "bin" / "yamcs-archive"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m yamcs_archive "$@"\n')
        program.chmod(0o755)
        for name in ("ops-data", "other"):
            with Archive.open(folder / name) as archive:
                archive.instance("simulator", create=True).append_many(
                    Event(f"{name} {n}", name, generation_time=START_US + n * US, seq_number=n)
                    for n in range(300)
                )

    def here(self, text: str) -> str:
        """A text of the page with the paths and addresses of this test."""
        for path in ("/etc/yamcs-archive", "/var/lib/yamcs-archive", "/backups", "/backup", "/run/secrets"):
            text = re.sub(rf"(?<![\w/]){path}\b", f"{self.folder}{path}", text)
        served = r"http://127\.0\.0\.1:8090|http://ops:8090|https://ops\.example"
        if self.served is None and re.search(served, text):
            self.served = Served(self.folder / "other", "--port", 0)
        return text if self.served is None else re.sub(served, self.served.url, text)

    def start(self, command: str) -> subprocess.Popen[str]:
        """Start a command in a process group of its own."""
        environment = {
            "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin",
            "PYTHONPATH": str(ROOT),
            "HOME": str(self.folder),
            "PYTHONUNBUFFERED": "1",
        }
        return subprocess.Popen(
            ["bash", "-c", f"exec 2>&1; {command}"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, command: str) -> str:
        """Run a command to its end, and return what it printed."""
        with stopping(self.start(command)) as process:
            printed, _ = process.communicate(timeout=WAIT_S)
        assert process.returncode == 0, f"{command}: {printed}"
        return printed

    def run_until(self, command: str, lines: int, said: str = "") -> str:
        """Run a command until its last lines say something; return them, and interrupt it."""
        process = self.start(command)
        timer = threading.Timer(WAIT_S, os.killpg, [process.pid, signal.SIGKILL])
        timer.start()
        try:
            assert process.stdout is not None
            read = [process.stdout.readline() for _ in range(lines)]
            while said not in read[-1] and read[-1]:
                read = [*read[1:], process.stdout.readline()]
            printed = "".join(read)
            os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=WAIT_S)
        finally:
            timer.cancel()
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        assert process.returncode in (0, 130, -signal.SIGINT), f"{command}: {printed}{rest}"
        return printed


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    try:
        yield shell
    finally:
        if shell.served is not None:
            shell.served.close()


def never_ends(command: str) -> bool:
    words = shlex.split(command)
    return "serve" in words or "--follow" in words or ("mirror" in words and "promote" not in words)


def prepare(block: str, shell: Shell) -> None:
    """Make what a block needs that was made further up on the page, or that its reader has."""
    if "mirror promote" in block:
        mirror = shell.here("yamcs-archive mirror http://ops:8090 --data copy --instance simulator")
        shell.run_until(mirror, 1)
    if "--tls-key" in block:
        Authority(shell.folder).issue()
    if "/run/secrets" in block:
        (shell.folder / "run" / "secrets").mkdir(parents=True)
        (shell.folder / "run" / "secrets" / "ops").write_text("secret")
    if "archive.toml" in block:
        (file,) = [text for language, text in blocks_of("configuration") if language == "toml"]
        folder = shell.folder / ("etc/yamcs-archive" if "/etc/yamcs-archive" in block else ".")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "archive.toml").write_text(shell.here(file))
        shell.run(f"yamcs-archive users add --users {folder}/users.json reader --no-password")
    if "--data /var/lib" in block:
        (shell.folder / "var" / "lib").mkdir(parents=True)
        (shell.folder / "ops-data").rename(shell.folder / "var" / "lib" / "yamcs-archive")


@pytest.mark.long
@pytest.mark.parametrize("block", RUN_AS_TYPED, ids=lambda block: block.splitlines()[0][2:60])
def test_the_commands_of_a_block_print_what_it_shows(block: str, shell: Shell) -> None:
    prepare(block, shell)
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        command, shown = shell.here(command), shell.here(shown)
        if "instances delete" in command:
            # Its question needs a terminal: tests/cli/test_directories.py answers one.
            command, shown = f"{command} --confirm bench", ""
        if "serve" in command.split():
            command = f"{command.partition('#')[0]} --port 0 --instance simulator"
        if never_ends(command):
            said = "in step" if "mirror" in command.split() else ""
            printed = shell.run_until(command, max(len(shown.splitlines()), 1), said)
        else:
            printed = shell.run(command)
        if shown:
            check_shown(printed, shown)


def test_serve_says_what_the_page_shows(tmp_path: Path) -> None:
    (shown,) = [text for _, text in blocks_of("operation") if text.startswith("Serving http")]
    served = Served(tmp_path / "data", "--port", 0, "--instance", "simulator")
    try:
        check_shown(served.line.replace(str(tmp_path / "data"), "/var/lib/yamcs-archive"), shown)
    finally:
        served.close()


@pytest.mark.long
def test_users_log_in_as_typed(shell: Shell) -> None:
    (block,) = [
        text for text in CONSOLE if text.startswith("$ yamcs-archive users add --users users.json ada")
    ]
    lines = block.splitlines()
    commands = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    (serve,) = [command for command in commands if " serve " in command]
    password = "a-long-secret"
    for command in commands[: commands.index(serve)]:
        if " ada " in command:
            # Its questions need a terminal, for which tests/cli/test_users.py has a test.
            shell.run(f"printf '{password}\\n{password}\\n' | {command}")
        else:
            printed = shell.run(command)
            if "users list" in command:
                head = next(at for at, line in enumerate(lines) if line.startswith("NAME"))
                check_shown(printed, "\n".join(lines[head : head + 3]))
    process = shell.start(f"{serve} --port 0 --instance simulator")
    assert process.stdout is not None
    try:
        url = "http://127.0.0.1:" + re.findall(r"Serving http://[^:]+:(\d+)", process.stdout.readline())[0]
        for command in commands[commands.index(serve) + 1 :]:
            here = command.replace("http://archive.example:8090", url).replace("curl", "curl -s")
            answer = msgspec.json.decode(shell.run(here.replace("-u ada", f"-u ada:{password}")))
            assert len(answer["events"]) == 100
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=WAIT_S)


def shown_json(begin: str) -> list[Any]:
    """The JSON values of a block of the page about HTTP."""
    (text,) = [text for _, text in blocks_of("http") if text.startswith(begin)]
    whole = text.replace(", …", "")
    lines = whole.splitlines() if whole.count("\n{") else [whole]
    if any(line.startswith(" ") for line in lines):  # values of several lines
        lines = [f"{{{part}" for part in whole.split("\n{")]
        lines[0] = lines[0].removeprefix("{")
    return [msgspec.json.decode(line) for line in lines]


def check_like(found: Any, shown: Any, place: str = "") -> None:
    """Check that a value has all names of the one that is shown, with values of the same types."""
    assert type(found) is type(shown), place
    if isinstance(shown, dict):
        for name, value in shown.items():
            assert name in found, f"{place}.{name}"
            check_like(found[name], value, f"{place}.{name}")
    elif isinstance(shown, list) and shown:
        assert found, place
        check_like(found[0], shown[0], f"{place}[0]")


@pytest.fixture
def simulator(archive: Archive) -> Instance:
    """The instance of the page."""
    instance = archive.instance("simulator", create=True)
    instance.append_many(
        Event(f"m{n}", "EPS", generation_time=START_US + n * US, seq_number=n) for n in range(9)
    )
    return instance


@pytest.fixture
def ask(archive: Archive, simulator: Instance) -> Feed:  # it is there
    return core_feed(archive)


ARCHIVE = "/api/archive/simulator"


def test_a_batch_is_answered_as_shown(ask: Feed) -> None:
    conflict = {"message": "other", "source": "EPS", "time": "2026-01-01T00:00:01Z", "sequenceNumber": 1}
    answer = ask("POST", f"{ARCHIVE}/events:batch", msgspec.json.encode(conflict)).json()
    (shown,) = shown_json('{"stored": 9998')
    check_like(answer, shown)
    assert set(answer) == set(shown)
    assert set(answer["conflicts"][0]) == set(shown["conflicts"][0])


def test_the_index_is_answered_as_shown(ask: Feed) -> None:
    (shown,) = shown_json('{"group": [')
    check_like(ask("GET", f"{ARCHIVE}/event-index").json(), shown)


@pytest.fixture
def mirroring(shell: Shell) -> Iterator[Served]:
    """A server that keeps a copy of the one that is served."""
    served = Served(shell.folder / "copy", "--port", 0, "--mirror-of", shell.here("http://127.0.0.1:8090"))
    try:
        yield served
    finally:
        served.close()


@pytest.mark.long
def test_a_mirror_is_ready_as_shown(shell: Shell, mirroring: Served) -> None:
    (block,) = [text for text in CONSOLE if text.startswith("$ yamcs-archive health")]
    command, _, shown = block.removeprefix("$ ").partition("\n")
    printed = shell.run(command.replace("http://127.0.0.1:8090", mirroring.url))
    check_shown(printed, shown.replace("copy:", "simulator:"))


@pytest.mark.long
def test_readiness_is_answered_as_shown(ask: Feed, shell: Shell, mirroring: Served) -> None:
    check_like(
        ask("GET", "/readyz").json(), {"status": "", "instances": [""], "storing": [""], "reasons": []}
    )
    (shown,) = shown_json('{"status": "ready"')
    answer = msgspec.json.decode(shell.run(f"curl -s {mirroring.url}/readyz"))
    check_like({**answer, "storing": [""]}, shown)
    assert answer["reasons"][0]["text"] == shown["reasons"][0]["text"]


def test_verification_is_answered_as_shown(ask: Feed) -> None:
    answer = ask("POST", f"{ARCHIVE}:verify?progress=true")
    progress, result = shown_json('{"progress": {')
    assert set(progress) == {"progress"}  # an archive this small is read before the first second is over
    check_like(msgspec.json.decode(answer.body.splitlines()[-1]), result)


@pytest.mark.long
def test_live_updates_are_as_shown(shell: Shell) -> None:
    url = shell.here("http://127.0.0.1:8090")
    (request,) = shown_json('{"type": "events"')
    reply, update = shown_json('{"type": "reply"')
    connection = websocket.create_connection(f"{url.replace('http', 'ws')}/api/websocket", timeout=WAIT_S)
    try:
        connection.send(msgspec.json.encode(request).decode())
        check_like(msgspec.json.decode(connection.recv()), reply)
        event = {"message": "Wheel", "source": "AOCS", "severity": "WATCH"}
        shell.run(f"curl -s -d {shlex.quote(json.dumps(event))} {url}{ARCHIVE}/events")
        check_like(msgspec.json.decode(connection.recv()), update)
    finally:
        connection.close()


def test_the_factory_makes_an_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = [text for language, text in blocks_of("http") if language == "python"]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example, names)
    with names["archive"] as archive:
        answer = wsgi_feed(archive, names["app"])("GET", f"{ARCHIVE}/events")
        assert answer.status == 200


@pytest.mark.long
def test_the_example_of_the_client_follows(shell: Shell) -> None:
    (example,) = [text for language, text in blocks_of("clients") if language == "python"]
    program = shell.folder / "example.py"
    told = example.replace(
        "cursor = change.cursor\n", "cursor = change.cursor\n            print(change.event.message)\n"
    )
    assert told != example
    program.write_text(shell.here(told))
    process = shell.start(f"exec {shlex.quote(sys.executable)} {program}")
    assert shell.served is not None
    lines: queue.Queue[str] = queue.Queue()
    stdout = process.stdout
    assert stdout is not None
    reader = threading.Thread(target=lambda: deque(map(lines.put, stdout), maxlen=0))
    reader.start()
    try:
        number, line = 0, ""
        while "live" not in line:
            event = json.dumps({"message": f"live {number}"})
            shell.run(f"curl -s -d '{event}' {shell.served.url}{ARCHIVE}/events")
            number += 1
            try:
                line = lines.get(timeout=1)
            except queue.Empty:
                assert process.poll() is None
                assert number < WAIT_S
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(WAIT_S)
        reader.join()
        stdout.close()
