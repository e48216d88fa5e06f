"""The whole description: an OpenAPI 3.1 document, made of what the routes say about themselves; pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from yamcs_archive.http.openapi import describing, faults, schemas
from yamcs_archive.http.openapi.operation import Operation, Part
from yamcs_archive.limits import INSTANCE_NAME_MAX

_ABOUT = """\
The events API of a Yamcs server, and more, over an append-only archive of events.

**Two forms.** The API of 2016 (integer milliseconds, three severities) and today's (RFC 3339, six) are
served on the same paths; a request is answered in the form that it is in.

**Two media types.** JSON; protobuf where the `Accept` of a request names `application/protobuf` with a
higher quality than JSON's (a wildcard counts as JSON), or where there is no `Accept` and the request's body
is protobuf. The messages are in `proto/` of the project.

**Errors** have one form, at top level. A trailing slash is accepted on every path, and HEAD wherever GET is;
other methods than those described are a 405 with `allow`, other paths a 404. A `Host` that is not a name of
the server is a 403.
"""

_INSTANCE: Part = {
    "name": "instance",
    "in": "path",
    "required": True,
    "description": "The name of the instance.",
    "schema": {
        "type": "string",
        "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]*$",
        "maxLength": INSTANCE_NAME_MAX,
    },
    "example": "simulator",
}


def document(paths: Iterable[tuple[str, Iterable[tuple[str, Operation]]]], version: str) -> dict[str, Any]:
    """Return the description of these paths, each with its methods and what is said about them.

    >>> health = [("/healthz", [("GET", describing.HEALTHZ)])]
    >>> document(health, "1.0")["paths"]["/healthz"]["get"]["operationId"]
    'getHealth'
    """
    described = {path: dict(methods) for path, methods in paths}
    errors: dict[str, Any] = {}
    for path, methods in described.items():
        for operation in methods.values():
            errors |= faults.components(_errors(path, operation))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "yamcs_archive",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(_tags(described))],
        "paths": {path: _path(path, methods) for path, methods in described.items()},
        "components": {
            "schemas": schemas.SCHEMAS | describing.SCHEMAS,
            "responses": dict(sorted(errors.items())),
        },
    }


def _tags(described: dict[str, dict[str, Operation]]) -> Iterable[str]:
    return (operation.tag for methods in described.values() for operation in methods.values())


def _errors(path: str, operation: Operation) -> frozenset[str]:
    return operation.errors | ({"NotFoundException"} if "{instance}" in path else set())


def _path(path: str, methods: dict[str, Operation]) -> Part:
    found: Part = {"parameters": [_INSTANCE]} if "{instance}" in path else {}
    return found | {method.lower(): _operation(path, operation) for method, operation in methods.items()}


def _operation(path: str, operation: Operation) -> Part:
    found: Part = {"operationId": operation.id, "tags": [operation.tag], "summary": operation.summary}
    if operation.description:
        found["description"] = operation.description
    if operation.parameters:
        found["parameters"] = list(operation.parameters)
    if operation.body is not None:
        found["requestBody"] = operation.body
    answers: Part = {str(status): part for status, part in operation.success.items()}
    return found | {"responses": answers | faults.answers(_errors(path, operation))}
