"""The official command-line tools, unmodified from PyPI, run as the real command against a served archive."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.clients.history import EVENTS, HISTORY, after, matching, time_of
from tests.forking import Forks
from tests.server.serving import WAIT_S, Served
from yamcs_archive import Event

ENVIRONMENT = {"TZ": "Asia/Tokyo", "LANG": "C.UTF-8", "COLUMNS": "80"}
"""Local time is far from UTC."""
QUIET = ("-W", "ignore")
"""Without the client's notice of its protobuf implementation."""


class Tools:
    """The command with a home of its own, configured by ``core``."""

    def __init__(self, forks: Forks, home: Path, **core: str) -> None:
        self._forks, self._home = forks, home
        if core:
            config = home / ".config" / "yamcs-cli" / "config"
            config.parent.mkdir(parents=True)
            config.write_text("\n".join(["[core]", *(f"{name} = {value}" for name, value in core.items())]))

    def run(self, *arguments: str, status: int = 0, **environment: str) -> tuple[str, str]:
        """Run it as ``python -m yamcs.cli`` does; return its stdout and its stderr."""
        code = 'import runpy; runpy.run_module("yamcs.cli", run_name="__main__", alter_sys=True)'
        ended, *said = self._forks.run(code, arguments, {"HOME": str(self._home), **environment})
        assert ended == status, said
        return said[0], said[1]

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the events of ``events log``, read from its JSON."""
        said, complaints = self.run("events", "log", "--format", "json", *arguments)
        assert complaints == ""
        found: list[dict[str, Any]] = msgspec.json.decode(said)
        return found


@pytest.fixture(scope="module")
def forks() -> Iterator[Forks]:
    with closing(Forks("yamcs.client", options=QUIET, environment=ENVIRONMENT)) as made:
        yield made


@pytest.fixture
def tools(served: Served, forks: Forks, tmp_path: Path, instance: str) -> Tools:
    """The tools, configured for an instance of their own."""
    return Tools(forks, tmp_path, url=served.url, instance=instance)


@pytest.fixture(scope="module")
def reading(served: Served, forks: Forks, tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The tools, configured for the history."""
    return Tools(forks, tmp_path_factory.mktemp("home"), url=served.url, instance=HISTORY)


def shown(events: list[Event]) -> list[tuple[str, int]]:
    return [(event.source, event.key.seq_number) for event in events]


def read(found: list[dict[str, Any]]) -> list[tuple[str, int]]:
    return [(event["source"], event["seqNumber"]) for event in found]


# login, config, instances


def test_login_finds_the_server_and_an_instance(served: Served, forks: Forks, tmp_path: Path) -> None:
    tools = Tools(forks, tmp_path)
    _, said = tools.run("login", served.url)
    assert "username: guest" in said
    assert f"Using instance: {tools.run('config', 'get', 'instance')[0]}" in said.replace(" (", "\n(")
    assert tools.run("config", "get", "url")[0] == f"{served.url}\n"


