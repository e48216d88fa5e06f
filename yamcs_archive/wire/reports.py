"""Summaries and diagnoses <-> JSON; pure. What is not known is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yamcs_archive.activity import Distribution, InstanceActivity, InstanceUsage
from yamcs_archive.reports import Diagnosis, Finding, InstanceSummary, Level
from yamcs_archive.times import format_rfc3339, parse_rfc3339

_TIMES = {
    "created": "created",
    "firstTime": "first_time",
    "lastTime": "last_time",
    "commitTime": "commit_time",
    "horizon": "horizon",
}
"""The times of a summary, and their attributes."""
_COUNTS = ("events", "sources", "duplicates", "conflicts", "expired", "commit")


def summary_fields(summary: InstanceSummary) -> dict[str, Any]:
    """Return a summary as JSON has it.

    >>> usage = InstanceUsage(1, 0, 8192, 4096, 4096, 1, 0.0, 0.0)
    >>> summary = InstanceSummary("sim", 1, 1, 0, 0, 0, 0, 5, 5, 1, 6, None, None, usage, None)
    >>> summary_fields(summary)["usage"]["youngEvents"], summary_of(summary_fields(summary)) == summary
    (1, True)
    """
    fields: dict[str, Any] = {"name": summary.name}
    fields |= {name: getattr(summary, name) for name in _COUNTS}
    for field, attribute in _TIMES.items():
        if (time := getattr(summary, attribute)) is not None:
            fields[field] = format_rfc3339(time)
    if summary.mirror_of is not None:
        fields["mirrorOf"] = summary.mirror_of
    usage = summary.usage
    fields["usage"] = {
        "youngEvents": usage.young_events,
        "blocks": usage.blocks,
        "mapBytes": usage.map_bytes,
        "mapUsedBytes": usage.map_used_bytes,
        "fileBytes": usage.file_bytes,
        "readers": usage.readers,
        "oldestReaderSeconds": usage.oldest_reader_seconds,
        "checkpointBacklogSeconds": usage.checkpoint_backlog_seconds,
    }
    if summary.activity is not None:
        fields["activity"] = _activity_fields(summary.activity)
    return fields


def _activity_fields(done: InstanceActivity) -> dict[str, Any]:
    return {
        "stored": done.stored,
        "duplicates": done.duplicates,
        "conflicts": done.conflicts,
        "expired": done.expired,
        "late": done.late,
        "commitsFailed": done.commits_failed,
        "commitSeconds": _distribution_fields(done.commit_seconds),
        "commitEvents": _distribution_fields(done.commit_events),
        "staleReadersCleared": done.stale_readers_cleared,
    }


def _distribution_fields(found: Distribution) -> dict[str, Any]:
    return {"bounds": list(found.bounds), "counts": list(found.counts), "total": found.total}


def summary_of(fields: Mapping[str, Any]) -> InstanceSummary:
    """Return the summary of such fields. Raises KeyError, TypeError and ValueError."""
    times: dict[str, Any] = {
        attribute: parse_rfc3339(str(fields[field]), field) if field in fields else None
        for field, attribute in _TIMES.items()
    }
    if times["created"] is None:
        raise KeyError("created")
    usage = fields["usage"]
    return InstanceSummary(
        name=str(fields["name"]),
        **{name: int(fields[name]) for name in _COUNTS},
        **times,
        mirror_of=str(fields["mirrorOf"]) if "mirrorOf" in fields else None,
        usage=InstanceUsage(
            int(usage["youngEvents"]),
            int(usage["blocks"]),
            int(usage["mapBytes"]),
            int(usage["mapUsedBytes"]),
            int(usage["fileBytes"]),
            int(usage["readers"]),
            float(usage["oldestReaderSeconds"]),
            float(usage["checkpointBacklogSeconds"]),
        ),
        activity=_activity_of(fields["activity"]) if "activity" in fields else None,
    )


def _activity_of(fields: Mapping[str, Any]) -> InstanceActivity:
    return InstanceActivity(
        int(fields["stored"]),
        int(fields["duplicates"]),
        int(fields["conflicts"]),
        int(fields["expired"]),
        int(fields["late"]),
        int(fields["commitsFailed"]),
        _distribution_of(fields["commitSeconds"]),
        _distribution_of(fields["commitEvents"]),
        int(fields["staleReadersCleared"]),
    )


def _distribution_of(fields: Mapping[str, Any]) -> Distribution:
    return Distribution(
        tuple(float(bound) for bound in fields["bounds"]),
        tuple(int(count) for count in fields["counts"]),
        float(fields["total"]),
    )


def diagnosis_fields(found: Diagnosis) -> dict[str, Any]:
    """Return a diagnosis as JSON has it.

    >>> finding = Finding("space", Level.BAD, "0 bytes are free", "make room", "sim")
    >>> diagnosis_fields(Diagnosis(0, (finding,)))["healthy"]
    False
    >>> diagnosis_of(diagnosis_fields(Diagnosis(5, (finding,)))) == Diagnosis(5, (finding,))
    True
    """
    return {
        "time": format_rfc3339(found.time),
        "healthy": found.healthy,
        "findings": [_finding_fields(finding) for finding in found.findings],
    }


def _finding_fields(finding: Finding) -> dict[str, Any]:
    fields: dict[str, Any] = {"subject": finding.subject, "level": finding.level.value, "text": finding.text}
    if finding.advice:
        fields["advice"] = finding.advice
    if finding.instance is not None:
        fields["instance"] = finding.instance
    return fields


def diagnosis_of(fields: Mapping[str, Any]) -> Diagnosis:
    """Return the diagnosis of such fields. Raises KeyError, TypeError and ValueError."""
    findings = tuple(
        Finding(
            str(finding["subject"]),
            Level(finding["level"]),
            str(finding["text"]),
            str(finding.get("advice", "")),
            str(finding["instance"]) if "instance" in finding else None,
        )
        for finding in fields["findings"]
    )
    return Diagnosis(parse_rfc3339(str(fields["time"]), "time"), findings)
