"""What the dashboard and the alert rules ask: their expressions, and the names of metrics in these."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from tests.child import ROOT

FOLDER = ROOT / "docs" / "monitoring"
_NAME = re.compile(r"\b(?:yamcs_archive|process|python)_[a-z_]+")
_MATCHERS = re.compile(r"\{[^}]*\}")


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode((FOLDER / "dashboard.json").read_bytes())
    return found


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that show something."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """The expressions of all panels, as they are written."""
    return [target["expr"] for panel in panels() for target in panel["targets"]]


def filled(query: str) -> str:
    """Return an expression as Grafana sends it if everything is chosen."""
    return query.replace("$server", ".*").replace("$archive", ".*").replace("$__rate_interval", "4m")


def alerts() -> list[dict[str, Any]]:
    """All alert rules."""
    document = yaml.safe_load((FOLDER / "alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def names_in(expression: str) -> Iterator[str]:
    """Yield the names of metrics in an expression."""
    yield from _NAME.findall(_MATCHERS.sub("", expression))
