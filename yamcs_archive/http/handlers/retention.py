"""The routes that remove events, or the space that removed ones left: ``:prune`` and ``:compact``."""

from __future__ import annotations

from typing import Any

from yamcs_archive.access.permissions import Sources
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.http.request import Request
from yamcs_archive.http.request_and_response import Response, reply
from yamcs_archive.results import PruningResult
from yamcs_archive.times import format_rfc3339, parse_rfc3339
from yamcs_archive.wire import json
from yamcs_archive.wire.codec import JSON
from yamcs_archive.wire.json_scalars import as_integer, as_text

_ARGUMENTS = {"before": "before", "keepDays": "keep_days", "maxBytes": "max_bytes", "maxEvents": "max_events"}
"""The rules in a body, and the library's names of them."""
_DRY_RUN = "dryRun"


def prune(request: Request) -> Response:
    """Remove the oldest events by the rules in the body."""
    instance = request.instance()
    given = object_in(request.body, (*_ARGUMENTS, _DRY_RUN))
    dry_run = given.pop(_DRY_RUN, False)
    if not isinstance(dry_run, bool):
        raise InvalidInputError(_DRY_RUN, dry_run, "must be true or false")
    rules: dict[str, Any] = {}
    for field, value in given.items():
        if field == "before":
            rules[field] = parse_rfc3339(as_text(value, field), field)
        else:
            rules[_ARGUMENTS[field]] = as_integer(value, field)
    if not rules:
        others = [field for field in _ARGUMENTS if field != "before"]
        why = f"must be given, or {', '.join(others[:-1])} or {others[-1]}"
        raise InvalidInputError("before", None, why)
    try:
        done = instance.prune(**rules, dry_run=dry_run)
    except InvalidInputError as error:
        for field, name in _ARGUMENTS.items():
            if name == error.field:
                raise InvalidInputError(field, given.get(field), error.rule) from None
        raise
    return reply(JSON, json.encode(_shown(done, request.readable())))


def _shown(done: PruningResult, readable: Sources | None) -> dict[str, Any]:
    """Return the fields of an answer; of odd times those of sources that the caller may read (None: all)."""
    shown: dict[str, Any] = {} if done.horizon is None else {"horizon": format_rfc3339(done.horizon)}
    return shown | {
        "events": done.events,
        "bytes": done.size_bytes,
        "oddTimes": [
            {
                "source": odd.source,
                "events": odd.events,
                "firstTime": format_rfc3339(odd.first_time),
                "lastTime": format_rfc3339(odd.last_time),
                "pruned": odd.pruned,
            }
            for odd in done.odd_times
            if readable is None or readable(odd.source)
        ],
        "oddSources": done.odd_sources,
        "damaged": done.damaged,
        "seconds": done.seconds,
    }


def compact(request: Request) -> Response:
    """Return unused space to the file system."""
    done = request.instance().compact()
    fields = {"beforeBytes": done.before_bytes, "afterBytes": done.after_bytes, "seconds": done.seconds}
    return reply(JSON, json.encode(fields))


def object_in(body: bytes, known: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a JSON body that has no others than the known ones; none of an empty body.

    >>> object_in(b'{"name": "bench"}', ("name",)), object_in(b"", ())
    ({'name': 'bench'}, {})
    """
    found = dict(json.decode_object(body)) if body.strip() else {}
    for field, value in found.items():
        if field not in known:
            raise InvalidInputError(field, value, f"is not one of {', '.join(known)}")
    return {field: value for field, value in found.items() if value is not None}
