"""``serve``: serve an archive over HTTP."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from yamcs_archive.cli.credential_options import credentials_for
from yamcs_archive.cli.setting_options import add_settings, configuration
from yamcs_archive.cli.standard_streams import complain, leave_stdout
from yamcs_archive.cli.target import open_existing
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.missing_packages import advice
from yamcs_archive.server.configuration import ConfigurationError
from yamcs_archive.server.settings import Settings

EPILOG = """examples:
  yamcs-archive serve --data ops-data --instance simulator
  yamcs-archive serve --data ops-data --host ::1 --port 0 --threads 128
  yamcs-archive serve --data ops-data --cors-origin https://openmct.example
  yamcs-archive serve --config /etc/yamcs-archive/archive.toml --port 8091
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Serve an archive over HTTP with the Yamcs events API, until SIGTERM or Ctrl-C. Prints"
        " one line when it accepts requests: Serving URL instances: NAMES directory: DIR. A variable or a"
        " file can give every option as well; see docs/configuration.md. SIGHUP reads the users, the"
        " certificates and the log level again, unless it comes from the terminal of the command."
    )
    parser.epilog = EPILOG
    add_settings(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until a signal stops it."""
    try:
        settings = _settings(options)
    except ConfigurationError as error:
        for fault in error.faults:
            complain(fault)
        return 2
    try:
        from yamcs_archive.server.process import leave, serve  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("yamcs_archive"):
            raise
        complain(f"{error}; {advice('server')}")
        return 1
    serve(settings, _say, lambda: configuration(options).settings(settings.mirror_login))
    leave()
    return 0


def _settings(options: argparse.Namespace) -> Settings:
    """Return the settings, before anything is created. Raises ConfigurationError and UsageError."""
    chosen = configuration(options)
    for warning in chosen.warnings:
        complain(warning)
    data, mirror_of, user = chosen.value("data"), chosen.value("mirror_of"), chosen.value("mirror_user")
    if data is None:
        raise UsageError("no archive given: use --data DIR (or set YAMCS_ARCHIVE_DATA)")
    if user is not None and mirror_of is None:
        raise UsageError("--user is for --mirror-of URL")
    settings = chosen.settings()
    if mirror_of is None:
        if not chosen.value("instances"):
            _refuse_none(data)
        return settings
    given = argparse.Namespace(user=user, token_file=chosen.value("mirror_token_file"))
    return replace(settings, mirror_login=credentials_for(given, mirror_of))


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        leave_stdout()  # nobody reads stdout, but clients may still send events


def _refuse_none(data: Path) -> None:
    """Raise UsageError if there is no instance to serve, before anything is created."""
    found: list[str] = []
    if data.exists() and (not data.is_dir() or {entry.name for entry in data.iterdir()} - {"lost+found"}):
        with open_existing(data, readonly=True) as archive:
            found = archive.instances()
    if not found:
        raise UsageError(f"{data} has no instances yet; create one with --instance NAME")
