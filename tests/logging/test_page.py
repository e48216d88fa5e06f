"""Every program of docs/logging.md runs as shown, and stores what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.child import ROOT, WAIT_S
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Event, Instance

PAGE = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")


def block(section: str, nth: int = 0) -> str:
    """A program of a section."""
    text = PAGE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return str(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)[nth])


def run(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=WAIT_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def only_event(folder: Path) -> Event:
    with Archive.open(folder / "ops-data") as archive:
        [event] = archive.instance("bench").events()
        return event


@pytest.mark.parametrize(
    ("section", "shown", "extra"),
    [
        ("In two lines", "aocs WARNING Wheel 3 over speed", {"rpm": "6010"}),
        ("dictConfig", "aocs CRITICAL Wheel 3 lost", {}),
        ("structlog", "aocs WARNING Wheel over speed", {"rpm": "6010", "wheel": "3"}),
        ("loguru", "__main__ WARNING Wheel 3 over speed", {"rpm": "6010"}),
    ],
)
def test_a_program_stores_its_event(section: str, shown: str, extra: dict[str, str], tmp_path: Path) -> None:
    run(block(section), tmp_path)
    event = only_event(tmp_path)
    assert f"{event.source} {event.severity.name} {event.message}" == shown
    own = {name: text for name, text in event.extra.items() if "." not in name}
    assert own == extra


@pytest.mark.parametrize(
    ("section", "call"),
    [
        ("structlog", 'try: 1 / 0\nexcept ZeroDivisionError: log.exception("pass failed")'),
        ("loguru", 'try: 1 / 0\nexcept ZeroDivisionError: logger.exception("pass failed")'),
    ],
)
def test_a_recipe_keeps_exceptions(section: str, call: str, tmp_path: Path) -> None:
    run(f"{block(section)}\n{call}", tmp_path)
    with Archive.open(tmp_path / "ops-data") as archive:
        event = list(archive.instance("bench").events())[-1]
    assert (event.message, event.severity.name) == ("pass failed", "DISTRESS")
    assert event.extra["exception.type"] == "ZeroDivisionError"
    assert event.extra["exception.stacktrace"].endswith("ZeroDivisionError: division by zero")


def test_the_program_with_an_open_archive_prints_what_is_shown(tmp_path: Path) -> None:
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    program = block("In two lines", 2)
    assert run(program.replace("log.addHandler", "log.propagate = False; log.addHandler"), tmp_path) == shown


def test_the_program_with_a_url_stores_there(archive: Archive, tmp_path: Path) -> None:
    sim = archive.instance("simulator", create=True)
    with uvicorn_at(archive, 0) as port:
        run(block("In two lines", 1).replace("8090", str(port)), tmp_path)
    assert [event.message for event in sim.events()] == ["Bench is up"]


def test_the_program_with_opentelemetry_stores_at_the_server(archive: Archive, tmp_path: Path) -> None:
    sim = archive.instance("simulator", create=True)
    with uvicorn_at(archive, 0) as port:
        run(block("OpenTelemetry").replace("8090", str(port)), tmp_path)
    [event] = sim.events()
    assert (event.message, event.source, event.severity.name) == ("Wheel 3 lost", "aocs", "DISTRESS")
    assert (event.extra["rpm"], event.extra["otel.scope.name"]) == ("0", "wheels")


def test_the_variables_and_the_collector_s_endpoint_are_those_of_the_route(
    archive: Archive, tmp_path: Path
) -> None:
    section = PAGE.partition("\n## OpenTelemetry\n")[2]
    sim = archive.instance("simulator", create=True)
    variables = re.findall(r"^\$ export (OTEL_\w+)=(\S+)$", section, re.MULTILINE)
    assert len(variables) == 2
    (endpoint,) = yaml.safe_load(re.findall(r"^```yaml\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[0])[
        "exporters"
    ]["otlphttp/archive"].values()
    program = block("OpenTelemetry").replace("OTLPLogExporter(endpoint)", "OTLPLogExporter()")
    assert f'endpoint = "{endpoint}"' in program
    with uvicorn_at(archive, 0) as port:
        given = {name: value.replace("8090", str(port)) for name, value in variables}
        setting = "".join(f"os.environ[{name!r}] = {value!r}\n" for name, value in given.items())
        run(f"import os\n{setting}{program}", tmp_path)
    assert sim.count() == 1


def test_every_attribute_that_the_page_names_is_there(
    archive: Archive, sim: Instance, tmp_path: Path
) -> None:
    program = (
        "import asyncio\nfrom yamcs_archive.logging import ArchiveHandler\nimport logging\n"
        'logging.basicConfig(handlers=[ArchiveHandler("bench", path="ops-data", source="x")])\n'
        "try: 1 / 0\nexcept ZeroDivisionError: logging.exception('a', stack_info=True)\n"
    )
    run(program, tmp_path)
    text = PAGE.partition("| event | record |")[2].partition("A text that")[0].partition("\n\n")[2]
    named = set(re.findall(r"`((?:log|code|process|thread|host|exception)\.[\w.]+)`", text))
    assert set(only_event(tmp_path).extra) == named
