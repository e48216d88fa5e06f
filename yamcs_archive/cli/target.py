"""The target of a command: an archive's directory, or the URL of a served archive."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from yamcs_archive.archive import Archive
from yamcs_archive.cli import arguments
from yamcs_archive.cli.credential_options import add_credentials, credentials_for, refuse_credentials
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.credentials import check_url
from yamcs_archive.errors import InvalidInputError, NotAnArchiveError
from yamcs_archive.errors import shown as shown_value
from yamcs_archive.instance import Instance

if TYPE_CHECKING:
    from yamcs_archive.client import Client, RemoteInstance

Target: TypeAlias = "Instance | RemoteInstance"
"""An instance in a directory or in a served archive; both have the same methods."""


def add_target_options(parser: argparse.ArgumentParser, *, instance: bool = True) -> None:
    """Add ``--data``, ``--url`` and ``--user``, and ``--instance`` for commands that work on one instance."""
    target = parser.add_mutually_exclusive_group()
    target.add_argument(
        "--data",
        metavar="DIR",
        type=arguments.data_directory,
        help="an archive's directory (or YAMCS_ARCHIVE_DATA)",
    )
    target.add_argument(
        "--url", type=url_argument, help="a served archive, as http://127.0.0.1:8090 (or YAMCS_ARCHIVE_URL)"
    )
    add_credentials(parser)
    if instance:
        parser.add_argument(
            "--instance",
            metavar="NAME",
            type=arguments.not_empty,
            help="the instance (or YAMCS_ARCHIVE_INSTANCE); may be omitted if there is only one",
        )


def add_directory_option(
    parser: argparse.ArgumentParser, *, instead: str = "", about: str = "the archive's directory"
) -> None:
    """Add ``--data`` to a command that works in a directory only.

    ``instead`` says why ``--url`` cannot be given, and what to do; then that is the error for it.
    """
    parser.add_argument(
        "--data", metavar="DIR", type=arguments.data_directory, help=f"{about} (or YAMCS_ARCHIVE_DATA)"
    )
    if instead:

        def refuse(_: str) -> None:
            raise argparse.ArgumentTypeError(f"--url: {instead}")

        parser.add_argument("--url", type=refuse, help=argparse.SUPPRESS)


def chosen_target(options: argparse.Namespace) -> Path | str:
    """Return the directory or the URL, from the command line, else from the environment.

    Raises :class:`UsageError` if neither is given.
    """
    if options.data is not None:
        return Path(options.data)
    if options.url is not None:
        return str(options.url)
    if (data := _data_of_environment()) is not None:
        return data
    if url := os.environ.get("YAMCS_ARCHIVE_URL"):
        try:
            return check_url(url)
        except InvalidInputError as error:
            raise UsageError(f"YAMCS_ARCHIVE_URL {shown_value(error.value)} {error.rule}") from None
    raise UsageError(
        "no archive given: use --data DIR or --url URL (or set YAMCS_ARCHIVE_DATA or YAMCS_ARCHIVE_URL)"
    )


def chosen_directory(options: argparse.Namespace) -> Path:
    """Return the directory from the command line, else from the environment.

    For commands that work only in a directory. Raises :class:`UsageError` if none is given.
    """
    data: Path | None = options.data if options.data is not None else _data_of_environment()
    if data is None:
        raise UsageError("no archive given: use --data DIR (or set YAMCS_ARCHIVE_DATA)")
    return data


def _data_of_environment() -> Path | None:
    data = os.environ.get("YAMCS_ARCHIVE_DATA")
    try:
        return arguments.data_directory(data) if data else None
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"YAMCS_ARCHIVE_DATA {error}") from None


@contextmanager
def open_target(options: argparse.Namespace, *, readonly: bool) -> Iterator[Target]:
    """Open the instance that the options name."""
    where = chosen_target(options)
    name = options.instance or os.environ.get("YAMCS_ARCHIVE_INSTANCE")
    if isinstance(where, str):
        with served(options, where) as client:
            yield client.instance(name or only(client.instances()), check=False)
        return
    refuse_credentials(options)
    with open_existing(where, readonly=readonly) as archive:
        yield archive.instance(name or only(archive.instances()))


def served(options: argparse.Namespace, url: str) -> Client:
    """Return the archive that is served at a URL, with the login that the options name."""
    from yamcs_archive.client import Client  # noqa: PLC0415  # takes as long as all else that a command loads

    return Client(url, credentials=credentials_for(options, url))


def open_existing(where: Path, *, readonly: bool = False, holder: str = "") -> Archive:
    """Open an existing archive; never create one, because the directory's name is probably misspelt.

    Raises the errors of :meth:`~yamcs_archive.Archive.open`, and NotAnArchiveError if there is no archive.
    """
    if not where.exists():
        raise NotAnArchiveError(str(where), "there is no such directory")
    if where.is_dir() and next(where.iterdir(), None) is None:
        raise NotAnArchiveError(str(where), "it is empty")
    if readonly:
        return Archive.open(where, readonly=True)
    # Opening for writing would create an archive; opening read-only raises if there is none.
    Archive.open(where, readonly=True).close()
    return Archive.open(where, holder=holder)


url_argument = arguments.url


def only(names: list[str], option: str = "--instance") -> str:
    """Return the only name; if there are none or several, raise :class:`UsageError`, which names ``option``.

    >>> only(["simulator"])
    'simulator'
    """
    if len(names) != 1:
        there = f"give {option}, one of: {', '.join(names)}" if names else "there are no instances yet"
        raise UsageError(f"which instance? {there}")
    return names[0]
