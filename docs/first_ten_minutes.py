"""Write docs/first-ten-minutes.md: an operator's first commands, run by this script, and what they printed.

    python docs/first_ten_minutes.py            # run the commands, and write
    python docs/first_ten_minutes.py --check    # run them, and exit 1 if the page would say something else

Numbers, times and sizes differ from run to run, and what doctor finds from machine to machine; a check
compares the rest.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
PAGE = Path(__file__).parent / "first-ten-minutes.md"
PORT = 8090
"""The port in the page; the run takes a free one."""
FOLDER = "/home/ops"
"""The folder in the page; the run is in a temporary one."""
WAIT_S = 120
_SERVE = "nohup yamcs-archive serve --config archive.toml > serve.out 2> serve.log & SERVER=$!"

_HEAD = """# The first ten minutes

`python docs/first_ten_minutes.py` ran these commands and wrote this page; a test runs them again. They need a
shell, curl, and an installation (README.md says how). They set up an archive on one machine, with users, look
at it, make a backup, and restore it. [operation.md](operation.md) explains each step.
"""


class Step(NamedTuple):
    """A paragraph, and the commands after it."""

    title: str
    text: str
    commands: tuple[str, ...]


STEPS = (
    Step(
        "Users",
        "A password comes from a prompt, or here from a file. Programs get tokens.",
        (
            "umask 077; echo 'correct horse battery' > password",
            "yamcs-archive users add --users users.json ada --permission ReadEvents --permission WriteEvents"
            " --permission ManageArchive < password",
            "yamcs-archive users token --users users.json ada > ada.token",
            "yamcs-archive users add --users users.json prometheus --permission ReadMetrics --no-password",
            "yamcs-archive users token --users users.json prometheus > prometheus.token",
            "yamcs-archive users list --users users.json",
        ),
    ),
    Step(
        "Configuration",
        "Every option of `serve` can be in a file ([configuration.md](configuration.md)). A check names all"
        " of its faults before a restart meets them.",
        (
            "cat archive.toml",
            "yamcs-archive config check archive.toml",
            "sed 's/keep_days/keep_day/' archive.toml > wrong.toml; yamcs-archive config check wrong.toml",
        ),
    ),
    Step(
        "Serve",
        "The line comes when the server answers, and not before. `nohup` lets it outlive the terminal.",
        (_SERVE, "until yamcs-archive health > health; do sleep 1; done; cat serve.out health"),
    ),
    Step(
        "Store and read events",
        "`200 OK` comes after the fsync. Sent again, the same event is stored once.",
        (
            "curl --silent http://127.0.0.1:8090/api/archive/simulator/events",
            'echo "x-api-key: $(cat ada.token)" > ada.header; export YAMCS_ARCHIVE_URL=http://127.0.0.1:8090',
            "curl --silent --header @ada.header http://127.0.0.1:8090/api/archive/simulator/events"
            ' --data \'{"source": "AOCS", "sequenceNumber": 1, "time": "2026-11-23T12:00:00Z", "severity":'
            ' "WARNING", "message": "Wheel 3 over speed"}\'',
            'yamcs-archive events create --token-file ada.token -m "Safe mode" --source OBC'
            " --severity critical --date 2026-11-23T12:00:01Z",
            "yamcs-archive events log --token-file ada.token",
        ),
    ),
    Step(
        "Look at it",
        "`doctor` says what to do about what it finds; its exit status is 1 if something is bad. Prometheus"
        " reads `/metrics` ([monitoring.md](monitoring.md)).",
        (
            "yamcs-archive stats --token-file ada.token",
            "yamcs-archive doctor --token-file ada.token",
            'curl --silent --header "Authorization: Bearer $(cat prometheus.token)" http://127.0.0.1:8090/metrics'
            " | grep '^yamcs_archive_events_written_total'",
        ),
    ),
    Step(
        "Change the log level",
        "SIGHUP reads the configuration, the users and the certificates again; nothing is interrupted. The"
        " signal ends a server in the foreground of a terminal.",
        (
            'sed -i \'s/"info"/"debug"/; s/keep_days = 365/keep_days = 30/\' archive.toml',
            "kill -HUP $SERVER",
            "sleep 1; cut -d' ' -f2- serve.log",
        ),
    ),
    Step(
        "Back up, stop, restore",
        "A backup of a served archive. SIGTERM answers what was accepted, and closes the archive.",
        (
            "yamcs-archive backup --token-file ada.token backups",
            "kill -TERM $SERVER",
            "yamcs-archive verify backups",
            "yamcs-archive restore backups --data restored",
            "yamcs-archive events log --data restored --format jsonl",
            "yamcs-archive upgrade --check --data restored",
        ),
    ),
    Step(
        "Run it as a service",
        "The unit is written to a folder here; without `--directory` it goes to /etc/systemd/system.",
        ("mkdir units; yamcs-archive service install --config archive.toml --directory units",),
    ),
)

CONFIGURATION = """[storage]
data = "data"
instances = ["simulator"]

[server]
port = {port}
users = "users.json"
log_level = "info"

