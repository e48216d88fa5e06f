"""SIGHUP: the log level and the users are taken anew; the end of a terminal is a stop all the same."""

from __future__ import annotations

import fcntl
import os
import signal
import ssl
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.child import ROOT
from tests.server.certificates import Authority
from tests.server.serving import WAIT_S, post, serving
from yamcs_archive.access.administration import add_user


class Log:
    """The log file of a server."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0

    def until(self, text: str) -> str:
        """Return what is new, once it has a line with that text."""
        give_up_s = time.monotonic() + WAIT_S
        while time.monotonic() < give_up_s:
            new = self._path.read_text()[self._read :]
            if text in new and new.endswith("\n"):
                self._read += len(new)
                return new
            time.sleep(0.01)
        raise AssertionError((text, self._path.read_text()))


def test_the_log_level_is_taken_anew_and_the_rest_is_named(tmp_path: Path) -> None:
    config, log = tmp_path / "archive.toml", Log(tmp_path / "log")
    first = f'[server]\nlog_file = "{tmp_path}/log"\n'
    config.write_text(first)
    with serving(tmp_path / "data", "--config", config) as served:
        log.until("Serving")

        def reload(text: str) -> str:
            config.write_text(text)
            served.process.send_signal(signal.SIGHUP)
            return log.until("reloaded: log level")

        assert "restart" not in reload(first)
        changed = reload(
            first + "threads = 3\nport = 1\n[retention]\nkeep_days = 9\n[instances.sim]\nmax_events = 5\n"
        )
        assert (
            "WARNING changed, and needs a restart: server.threads, retention.keep_days, instances.sim"
            in changed
        )  # and not the port, which an option decides
        config.write_text(first + 'log_level = "warning"\nthreads = 4\n')
        served.process.send_signal(signal.SIGHUP)
        log.until("needs a restart: server.threads")
        config.write_text(first + 'log_level = "loud"\nthreds = 3\n')
        served.process.send_signal(signal.SIGHUP)
        faults = log.until("threds")
        assert "archive.toml:3: server.log_level" in faults
        assert "archive.toml:4: server.threds is not known; did you mean threads?" in faults
        assert "INFO" not in faults
        config.unlink()
        served.process.send_signal(signal.SIGHUP)
        log.until("No such file")
        config.write_text(first + 'log_level = "debug"\n')
        served.process.send_signal(signal.SIGHUP)
        log.until("reloaded: log level")
        assert post(served.connect(), {"message": "served all the time"})["seqNumber"] == 0


def test_users_are_taken_anew(tmp_path: Path) -> None:
    users, log = tmp_path / "users.json", Log(tmp_path / "log")
    add_user(users, "ada", [], None)
    with serving(tmp_path / "data", "--users", users, "--log-file", tmp_path / "log") as served:
        served.process.send_signal(signal.SIGHUP)
        assert "ERROR" not in log.until("reloaded: log level, users")
        users.write_text("{")
        served.process.send_signal(signal.SIGHUP)
        assert "the users stay as they were" in log.until("reloaded: log level, users")


def test_certificates_are_taken_anew_and_a_key_that_does_not_fit_is_not(tmp_path: Path) -> None:
    authority, log = Authority(tmp_path), Log(tmp_path / "log")
    files = authority.issue()
    options = ("--tls-certificate", files.certificate, "--tls-key", files.key, "--log-file", tmp_path / "log")
    with serving(tmp_path / "data", *options) as served:

        def shown() -> str:
            return ssl.get_server_certificate(("127.0.0.1", served.port)).strip()

        first = shown()
        authority.issue()
        served.process.send_signal(signal.SIGHUP)
        log.until("reloaded: log level, certificates")
        second = shown()
        assert second != first
        assert files.certificate.read_text().startswith(second)
        files.key.write_text("-----BEGIN PRIVATE KEY-----\n")
        served.process.send_signal(signal.SIGHUP)
        assert "the certificate is kept as it was" in log.until("reloaded: log level, certificates")
        assert shown() == second


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def terminal() -> Iterator[tuple[int, Start]]:
    """A terminal, and what starts ``serve`` in it, with the words before it."""
    mine, its = os.openpty()
    processes = []

    def start(*arguments: object, before: tuple[str, ...] = (), **variables: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "yamcs_archive", "serve", *map(str, arguments)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(its, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one call
            pass_fds=[its],
        )
        processes.append(process)
        return process

    yield mine, start
    for process in processes:
        process.kill()
        process.communicate()


def test_a_terminal_that_hangs_up_ends_the_server(tmp_path: Path, terminal: tuple[int, Start]) -> None:
    mine, start = terminal
    with serving(tmp_path / "data", start=start) as served:
        post(served.connect(), {"message": "kept"})
        os.close(mine)
        assert served.process.wait(WAIT_S) == 0


def test_a_server_under_nohup_outlives_its_terminal(tmp_path: Path, terminal: tuple[int, Start]) -> None:
    mine, start = terminal
    log = Log(tmp_path / "log")

    def start_with_nohup(*arguments: object, **variables: str) -> subprocess.Popen[str]:
        return start(*arguments, before=("nohup",))

    with serving(tmp_path / "data", "--log-file", tmp_path / "log", start=start_with_nohup) as served:
        os.close(mine)
        log.until("reloaded: log level")  # the signal of the hang-up: it does no harm
        assert post(served.connect(), {"message": "still there"})["seqNumber"] == 0
        assert served.stop()[0] == 0
