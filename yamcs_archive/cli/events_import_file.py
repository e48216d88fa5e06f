"""``events import``: store the events of a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from yamcs_archive.archive import Archive, check_instance_name
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.target import (
    Target,
    add_target_options,
    chosen_target,
    only,
    open_existing,
    open_target,
)
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import ArchiveError, InvalidInputError, ServerRefusedError, ServerUnavailableError
from yamcs_archive.files.reading import ReadOptions, Source
from yamcs_archive.files.utf8 import RAW
from yamcs_archive.importers.file import EventFile, import_events
from yamcs_archive.importers.formats import FORMATS, format_of, open_reader
from yamcs_archive.importers.yamcs import Imported

EPILOG = """examples:
  yamcs-archive events import history.jsonl --data ops-data --instance simulator
  yamcs-archive events log -n all --format jsonl | yamcs-archive events import - --data copy --instance sim
  yamcs-archive events import history.msgpack.gz --url http://127.0.0.1:8090
"""
_STDIN = "-"
_SUFFIXES = [suffix for entry in FORMATS.values() for suffix in entry.suffixes]
_KEPT = "these are stored; a second run adds the rest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Store the events of a file: one JSON object per line, as events log --format jsonl and all"
        " answers of the API show them, or msgpack maps, with or without gzip. Each event must have its"
        " time and its number, so a second run adds nothing. A missing directory or instance is created."
        " An import into a directory keeps the creator of each event; one through a URL does if the user may"
        " manage the archive. Prints"
        " how many events were stored, duplicate or refused. Exit status 1 if some conflict with stored"
        " events. The first line that is not an event ends the import; the events before it are stored."
        " Give a file that is called yamcs as ./yamcs."
    )
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", help=f"the file, or {_STDIN} for the standard input")
    add_target_options(parser)
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help=f"format of the file; default: by its name ({', '.join(_SUFFIXES)}, with .gz or not); jsonl for"
        " the standard input",
    )
    parser.add_argument(
        "--keep-invalid-utf8",
        action="store_true",
        help=f"store an event whose text is not UTF-8 with U+FFFD in its place, and its bytes as extra.{RAW};"
        " else such an event is refused",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Import the file, and show the progress on a terminal."""
    where = chosen_target(options)
    kind = options.format or ("jsonl" if options.file == _STDIN else format_of(options.file))
    if kind is None:
        raise UsageError(
            f"{options.file!r} does not say what it holds: give --format, one of {', '.join(FORMATS)}"
        )
    name = options.instance or os.environ.get("YAMCS_ARCHIVE_INSTANCE")
    if name is None and isinstance(where, Path):
        name = _only_in(where)
    done, refused = Imported(), False
    with nullcontext(sys.stdin.buffer) if options.file == _STDIN else Path(options.file).open("rb") as stream:
        path = None if options.file == _STDIN else Path(options.file)
        how = ReadOptions(keep_invalid_utf8=options.keep_invalid_utf8)
        file = EventFile(open_reader(kind, Source(stream, options.file, path), how))
        try:
            if file.begin():
                with (
                    Progress(options.file, kept=_KEPT) as progress,
                    _filled(options, where, name) as target,
                ):
                    import_events(
                        file,
                        lambda part: target.append_columns([part]),
                        done,
                        lambda done: progress(done.read),
                    )
        except ArchiveError as error:
            # An error of the server or the connection has no position in the file.
            refused = isinstance(error, (ServerRefusedError, ServerUnavailableError)) and not done.read
            if error.position is not None:
                error.args = (f"{file.place(error.position)} of {options.file}: {error}{_hint(kind, error)}",)
            raise
        finally:
            if not refused:
                _tell(file, done)
    return 0 if done.whole else 1


def _hint(kind: str, error: ArchiveError) -> str:
    """Return a hint if the first line is not a JSON object: an array, for instance."""
    if (
        kind == "jsonl"
        and error.position == 0
        and isinstance(error, InvalidInputError)
        and error.field == "body"
    ):
        return "; each line must be one JSON object, as events log --format jsonl prints them"
    return ""


def _only_in(directory: Path) -> str:
    if not directory.exists():
        raise UsageError(f"which instance? give --instance NAME: {directory} is not there yet")
    with open_existing(directory, readonly=True) as archive:
        return only(archive.instances())


@contextmanager
def _filled(options: argparse.Namespace, where: Path | str, name: str | None) -> Iterator[Target]:
    """Open the destination; a directory, and an instance in it, are created if they are missing."""
    if isinstance(where, str) or name is None:
        with open_target(options, readonly=False) as target:
            yield target
        return
    refuse_credentials(options)
    check_instance_name(name)  # before a directory is created
    with Archive.open(where, holder="yamcs-archive events import") as archive:
        yield archive.instance(name, create=True)


def _tell(file: EventFile, done: Imported) -> None:
    """Print the counts, and the first conflicts: stored events that differ from those of the file."""
    for conflict in done.conflicts:
        print(f"conflict in {file.place(conflict.position)}, {conflict.stored.key}:", file=sys.stderr)
        print(f"  there  {conflict.stored.message!r}\n  here   {conflict.offered.message!r}", file=sys.stderr)
    print(
        f"{done.read} read, {done.stored} stored, {done.duplicates} duplicates,"
        f" {done.conflict_count} conflicts, {done.expired} expired"
    )
