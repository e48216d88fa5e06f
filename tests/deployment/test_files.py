"""The files of the recipes: an image in which hadolint finds no fault, and a configuration that is valid."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest
import yaml

from tests.child import ROOT
from yamcs_archive.cli.main import parser
from yamcs_archive.server.configuration import resolve
from yamcs_archive.server.settings import STOP_WAIT_S_MAX

RECIPES = ROOT / "docs" / "deployment"


def instructions() -> dict[str, list[str]]:
    """Return the instructions of the last stage of the Dockerfile, by their names."""
    text = (RECIPES / "Dockerfile").read_text().replace("\\\n", " ")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, rest = line.partition(" ")
        if name == "FROM":
            found = {}
        if name and name != "#":
            found.setdefault(name, []).append(" ".join(rest.split()))
    return found


def command_of(words: list[str]) -> Any:
    """Return what the command line makes of these words."""
    return parser().parse_args(words)


def test_the_image_runs_as_a_fixed_user_and_stops_by_a_signal_that_serve_takes() -> None:
    image = instructions()
    assert image["USER"] == ["8090:8090"]
    assert image["STOPSIGNAL"] == ["SIGTERM"]
    assert image["VOLUME"] == ["/data"]
    assert "TZ=UTC" in image["ENV"][0]
    assert json.loads(image["ENTRYPOINT"][0]) == ["yamcs-archive"]
    command = json.loads(image["CMD"][0])
    assert command_of(command).config == "/etc/yamcs-archive/archive.toml"
    options, health = image["HEALTHCHECK"][0].split(" CMD ")
    found = command_of(json.loads(health)[1:])
    assert (found.url, found.timeout) == ("http://127.0.0.1:8090", 5)
    assert "--timeout=10s" in options.split()  # longer than that of the command, which says why


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="no hadolint")
def test_hadolint_finds_no_fault_in_the_image() -> None:
    done = subprocess.run(
        ["hadolint", "--failure-threshold", "style", str(RECIPES / "Dockerfile")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_service_of_compose_may_write_its_volume_only() -> None:
    service = yaml.safe_load((RECIPES / "compose.yaml").read_text())["services"]["archive"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["user"] == "8090:8090"
    assert service["environment"] == {"TZ": "UTC"}
    assert (RECIPES / service["build"]["context"] / service["build"]["dockerfile"]).samefile(
        RECIPES / "Dockerfile"
    )
    writable = [volume for volume in service["volumes"] if not volume.endswith(":ro")]
    assert writable == ["data:/data"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    settings = resolve({}, {}, RECIPES / "archive.toml").settings()
    assert int(service["stop_grace_period"].removesuffix("s")) > settings.stop_wait_s
    assert settings.stop_wait_s < STOP_WAIT_S_MAX


def test_the_configuration_is_that_of_the_mounts() -> None:
    settings = resolve({}, {}, RECIPES / "archive.toml").settings()
    assert str(settings.data) == "/data"
    assert str(settings.users) == "/etc/yamcs-archive/users/users.json"
    assert settings.public_url == "https://ops.example/archive"  # as in nginx.conf and Caddyfile
    for name in ("nginx.conf", "Caddyfile"):
        assert f"serve --public-url {settings.public_url} --trust-proxy" in (RECIPES / name).read_text()
