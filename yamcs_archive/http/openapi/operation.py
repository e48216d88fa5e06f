"""What is said about a route, and the small parts that it is said with; pure.

1. Knows no route and no handler: a route holds its operation, so none can be served without one.
2. What an operation may answer beside its success is a set of the errors' names; statuses and texts of
   them are in ``faults``.

A new route: an ``Operation`` in ``storing``, ``reading`` or ``describing``, given to its ``Route``; new
schemas beside the others there or in ``schemas``; its line in docs/http.md. Tests say what is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yamcs_archive.http.openapi import faults
from yamcs_archive.wire.codec import JSON, PROTOBUF

Part = dict[str, Any]
"""A part of the document: an object as JSON has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path: what it does, what it takes, what it answers."""

    id: str
    """Its name in generated clients; unique."""
    tag: str
    summary: str
    description: str = ""
    parameters: tuple[Part, ...] = ()
    """All but ``instance``, which a path with that name gets by itself."""
    body: Part | None = None
    success: Mapping[int, Part]
    errors: frozenset[str] = field(default=faults.ANY)


def ref(name: str) -> Part:
    """Return a reference to a schema by its name.

    >>> ref("Event")
    {'$ref': '#/components/schemas/Event'}
    """
    return {"$ref": f"#/components/schemas/{name}"}


def either(*names: str) -> Part:
    """Return the schema of what fits any of the named ones."""
    return {"anyOf": [ref(name) for name in names]}


def binary(what: str) -> Part:
    """Return the schema of bytes that are not text."""
    return {"type": "string", "format": "binary", "description": what}


def in_query(name: str, schema: Part, description: str, example: Any = None) -> Part:
    """Return a parameter of the query string; an array's elements come as parameters of one name.

    An empty one is none, for every route.
    """
    part: Part = {"name": name, "in": "query", "description": description, "schema": schema}
    part["allowEmptyValue"] = True
    if example is not None:
        part["example"] = example
    return part


def in_header(name: str, schema: Part, description: str, example: str) -> Part:
    """Return a header of the request."""
    return {
        **{"name": name, "in": "header", "description": description},
        **{"schema": schema, "example": example},
    }


def content(json: Part | None, protobuf: str | None, examples: Mapping[str, Any] | None = None) -> Part:
    """Return what a body or an answer holds: JSON of that schema, the protobuf messages named, or either."""
    found: Part = {}
    if json is not None:
        found[JSON] = {"schema": json}
        if examples:
            found[JSON]["examples"] = {name: {"value": value} for name, value in examples.items()}
    if protobuf is not None:
        found[PROTOBUF] = {"schema": binary(protobuf)}
    return found


def answer(description: str, held: Part, headers: Part | None = None) -> Part:
    """Return an answer with its content."""
    return {"description": description, "content": held} | ({"headers": headers} if headers else {})


def body(description: str, held: Part, *, required: bool = True) -> Part:
    """Return a request's body."""
    return {"description": description, "required": required, "content": held}