def test_the_command_started_by_itself_says_the_same(served: Served, forks: Forks, tmp_path: Path) -> None:
    tools = Tools(forks, tmp_path, url=served.url, instance=HISTORY)
    for arguments in (["events", "log", "--lines", "3"], ["events", "log", "--filter", "nosuch=1"]):
        done = subprocess.run(
            [sys.executable, *QUIET, "-m", "yamcs.cli", *arguments],
            env={**ENVIRONMENT, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=WAIT_S,
            check=False,
        )
        assert (done.stdout, done.stderr) == tools.run(*arguments, status=done.returncode)


def test_instances_list(reading: Tools) -> None:
    said, _ = reading.run("instances", "list")
    assert [line.split()[:2] for line in said.splitlines() if line.startswith(HISTORY)] == [
        [HISTORY, "RUNNING"]
    ]


# events create


def test_events_create_with_a_message_alone(tools: Tools) -> None:
    assert tools.run("events", "create", "-m", "hello") == ("", "")
    (found,) = tools.listed()
    assert (found["message"], found["source"], found["severity"], found["seqNumber"]) == (
        *("hello", "User", "INFO", 0),
    )
    assert "type" not in found


def test_events_create_with_every_option(tools: Tools) -> None:
    options = ["--message", "Wheel 3 = over speed", "--date", "2026-05-01T12:00:00.123456Z"]
    options += ["--sequence-number", "-7", "--severity", "distress", "--source", "AOCS", "--type", "FDIR"]
    options += ["--extra", "unit=rpm", "limit=6000", "--extra", "axis=z"]
    for _ in range(2):  # the second is a retry
        assert tools.run("events", "create", *options) == ("", "")
    (found,) = tools.listed()
    del found["receptionTime"]
    assert found == {
        "source": "AOCS",
        "generationTime": "2026-05-01T12:00:00.123456Z",
        "seqNumber": -7,
        "type": "FDIR",
        "message": "Wheel 3 = over speed",
        "severity": "DISTRESS",
        "extra": {"unit": "rpm", "limit": "6000", "axis": "z"},
    }


@pytest.mark.parametrize("date", ["now", "today UTC", "2026-05-01T12:00:00"])
def test_events_create_with_date(tools: Tools, date: str) -> None:
    before = datetime.now(UTC)
    tools.run("events", "create", "-m", "hello", "--date", date)
    (found,) = tools.listed("-s", "2026-01-01")
    moment = datetime.fromisoformat(found["generationTime"])
    if date == "now":
        assert before <= moment <= datetime.now(UTC)
    elif date == "today UTC":
        assert moment.time() == datetime.min.time()
    else:
        assert moment == datetime.fromisoformat(date).replace(tzinfo=UTC) - timedelta(hours=9)


def test_events_create_without_a_message_opens_an_editor(tools: Tools, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\necho "written there" > "$1"\n')
    editor.chmod(0o755)
    tools.run("events", "create", EDITOR=str(editor))
    assert [event["message"] for event in tools.listed()] == ["written there"]


def test_events_create_at_an_instance_named_on_the_command_line(tools: Tools, instance: str) -> None:
    tools.run("config", "unset", "instance")
    tools.run("--instance", instance, "events", "create", "-m", "hello")
    assert "No instance" in tools.run("events", "log", status=1)[1]
    tools.run("config", "set", "instance", instance)
    assert [event["message"] for event in tools.listed()] == ["hello"]


def test_events_create_prints_the_refusal_of_the_server(tools: Tools) -> None:
    options = ["--date", "2026-05-01", "--sequence-number", "1", "--source", "AOCS"]
    tools.run("events", "create", "-m", "first", *options)
    said, complaints = tools.run("events", "create", "-m", "second", *options, status=1)
    assert said == ""
    assert "another event is stored" in complaints
    assert [event["message"] for event in tools.listed()] == ["first"]
    _, complaints = tools.run("--instance", "nosuch", "events", "create", "-m", "hello", status=1)
    assert "No instance named 'nosuch'" in complaints


# events log


def test_events_log_shows_the_last_ten_as_a_table(reading: Tools) -> None:
    said, complaints = reading.run("events", "log")
    head, *lines = said.splitlines()
    assert complaints == ""
    assert head.split() == ["SEVERITY", "TIME", "MESSAGE", "SOURCE", "TYPE"]
    last = EVENTS[-10:]
    assert [line.split()[0] for line in lines] == [event.severity.name for event in last]
    for line, event in zip(lines, last, strict=True):
        assert event.message in line
        assert (time_of(event) + timedelta(hours=9)).strftime("%Y-%m-%d %H:%M:%S.%f+09:00") in line


def test_events_log_in_utc(served: Served, forks: Forks, tmp_path: Path) -> None:
    tools = Tools(forks, tmp_path, url=served.url, instance=HISTORY, enable_utc="true")
    said, _ = tools.run("events", "log", "-n", "1")
    assert time_of(EVENTS[-1]).strftime("%Y-%m-%d %H:%M:%S.%f+00:00") in said


@pytest.mark.parametrize(("option", "count"), [("-n", "1"), ("--lines", "700"), ("-n", "all")])
def test_events_log_with_lines(reading: Tools, option: str, count: str) -> None:
    wanted = EVENTS if count == "all" else EVENTS[-int(count) :]
    assert read(reading.listed(option, count)) == shown(wanted)


def test_events_log_with_since(reading: Tools) -> None:
    found = reading.listed("--since", after(15).isoformat())
    assert read(found) == shown(matching(lambda event: time_of(event) >= after(15)))


def test_events_log_with_until(reading: Tools) -> None:
    found = reading.listed("--until", after(2).isoformat())
    assert read(found) == shown(matching(lambda event: time_of(event) < after(2)))


def test_events_log_with_since_and_until_in_local_time(reading: Tools) -> None:
    since, until = (after(n) + timedelta(hours=9) for n in (2, 5))
    found = reading.listed("-s", f"{since:%Y-%m-%dT%H:%M:%S.%f}", "-u", f"{until:%Y-%m-%dT%H:%M:%S.%f}")
    assert read(found) == shown(matching(lambda event: after(2) <= time_of(event) < after(5)))


def test_events_log_with_filter(reading: Tools) -> None:
    found = reading.listed("--filter", "source=gnc type=low_battery", "-n", "all")
    assert read(found) == shown(matching(lambda event: (event.source, event.type) == ("gnc", "LOW_BATTERY")))
    newest = reading.listed("--filter", "source=gnc", "-n", "3")
    assert read(newest) == shown(matching(lambda event: event.source == "gnc")[-3:])


def test_events_log_with_every_option(reading: Tools) -> None:
    options = ["--lines", "1", "--since", after(3).isoformat(), "--until", after(9).isoformat()]
    found = reading.listed(*options, "--filter", "severity>=distress")
    wanted = matching(
        lambda event: (
            after(3) <= time_of(event) < after(9)
            and event.severity.name in ("DISTRESS", "CRITICAL", "SEVERE")
        )
    )
    assert read(found) == shown(wanted)  # with dates, the tool does not count lines


def test_events_log_says_where_a_filter_is_wrong(reading: Tools) -> None:
    said, complaints = reading.run("events", "log", "--filter", "nosuch=1", status=1)
    assert (said, complaints.strip()) == ("", "400 Client Error: Field not found 'nosuch'")
