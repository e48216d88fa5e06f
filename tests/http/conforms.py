"""Checks answers against the OpenAPI description: it must describe every answer that a test gets.

Objects are closed here: the description leaves room for fields of later versions, but a test must not.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from tests.child import ROOT
from yamcs_archive.wire.codec import JSON, PROTOBUF

GZIP = b"\x1f\x8b"
DOCUMENT: dict[str, Any] = msgspec.json.decode((ROOT / "yamcs_archive/http/openapi.json").read_bytes())


def closed(schema: Any) -> Any:
    """Return a schema whose objects have the named fields and no others."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    found = {name: closed(part) for name, part in schema.items()}
    if isinstance(found.get("properties"), dict) and "@type" not in found["properties"]:
        found.setdefault("additionalProperties", False)
    return found


@cache
def validator(name: str) -> jsonschema_rs.Draft202012Validator:
    """Return the validator of a schema of the description, given as JSON text."""
    schema = msgspec.json.decode(name)
    whole = {**schema, "components": closed(DOCUMENT["components"])}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document; for a reference, its target, with the fields beside the reference."""
    if "$ref" not in part:
        return part
    found: Any = DOCUMENT
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found) | {name: value for name, value in part.items() if name != "$ref"}


def parameters(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of an operation, except for those of its path."""
    return [resolved(part) for part in described.get("parameters", [])]


def operation(method: str, path: str) -> dict[str, Any] | None:
    """Return the description of a method of a path, None if it has none."""
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/:]+", re.escape(template))
        if re.fullmatch(f"{pattern}/?", path, re.DOTALL):
            found: dict[str, Any] | None = methods.get(method.lower())
            return found
    return None


def check(method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail unless the description has this answer to this request.

    A preflight is between a browser and the server, and is not described.
    """
    if method == "OPTIONS" and "access-control-allow-methods" in headers:
        assert (status, body) == (204, b"")
        return
    if method == "HEAD":
        assert body == b""
    described = operation("GET" if method == "HEAD" else method, unquote(target.partition("?")[0]))
    if described is None:
        assert status in (403, 404, 405), (method, target, status, body)
        content: dict[str, Any] = {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}, PROTOBUF: {}}
    else:
        assert str(status) in described["responses"], (
            f"{method} {target}: {status} is not described: {body!r}"
        )
        answer = resolved(described["responses"][str(status)])
        content = answer.get("content", {})
        for name, header in answer.get("headers", {}).items():
            assert name in headers or not resolved(header).get("required"), (
                f"{method} {target}: {status} without {name}"
            )
    if status == HTTPStatus.NO_CONTENT:
        assert body == b""
        return
    media = headers["content-type"]
    assert media in content, f"{method} {target}: {media} is not described for {status}"
    schema = content[media].get("schema", {})
    if headers.get("content-encoding") == "gzip" and body.startswith(
        GZIP
    ):  # some clients decompress it themselves
        body = gzip.decompress(body)
    if method != "HEAD" and media == JSON and schema.get("format") != "binary":
        fault = next(
            validator(msgspec.json.encode(schema).decode()).iter_errors(msgspec.json.decode(body)), None
        )
        assert fault is None, f"{method} {target}: {fault}\n{body.decode()}"
