"""``config show``: show every setting of ``serve``, and where it comes from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from yamcs_archive.cli.setting_options import add_settings, configuration
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.server.configuration import INSTANCES, Configuration, ConfigurationError, Given
from yamcs_archive.server.setting_table import SECTIONS
from yamcs_archive.server.settings import SETTINGS

EPILOG = """examples:
  yamcs-archive config show --config /etc/yamcs-archive/archive.toml
  yamcs-archive config show --data ops-data --keep-days 365 > archive.toml
"""
_WIDTH_MAX = 60
"""Largest column at which the origins are aligned, in characters."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Show every setting that serve would have with the same options, variables and file, as TOML that"
        " serve can read. A comment says where each value comes from: the option, the variable, the line of"
        " the file, or the default. Starts nothing. Passwords are not settings, and are not shown."
    )
    parser.epilog = EPILOG
    add_settings(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the settings."""
    try:
        chosen = configuration(options)
    except ConfigurationError as error:
        for fault in error.faults:
            complain(fault)
        return 2
    for warning in chosen.warnings:
        complain(warning)
    for line in _lines(chosen):
        print(line)
    contradiction = chosen.contradiction()
    if contradiction is not None:
        complain(contradiction)
        return 2
    return 0


def _lines(chosen: Configuration) -> Iterator[str]:
    for nth, section in enumerate(SECTIONS):
        names = [each.name for each in SETTINGS if each.section == section]
        yield from ([""] if nth else []) + [f"[{section}]"]
        yield from _keys({name: chosen.values.get(name) for name in names})
    for instance, rules in chosen.instances.items():
        yield from ("", f"[{INSTANCES}.{instance}]")
        yield from _keys(rules)


def _keys(values: Mapping[str, Given | None]) -> Iterator[str]:
    kinds = {each.name: each.kind for each in SETTINGS}
    rows = []
    for name, given in values.items():
        if given is None:
            rows.append((f"# {name} =", "not given"))
        else:
            rows.append((f"{name} = {kinds[name].toml(given.value)}", given.origin))
    width = min(_WIDTH_MAX, max((len(left) for left, _ in rows), default=0))
    for left, origin in rows:
        yield f"{left.ljust(width)}  # {origin}"
