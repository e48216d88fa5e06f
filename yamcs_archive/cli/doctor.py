"""``doctor``: examine an archive, and say what to do."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import msgspec

from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.stats import add_instances_and_format, some_at_once
from yamcs_archive.cli.target import add_target_options, chosen_target, open_existing, served
from yamcs_archive.reports import Diagnosis, Finding, Level
from yamcs_archive.times import now_us
from yamcs_archive.wire.reports import diagnosis_fields

EPILOG = """examples:
  yamcs-archive doctor --data ops-data
  yamcs-archive doctor --url http://127.0.0.1:8090 --format json
"""
CLOCKS_US_NOTED, CLOCKS_US_MAX = 5_000_000, 60_000_000
"""Differences between the clocks of the server and of this machine that are noted, and that are bad, in
microseconds."""
_WORDS = {Level.GOOD: "good", Level.NOTE: "note", Level.BAD: "BAD"}


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Examine an archive and its machine: space, file system, limits (ulimit -n), memory of the control"
        " group, clock, and how long a sync takes (twenty pages, to a file without a name); of each instance"
        " readers, backlog, and events of improbable times; of a server whether it is ready, and how far its"
        " copies are behind. Says what to do about each fault, and exits with 1 if there is any. Nothing is"
        " changed. With --url the server examines itself, which must allow it (the"
        " permission ManageArchive; without users, serve --allow-operations)."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    add_instances_and_format(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings."""
    where = chosen_target(options)
    if isinstance(where, Path):
        refuse_credentials(options)
        found = _here(where, options.instance)
    else:
        with served(options, where) as client:
            found = _with_clock(client.diagnose(instances=options.instance or None))
    if options.format == "json":
        print(msgspec.json.format(msgspec.json.encode(diagnosis_fields(found)), indent=2).decode())
    else:
        for finding in found.findings:
            for line in _lines(finding):
                print(line)
    return 0 if found.healthy else 1


def _here(directory: Path, wanted: list[str]) -> Diagnosis:
    """Examine a directory, some instances at once; the machine is examined with the first of them."""
    findings: list[Finding] = []
    parts = list(some_at_once(directory, wanted)) or [[]]
    for nth, names in enumerate(parts):
        with open_existing(directory, readonly=True) as archive:
            found = archive.diagnose(instances=names)
        findings += [one for one in found.findings if nth == 0 or one.instance is not None]
    return Diagnosis(found.time, tuple(findings))


def _with_clock(found: Diagnosis) -> Diagnosis:
    """Add a finding if the server's clock differs from that of this machine."""
    off_us = found.time - now_us()
    if abs(off_us) <= CLOCKS_US_NOTED:
        return found
    late = "ahead of" if off_us > 0 else "behind"
    finding = Finding(
        "clock",
        Level.BAD if abs(off_us) > CLOCKS_US_MAX else Level.NOTE,
        f"the server's clock is {abs(off_us) / 1e6:.0f} s {late} that of this machine",
        "keep both in step, with chrony or systemd-timesyncd",
    )
    return Diagnosis(found.time, (*found.findings, finding))


def _lines(finding: Finding) -> Iterator[str]:
    about = finding.subject if finding.instance is None else f"{finding.subject} of {finding.instance}"
    yield f"{_WORDS[finding.level]:<4}  {about}: {finding.text}"
    if finding.advice:
        yield f"      {finding.advice}"
