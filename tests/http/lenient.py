"""Decides whether the description allows a request, with values read as leniently as docs/http.md says.

A number or a boolean counts as text where text is needed. An integer may be text, ``1.0`` or ``1e3``. null
means absent. Severities may have any letter case. For a listing, an empty text means absent. In a query
string the last value counts, and unknown names are ignored. Nothing else is tolerated.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import parse_qs

import msgspec

from tests.http.conforms import resolved, validator


def _text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, int | float) else value


def _number(value: Any, *, whole: bool) -> Any:
    if isinstance(value, str | float):
        try:
            number = Decimal(value)
            if number == number.to_integral_value():
                return int(number)
            return value if whole else float(number)
        except (InvalidOperation, ValueError, OverflowError):
            return value
    return value


def read(value: Any, schema: dict[str, Any]) -> Any:
    """Return a value as the server reads it for that schema."""
    schema = resolved(schema)
    kind = schema.get("type")
    if kind == "string":
        text = _text(value)
        return text.upper() if isinstance(text, str) and "INFO" in schema.get("enum", ()) else text
    if kind in ("integer", "number"):
        return _number(value, whole=kind == "integer")
    if kind == "array" and isinstance(value, list):
        return [read(part, schema["items"]) for part in value]
    if kind == "object" and isinstance(value, dict):
        properties, others = schema.get("properties", {}), schema.get("additionalProperties", False)
        return {
            name: read(part, properties.get(name) or others or {})
            for name, part in value.items()
            if not properties or (part is not None and not (part == "" and "stop" in properties))
        }
    return value


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Return whether a value, read leniently, fits a schema."""
    if "anyOf" in schema:
        return any(fits(value, part) for part in schema["anyOf"])
    return validator(msgspec.json.encode(schema).decode()).is_valid(read(value, schema))


def unfit_parameters(query: str, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the parameters of a query string that do not fit their descriptions."""
    given = parse_qs(query, keep_blank_values=True)
    found: dict[str, Any] = {}
    for part in parameters:
        values = [value for value in given.get(part["name"], []) if value]
        if (
            part["in"] != "query"
            or not values
            or (given[part["name"]][-1] == "" and part["name"] != "source")
        ):
            continue
        kind = resolved(part["schema"]).get("type")
        value: Any = values if kind == "array" else values[-1]
        if kind == "boolean":
            value = {"true": True, "false": False}.get(values[-1], value)
        if not fits(value, part["schema"]):
            found[part["name"]] = value
    return found
