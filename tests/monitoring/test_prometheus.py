"""Prometheus itself: it scrapes a served archive and its copy, and evaluates the dashboard and the rules.

``.ci/run`` brings Debian's package; without it these tests are skipped.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
import yaml

from tests.child import WAIT_S
from tests.monitoring.files import FOLDER, alerts, filled, queries
from tests.server.serving import PATH, Served, post, serving

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(PROMETHEUS is None or PROMTOOL is None, reason="Debian's prometheus is not installed"),
]


def promtool(*arguments: object) -> str:
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_checks_and_tests_the_rules() -> None:
    assert f"{len(alerts())} rules found" in promtool("check", "rules", FOLDER / "alerts.yml")
    assert "SUCCESS" in promtool("test", "rules", FOLDER / "alerts_test.yml")
    assert "SUCCESS" in promtool("check", "config", FOLDER / "prometheus.yml")


def test_promtool_finds_the_metrics_well_formed(tmp_path: Path) -> None:
    assert PROMTOOL is not None
    with serving(tmp_path / "a") as served:
        connection = served.connect()
        connection.request("GET", "/metrics")
        text = connection.getresponse().read()
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text, capture_output=True, check=False)
    # A base unit that it does not know, and counters of Python's own, are all that it may find.
    found = [line for line in done.stderr.decode().splitlines() if line.startswith("yamcs_archive_")]
    assert found == []


class Monitor:
    """A running Prometheus."""

    def __init__(self, folder: Path, targets: list[str]) -> None:
        assert PROMETHEUS is not None
        document = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        document["rule_files"] = [str(FOLDER / "alerts.yml")]
        document["scrape_configs"][0]["static_configs"][0]["targets"] = targets
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
        self._process = subprocess.Popen(
            [
                PROMETHEUS,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        self._said: list[str] = []
        threading.Thread(target=self._read, daemon=True).start()
        self._port = int(until(self._listens))
        until(lambda: self._get("/-/ready")[0] == 200)  # until then it refuses queries

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as said:
            self._said.extend(said)

    def _listens(self) -> str | None:
        assert self._process.poll() is None, "".join(self._said)
        found = re.search(r'msg="Listening on" address=\S+:([1-9]\d*)', "".join(self._said))
        return found[1] if found else None

    def _get(self, path: str) -> tuple[int, bytes]:
        with closing(HTTPConnection("127.0.0.1", self._port, timeout=WAIT_S)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def ask(self, path: str) -> Any:
        """Return the data of an answer of its API, which must be a success."""
        answer = msgspec.json.decode(self._get(f"/api/v1/{path}")[1])
        assert answer["status"] == "success", answer
        assert "warnings" not in answer, answer
        return answer["data"]

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an expression at this moment."""
        found: list[dict[str, Any]] = self.ask(f"query?query={quote(expression)}")["result"]
        return found

    def close(self) -> None:
        """End it, and wait for its end."""
        self._process.terminate()
        self._process.wait(WAIT_S)


def until(ready: Callable[[], Any]) -> Any:
    """Return the first result that is true."""
    end_s = time.monotonic() + WAIT_S
    while not (found := ready()):
        assert time.monotonic() < end_s, ready
        time.sleep(0.1)
    return found


@contextmanager
def copy_of(served: Served, directory: Path) -> Iterator[Served]:
    with closing(Served(directory, "--port", 0, "--mirror-of", served.url)) as copy:
        yield copy


def test_prometheus_scrapes_an_archive_and_its_copy_and_evaluates_every_query(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as served, copy_of(served, tmp_path / "copy") as copy:
        targets = [f"127.0.0.1:{served.port}", f"127.0.0.1:{copy.port}"]
        connection = served.connect()
        for n in range(20):
            post(connection, {"message": f"{n}", "source": "AOCS"})
        connection.request("GET", "/nosuch")
        connection.getresponse().read()
        with closing(Monitor(tmp_path, targets)) as monitor:
            until(lambda: len(monitor.query('count_over_time(up{job="yamcs-archive"}[1m]) >= 4')) == 2)
            post(connection, {"message": "one more", "source": "AOCS"})
            stored = "yamcs_archive_events_written_total"
            until(
                lambda: (
                    {one["value"][1] for one in monitor.query(stored)} == {"21"}
                    and len(monitor.query(stored)) == 2
                )
            )
            for query in queries():
                assert monitor.query(filled(query)), query
            up = monitor.query("up")
            assert {(one["metric"]["instance"], one["value"][1]) for one in up} == {
                (target, "1") for target in targets
            }
            [labels] = {tuple(one["metric"]["exported_instance"] for one in monitor.query(stored))}
            assert labels == ("sim", "sim")
            rules = [rule for group in monitor.ask("rules")["groups"] for rule in group["rules"]]
            assert [rule["name"] for rule in rules] == [alert["alert"] for alert in alerts()]
            assert {rule["health"] for rule in rules} == {"ok"}
            # Nothing is wrong but, perhaps, the disk of this machine.
            firing = {rule["name"] for rule in rules if rule["state"] != "inactive"}
            assert {name for name in firing if "Disk" not in name} == set()
            served.kill()
            until(lambda: monitor.query("up == 0"))
            until(lambda: monitor.query("yamcs_archive_mirror_lag_seconds > 0"))


def test_what_curl_would_see_of_the_copy(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as served, copy_of(served, tmp_path / "copy") as copy:
        post(served.connect(), {"message": "a"})
        connection = copy.connect()

        def in_step() -> bool:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
            return (
                'yamcs_archive_mirror_lag_seconds{instance="sim"} 0.0' in text
                and 'yamcs_archive_mirror_following{instance="sim"} 1.0' in text
                and 'yamcs_archive_events_written_total{instance="sim"} 1.0' in text
            )

        assert until(in_step)
        connection.request("POST", PATH, b'{"message": "b"}')
        assert connection.getresponse().status == 405
