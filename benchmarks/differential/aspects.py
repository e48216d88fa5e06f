"""The aspects in which two answers may differ. Each function makes a pair equal in one aspect only."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from benchmarks.differential.exchange import Answer, Case

TAKEN_BY_ONE = frozenset({"x" * 300, "a\0b", "refused", "impossible", "L", "large"})
"""The sources of events that, by design, only one of the servers accepts."""
SWITCHED = 101
"""The status of an opened WebSocket."""
_EXPLAINED = Answer(0, {}, "explained")
Answers = tuple[Answer, Answer]


def statuses(there: Sequence[int | None], here: int, kind: str | None = None) -> Callable[..., Answers]:
    """Explain a whole answer by the statuses: one of ``there``, and ``here`` with that type of error."""

    def reconcile(_: Case, theirs: Answer, ours: Answer) -> Answers:
        if theirs.status not in there or ours.status != here:
            return theirs, ours
        if kind is not None and ours.content.get("type") != kind:
            return theirs, ours
        return _EXPLAINED, _EXPLAINED

    return reconcile


BAD = "BadRequestException"
refused_here = statuses([200], 400, BAD)
taken_here = statuses([400], 200)
their_fault = statuses([500], 400, BAD)


def error_text(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Remove the text of an error; its status and type stay."""

    def wordless(found: dict[str, Any]) -> dict[str, Any]:
        words = {"msg"} if {"code", "type"} <= found.keys() and "detail" not in found else set()
        return {name: value for name, value in found.items() if name not in words}

    if theirs.status == ours.status == SWITCHED:
        return _changed(theirs, wordless), _changed(ours, wordless)

    def without(answer: Answer) -> Answer:
        return replace(answer, content={k: v for k, v in answer.content.items() if k != "msg"})

    if theirs.status is None or theirs.status < 400 or theirs.status != ours.status:
        return theirs, ours
    if not (isinstance(theirs.content, dict) and isinstance(ours.content, dict)):
        return theirs, ours
    if "detail" in theirs.content and theirs.content.get("msg") != ours.content.get("msg"):
        return theirs, ours  # errors of filters have the same text
    return without(theirs), without(ours)


