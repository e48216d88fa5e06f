"""Holds answers against the OpenAPI description: every answer that a test gets must be one that it promises.

Objects are closed here: the description leaves room for fields of later versions, a test must not.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import msgspec

from tests.child import ROOT
from yamcs_archive.wire.codec import JSON, PROTOBUF

GZIP = b"\x1f\x8b"
DOCUMENT: dict[str, Any] = msgspec.json.decode((ROOT / "yamcs_archive/http/openapi.json").read_bytes())


def closed(schema: Any) -> Any:
    """Return a schema whose objects hold the fields that are named, and no others."""
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
    """Return a part of the document; one that refers to another has what is beside the reference, too."""
    if "$ref" not in part:
        return part
    found: Any = DOCUMENT
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return resolved(found) | {name: value for name, value in part.items() if name != "$ref"}


def parameters(described: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the parameters of an operation, but for those of its path."""
    return [resolved(part) for part in described.get("parameters", [])]


def operation(method: str, path: str) -> dict[str, Any] | None:
    """Return what is said about a method of a path, None for one that is not described."""
    for template, methods in DOCUMENT["paths"].items():
        pattern = re.escape(template).replace(re.escape("{instance}"), "[^/:]+")
        if re.fullmatch(f"{pattern}/?", path, re.DOTALL):
            found: dict[str, Any] | None = methods.get(method.lower())
            return found
    return None


def check(method: str, target: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    """Fail unless the answer is one that the description promises for the request.

    What a browser asks before it asks, a preflight, is between it and the server, and in no description.
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
    media = headers["content-type"]
    assert media in content, f"{method} {target}: {media} is not described for {status}"
    schema = content[media].get("schema", {})
    if headers.get("content-encoding") == "gzip" and body.startswith(
        GZIP
    ):  # some clients unpack it themselves
        body = gzip.decompress(body)
    if method != "HEAD" and media == JSON and schema.get("format") != "binary":
        fault = next(
            validator(msgspec.json.encode(schema).decode()).iter_errors(msgspec.json.decode(body)), None
        )
        assert fault is None, f"{method} {target}: {fault}\n{body.decode()}"