[retention]
keep_days = 365
"""


_OF_THIS_FOLDER = ("yamcs-archive: the unit shares /tmp", "yamcs-archive: the unit lets the server read home")


class Run:
    """The commands of the page, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = str(free.getsockname()[1])
        (folder / "archive.toml").write_text(CONFIGURATION.format(port=self._port))
        (folder / "home").mkdir()
        self._server: subprocess.Popen[bytes] | None = None
        (folder / "bin").mkdir()
        for name, module in (("yamcs-archive", "-m yamcs_archive"), ("python", "")):
            program = folder / "bin" / name
            program.write_text(f'#!/bin/sh\nexec {sys.executable} {module} "$@"\n')
            program.chmod(0o755)
        kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
        self._environment = {
            **kept,
            "HOME": str(folder / "home"),
            "PATH": f"{folder}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TZ": "UTC",
            "NO_COLOR": "1",
        }

    def output(self, command: str) -> str:
        """Run a command of the page, and return what a terminal would show."""
        here = command.replace(f":{PORT}", f":{self._port}")
        if command == _SERVE:
            self._serve()
            return ""
        here = here.replace(
            "yamcs-archive health", f"yamcs-archive health --url http://127.0.0.1:{self._port}"
        )
        if "$SERVER" in command and self._server is not None:
            self._server.send_signal(signal.SIGHUP if "-HUP" in command else signal.SIGTERM)
            return "" if "-HUP" in command else self._ended()
        if "export " in command:
            name, _, value = here.rpartition("export ")[2].partition("=")
            self._environment[name] = value
        done = subprocess.run(
            ["/bin/bash", "-c", here],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=WAIT_S,
            check=False,
        )
        return self._shown(done.stdout)

    def _serve(self) -> None:
        with (self._folder / "serve.out").open("w") as out, (self._folder / "serve.log").open("w") as log:
            self._server = subprocess.Popen(
                ["nohup", "yamcs-archive", "serve", "--config", "archive.toml"],
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=log,
            )

    def _ended(self) -> str:
        """Wait for the end of the server, and return what a shell says of a status other than 0."""
        server, self._server = self._server, None
        status = 0 if server is None else server.wait(WAIT_S)
        return f"Exit {status}\n" if status else ""

    def _shown(self, text: str) -> str:
        # What the unit says of this folder, which may be in /tmp or in somebody's home: not of a user's.
        text = "".join(
            line for line in text.splitlines(keepends=True) if not line.startswith(_OF_THIS_FOLDER)
        )
        for found, shown in ((self._port, str(PORT)), (str(self._folder), FOLDER)):
            text = text.replace(found, shown)
        return text

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.kill()
            self._ended()


@contextmanager
def _running(files: Mapping[str, str]) -> Iterator[Run]:
    folder = Path(tempfile.mkdtemp(prefix="ten-minutes-"))
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    run = Run(folder)
    try:
        yield run
    finally:
        run.close()
        shutil.rmtree(folder)


def page(
    head: str = _HEAD, steps: Sequence[Step] = STEPS, files: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Run the commands in a folder that has these files, and return the page."""
    parts = [head]
    with _running(files) as run:
        for step in steps:
            lines = []
            for command in step.commands:
                lines.append(f"$ {_wrapped(command)}\n{run.output(command)}")
            text = "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)
            parts.append(f"## {step.title}\n\n{_filled(step.text)}\n\n```text\n{text}```\n")
    return "\n".join(parts)


def _wrapped(command: str) -> str:
    """Return a long command on several lines, as a shell takes it."""
    if len(command) <= 110:
        return command
    lines = [""]
    for word in re.split(r" (?=--|\||http)", command):
        if len(lines[-1]) + len(word) > 100:
            lines.append("")
        lines[-1] += f"{word} "
    return " \\\n    ".join(line.strip() for line in lines)


def _filled(text: str) -> str:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > 118:
            lines.append("")
        lines[-1] += f"{word} "
    return "\n".join(line.strip() for line in lines)


def compared(text: str) -> str:
    """Return what is the same in every run."""
    text = re.sub(r"(\$ yamcs-archive doctor[^\n]*\n).*?(?=\n\$ |\n```)", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"\b[0-9a-f]{64}\b", "N", text)  # of the content, which has times
    text = re.sub(r"[0-9]+|\b(?:[KMGT]i?B|bytes)\b", "N", text)
    return re.sub(r"[-N. :TZ,]*N[-N. :TZ,]*", "N", re.sub(r" +", " ", text))


def keep(made: str, path: Path) -> None:
    """Write a page, or with ``--check`` compare it with the one that is there."""
    if "--check" not in sys.argv[1:]:
        path.write_text(made, encoding="utf-8")
        return
    kept = path.read_text(encoding="utf-8")
    if compared(kept) != compared(made):
        pairs = zip(compared(kept).splitlines(), compared(made).splitlines(), strict=False)
        first = next((pair for pair in pairs if pair[0] != pair[1]), ("(its end)", ""))
        raise SystemExit(f"{path} is stale: run python {sys.argv[0]}; {first[0]!r} is {first[1]!r}")


def main() -> None:
    """Write, or with ``--check`` compare."""
    keep(page(), PAGE)


if __name__ == "__main__":
    main()
