"""The dashboard, the alert rules and the page name the metrics that a server tells, and no others."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.http.feeds import core_feed
from tests.monitoring.files import FOLDER, alerts, dashboard, names_in, panels, queries
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.activity import MirrorLag
from yamcs_archive.http.application import Application

PAGE = (FOLDER.parent / "monitoring.md").read_text(encoding="utf-8")
_PARTS = ("_bucket", "_count", "_sum")


@pytest.fixture
def told(archive: Archive, sim: Instance) -> set[str]:
    """The names of all samples of a scrape."""
    sim.append(Event("a"))
    core = Application(archive)
    core.services.observation.mirrors = lambda: [MirrorLag("sim", 0.0, True)]
    feed = core_feed(archive, core=core)
    feed("GET", "/healthz")
    text = feed("GET", "/metrics").body.decode()
    return {re.split(r"[ {]", line)[0] for line in text.splitlines() if not line.startswith("#")}


def test_the_dashboard_and_the_rules_ask_only_for_what_is_told(told: set[str]) -> None:
    expressions = [*queries(), *(alert["expr"] for alert in alerts())]
    variables = [variable["definition"] for variable in dashboard()["templating"]["list"][1:]]
    asked = {name for expression in (*expressions, *variables) for name in names_in(expression)}
    assert len(asked) > 30
    assert asked - told == set()


def test_the_dashboard_shows_every_metric_of_the_archive(told: set[str]) -> None:
    shown = {name for query in queries() for name in names_in(query)}
    ours = {name for name in told if name.startswith("yamcs_archive_")}
    parts = {name.removesuffix(part) for name in ours for part in _PARTS if name.endswith(part)}
    assert {name for name in ours - shown if not any(map(name.startswith, parts))} == set()
    assert {name for name in parts if not any(one.startswith(name) for one in shown)} == set()


def test_the_page_describes_every_metric_of_the_archive_and_every_alert(told: set[str]) -> None:
    described = {f"yamcs_archive_{name}" for name in re.findall(r"^\| `([a-z_]+)", PAGE, re.MULTILINE)}
    ours = {name for name in told if name.startswith("yamcs_archive_")}
    families = {re.sub(r"_(bucket|count|sum)$", "", name) for name in ours}
    assert described == families
    assert [alert["alert"] for alert in alerts() if f"`{alert['alert']}`" not in PAGE] == []


def test_each_panel_has_a_place_and_each_query_a_legend() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert all(x < 24 for x, _ in cells), panel["title"]
        taken |= cells
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    assert all(target["legendFormat"] for panel in panels() for target in panel["targets"])


def test_each_alert_is_tested_and_says_what_to_do() -> None:
    document = yaml.safe_load((FOLDER / "alerts_test.yml").read_text())
    tested = {found for test in document["tests"] for found in re.findall(r"YamcsArchive\w+", str(test))}
    assert {alert["alert"] for alert in alerts()} == tested
    for alert in alerts():
        assert set(alert["annotations"]) == {"summary", "description"}, alert["alert"]
        assert alert["labels"]["severity"] in ("info", "warning", "critical")
