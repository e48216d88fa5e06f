"""Where a command finds its events: an archive's directory, or the URL of a served one.

Both answer with events as today's JSON form shows them, so that a command prints the same from either.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from yamcs_archive.archive import Archive
from yamcs_archive.cli import arguments
from yamcs_archive.cli.errors import UsageError
from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.remote import instances_at
from yamcs_archive.cli.remote_target import RemotePlace
from yamcs_archive.cli.user_option import add_user_option, login_for, refuse_user
from yamcs_archive.columns import Columns
from yamcs_archive.credentials import check_url
from yamcs_archive.errors import InvalidInputError, NotAnArchiveError
from yamcs_archive.errors import shown as shown_value
from yamcs_archive.event import Event
from yamcs_archive.instance import Instance
from yamcs_archive.results import AppendCounts
from yamcs_archive.wire.form import Form
from yamcs_archive.wire.json import shown


class Place(Protocol):
    """The events of one instance, here or elsewhere."""

    def create(self, event: Event) -> Mapping[str, Any]:
        """Store an event and return it as stored."""

    def store(self, events: Columns[int | None]) -> AppendCounts:
        """Store many events, durably, and return what became of them."""

    def log(self, wanted: LogRequest) -> Iterator[Mapping[str, Any]]:
        """Yield the events that are wanted, as they are read."""

    def newest(self) -> str:
        """Return the cursor behind all that is stored."""

    def commits(self, after: str, *, wait: bool) -> Iterator[tuple[Sequence[Event], str]]:
        """Yield what was stored behind a cursor, commit by commit, each with the cursor behind it.

        With ``wait`` some time may pass before there is something; it may end without.
        """


@dataclass(frozen=True)
class LocalPlace:
    """An instance in a directory."""

    instance: Instance

    def create(self, event: Event) -> Mapping[str, Any]:
        """See :class:`Place`."""
        return shown(self.instance.append(event).event, Form.TODAY)

    def store(self, events: Columns[int | None]) -> AppendCounts:
        """See :class:`Place`."""
        return self.instance.append_columns([events])

    def log(self, wanted: LogRequest) -> Iterator[Mapping[str, Any]]:
        """See :class:`Place`. Holds one event at a time, however many there are."""
        for event in self._newest_first(wanted) if wanted.reverse else self._oldest_first(wanted):
            yield shown(event, Form.TODAY)

    def newest(self) -> str:
        """See :class:`Place`."""
        return self.instance.cursor()

    def commits(self, after: str, *, wait: bool) -> Iterator[tuple[Sequence[Event], str]]:
        """See :class:`Place`."""
        if wait:
            self.instance.arrival(after).result()
        for commit in self.instance.commits(after):
            yield commit.events, commit.cursor

    def _newest_first(self, wanted: LogRequest) -> Iterator[Event]:
        return self.instance.events(
            start=wanted.start,
            stop=wanted.stop,
            sources=wanted.sources,
            min_severity=wanted.min_severity,
            filter=wanted.filter,
            descending=True,
            limit=wanted.lines,
        )

    def _oldest_first(self, wanted: LogRequest) -> Iterator[Event]:
        """Yield the newest ``lines``, oldest first: back to where they begin, then forward from there."""
        start, first, last = wanted.start, None, None
        if wanted.lines is not None:
            for event in self._newest_first(wanted):
                first, last = event.key, last or event.key
            if first is None or last is None:
                return
            start = first.generation_time
        for event in self.instance.events(
            start=start,
            stop=wanted.stop,
            sources=wanted.sources,
            min_severity=wanted.min_severity,
            filter=wanted.filter,
            limit=wanted.first,
        ):
            if last is not None and event.key > last:
                return  # stored since the way back
            if first is None or event.key >= first:
                yield event


def add_place_options(parser: argparse.ArgumentParser, *, instance: bool = True) -> None:
    """Add ``--data``, ``--url`` and ``--user``, and ``--instance`` for commands that look into one."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument(
        "--data",
        metavar="DIR",
        type=arguments.data_directory,
        help="an archive's directory (or YAMCS_ARCHIVE_DATA)",
    )
    place.add_argument(
        "--url", type=url_argument, help="a served archive, as http://127.0.0.1:8090 (or YAMCS_ARCHIVE_URL)"
    )
    add_user_option(parser)
    if instance:
        parser.add_argument(
            "--instance",
            metavar="NAME",
            type=arguments.not_empty,
            help="the instance (or YAMCS_ARCHIVE_INSTANCE); may be left out where there is only one",
        )


def chosen_place(options: argparse.Namespace) -> Path | str:
    """Return the directory or the URL that was given: on the command line, else in the environment.

    Raises :class:`UsageError` when there is neither.
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

    For commands that work only in a directory. Raises :class:`UsageError` when there is none.
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
def opened(options: argparse.Namespace, *, readonly: bool) -> Iterator[Place]:
    """Open the place that the options name, one instance of it."""
    where = chosen_place(options)
    name = options.instance or os.environ.get("YAMCS_ARCHIVE_INSTANCE")
    if isinstance(where, str):
        login = login_for(options, where)
        with closing(RemotePlace(where, name or only(instances_at(where, login)), login)) as place:
            yield place
        return
    refuse_user(options)
    with open_existing(where, readonly=readonly) as archive:
        yield LocalPlace(archive.instance(name or only(archive.instances())))


def open_existing(where: Path, *, readonly: bool = False, holder: str = "") -> Archive:
    """Open an archive that exists. A directory that is likely a slip gets none.

    Raises what :meth:`~yamcs_archive.Archive.open` raises, and NotAnArchiveError if it would make one.
    """
    if not where.exists():
        raise NotAnArchiveError(str(where), "there is no such directory")
    if where.is_dir() and next(where.iterdir(), None) is None:
        raise NotAnArchiveError(str(where), "it is empty, and no archive")
    if readonly:
        return Archive.open(where, readonly=True)
    Archive.open(where, readonly=True).close()  # raises for a directory that opening for writing would fill
    return Archive.open(where, holder=holder)


url_argument = arguments.url


def only(names: list[str], option: str = "--instance") -> str:
    """Return the one name that there is; :class:`UsageError` that asks for ``option`` when there are others.

    >>> only(["simulator"])
    'simulator'
    """
    if len(names) != 1:
        there = f"give {option}, one of: {', '.join(names)}" if names else "there are no instances yet"
        raise UsageError(f"which instance? {there}")
    return names[0]