def unknown(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Explain a plain text with the same status for an unknown path or method."""

    plain = theirs.headers.get("content-type") == "text/plain; charset=UTF-8"
    return (_EXPLAINED, _EXPLAINED) if plain and theirs.status == ours.status else (theirs, ours)


def _walk(value: Any, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Any:
    if isinstance(value, list):
        return [_walk(part, change) for part in value]
    if isinstance(value, dict):
        return change({name: _walk(part, change) for name, part in value.items()})
    return value


def _changed(answer: Answer, change: Callable[[dict[str, Any]], dict[str, Any]]) -> Answer:
    return replace(answer, content=_walk(answer.content, change))


def microseconds(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Cut this archive's times to milliseconds."""

    def floored(text: Any) -> Any:
        if not isinstance(text, str):
            return text
        found = re.sub(r"(T[0-9:]{8}\.[0-9]{3})[0-9]{3}Z", r"\1Z", text)
        return found.replace(".000Z", "Z") if found != text else text

    def change(found: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [floored(line) for line in value] if name == "lines" else floored(value)
            for name, value in found.items()
        }

    return theirs, _changed(ours, change)


def dropped_detail(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Remove the fields that only this archive has in the detail of a filter's error."""

    def reasonless(found: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in found.items() if name != "reason" or "@type" not in found}

    if theirs.status == ours.status == SWITCHED:
        return theirs, _changed(ours, reasonless)
    if not (isinstance(theirs.content, dict) and isinstance(ours.content, dict)):
        return theirs, ours
    there, here = theirs.content.get("detail"), ours.content.get("detail")
    if there is None or here is None:
        return theirs, ours
    bare = there.keys() == {"@type"}
    kept = {name: value for name, value in here.items() if name == "@type" or not (bare or name == "reason")}
    return theirs, replace(ours, content={**ours.content, "detail": kept})


def order(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Sort the events of equal generation time by source and number, in both answers."""

    def arranged(events: list[Any]) -> list[Any]:
        runs: list[list[Any]] = []
        for event in events:
            if runs and runs[-1][0].get("generationTime") == event.get("generationTime"):
                runs[-1].append(event)
            else:
                runs.append([event])
        return [
            event
            for run in runs
            for event in sorted(run, key=lambda it: (it.get("source", ""), it.get("seqNumber", 0)))
        ]

    def change(found: dict[str, Any]) -> dict[str, Any]:
        made = {}
        for name, value in found.items():
            if name == "lines":
                made[name] = sorted(value, key=lambda line: (line.split("\t")[1:2], line))
            elif name in ("event", "events", "stream") and all("generationTime" in it for it in value):
                made[name] = arranged(value)
            else:
                made[name] = value
        return made

    return _changed(theirs, change), _changed(ours, change)


def cut(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Explain pages whose events have the same times, but differ among those of the last time."""

    def times(answer: Answer) -> list[Any] | None:
        events = answer.content.get("events") if isinstance(answer.content, dict) else None
        return events and [event["generationTime"] for event in events]

    alike = times(theirs) is not None and times(theirs) == times(ours)
    return (_EXPLAINED, _EXPLAINED) if alike else (theirs, ours)


def taken(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Remove the sources of events that only one of the servers accepted."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        return {
            name: [source for source in value if source not in TAKEN_BY_ONE]
            if name in ("source", "sources") and isinstance(value, list)
            else value
            for name, value in found.items()
        }

    return _changed(theirs, change), _changed(ours, change)


def index_grain(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Compare only the number of events of each source in the index, not the number of records."""

    def totals(answer: Answer) -> Answer:
        if answer.status != 200 or not isinstance(answer.content, dict):
            return answer
        found: dict[str, int] = {}
        for group in answer.content.get("group", []):
            name = group["id"]["name"]
            found[name] = found.get(name, 0) + sum(entry["count"] for entry in group["entry"])
        return replace(answer, content={"totals": found})

    return totals(theirs), totals(ours)


def less_live(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Explain messages that only the Yamcs server sends, if it also sends all of this archive's."""
    if not theirs.status == ours.status == SWITCHED:
        return theirs, ours
    there, here = (
        [it for it in answer.content["messages"] if isinstance(it, dict)] for answer in (theirs, ours)
    )
    return (_EXPLAINED, _EXPLAINED) if here == there[: len(here)] and here else (theirs, ours)


def nothing_there(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Explain events that only this archive finds, if the Yamcs server finds none or refuses the request."""
    nothing = theirs.content in ({}, "") or theirs.status == 400
    if isinstance(theirs.content, dict) and len(theirs.content.get("lines", ())) == 2:
        nothing = True  # the headings, and the rest after the last line
    return (_EXPLAINED, _EXPLAINED) if nothing and ours.status == 200 else (theirs, ours)


def numbers(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Remove sequence numbers."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        return {name: "number" if name == "seqNumber" else value for name, value in found.items()}

    return _changed(theirs, change), _changed(ours, change)


def source(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Replace an empty source by this archive's name for it."""

    if not (isinstance(theirs.content, dict) and theirs.content.get("source") == ""):
        return theirs, ours
    return replace(theirs, content={**theirs.content, "source": "User"}), ours


def only(keys: set[str]) -> Callable[..., Answers]:
    """Compare only the given keys of an object, or of the objects in its ``instances``."""

    def change(found: dict[str, Any]) -> dict[str, Any]:
        if "instances" in found:
            return found
        return {name: value for name, value in found.items() if name in keys}

    return lambda _, theirs, ours: (_changed(theirs, change), _changed(ours, change))


def more_here(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Explain events that only this archive finds, if it also finds all of the Yamcs server's."""
    for name in ("events", "stream", "lines"):
        if isinstance(theirs.content, dict) and isinstance(ours.content, dict) and name in theirs.content:
            there, here = theirs.content[name], ours.content.get(name, [])
            if all(event in here for event in there):
                return _EXPLAINED, _EXPLAINED
    return theirs, ours


def both_answer(_: Case, theirs: Answer, ours: Answer) -> Answers:
    """Explain different events in two successful answers."""
    alike = theirs.status == ours.status == 200
    return (_EXPLAINED, _EXPLAINED) if alike else (theirs, ours)
