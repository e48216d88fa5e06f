"""Write the description of the HTTP API that is served, ``openapi.json``, from ``openapi.yaml``.

    python docs/openapi.py            # write
    python docs/openapi.py --check    # exit 1 when writing would change something

Needs PyYAML (the extra ``test``). A server needs the JSON alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import yaml

SOURCE = Path(__file__).parent / "openapi.yaml"
TARGET = SOURCE.parent.parent / "yamcs_archive" / "http" / "openapi.json"

_TAG = "tag:yaml.org,2002:"
_KEYS = {f"{_TAG}{name}" for name in ("str", "merge")}
_VALUES = {f"{_TAG}{name}" for name in ("str", "int", "bool", "seq", "map")}


def document(text: str) -> dict[str, Any]:
    """Return the description as the YAML has it, without ``x-errors``, which is merged into the responses.

    ValueError, with the line, for what YAML takes and JSON does not mean: two equal keys, of which PyYAML
    would drop the first, and a number or a date where text is meant.
    """
    _check(yaml.compose(text, yaml.SafeLoader))
    found: dict[str, Any] = yaml.safe_load(text)
    del found["x-errors"]
    for item in found["paths"].values():
        for part in item.values():
            if "responses" in part:  # YAML puts merged keys first, but readers look for the success there
                part["responses"] = dict(sorted(part["responses"].items()))
    return found


def _check(node: Any) -> None:
    if node.tag not in _VALUES:
        raise ValueError(f"line {node.start_mark.line + 1}: put {node.value} in quotes")
    if isinstance(node, yaml.SequenceNode):
        for element in node.value:
            _check(element)
    elif isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.tag not in _KEYS:
                raise ValueError(f"line {key.start_mark.line + 1}: put {key.value} in quotes")
            if key.value in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: {key.value} is there already")
            seen.add(key.value)
            _check(value)


def main() -> None:
    """Write, or with ``--check`` compare."""
    fresh = json.dumps(document(SOURCE.read_text(encoding="utf-8")), indent=2, ensure_ascii=False) + "\n"
    if "--check" not in sys.argv[1:]:
        TARGET.write_text(fresh, encoding="utf-8")
    elif not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != fresh:
        raise SystemExit(f"{TARGET} is stale: run python docs/openapi.py")


if __name__ == "__main__":
    main()
