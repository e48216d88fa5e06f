"""``events import``: store the events of a file."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from yamcs_archive.archive import Archive, check_instance_name
from yamcs_archive.arguments import COUNT_MAX
from yamcs_archive.cli.arguments import whole
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.dry_run import preview
from yamcs_archive.cli.import_options import STDIN, add_read_options, chosen_format, read_options
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.reject_file import RejectFile
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import (
    Target,
    add_target_options,
    chosen_target,
    only,
    open_existing,
    open_target,
)
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.columns import Columns
from yamcs_archive.errors import ArchiveError, InvalidInputError, ServerRefusedError, ServerUnavailableError
from yamcs_archive.files.reading import EventReader, Reject, Rejected, Source
from yamcs_archive.importers.file import EventFile, import_events
from yamcs_archive.importers.formats import FORMATS, open_reader
from yamcs_archive.importers.logs.numbering import stored_beside
from yamcs_archive.importers.yamcs import Imported
from yamcs_archive.printable import printable
from yamcs_archive.results import AppendCounts

EPILOG = """examples:
  yamcs-archive events import history.jsonl.zst --data ops-data --instance simulator
  yamcs-archive events import pass-17.parquet --url http://127.0.0.1:8090
  yamcs-archive events log -n all --format jsonl | yamcs-archive events import - --data copy --instance sim
  yamcs-archive events import /var/log/syslog.1 --format syslog --dry-run
  yamcs-archive events import eps.log --pattern '(?P<time>\\S+) (?P<message>.*)' --data ops --instance eps
  yamcs-archive events import bench.jsonl --map time=.ts message=.msg --data ops --instance bench
"""
_RESUMED_MIN = 100_000
"""Least number of stored events that it pays to skip: to import so many again takes seconds."""
_KEPT = "these are stored; a second run adds the rest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Store the events of a file: one that events export wrote (docs/files.md), what events log --format"
        " jsonl and all answers of the API show, or a log of another program (--format, --pattern, --map;"
        " docs/importing.md); compressed or not. Each event must have its time and its number, so a"
        " second run adds nothing; events of logs are numbered by what they say. A missing directory or"
        " instance is created. An import into a directory keeps the creator of each event; one through a URL"
        " does if the user may manage the archive. Prints how many events were stored, duplicate or refused."
        " Exit status 1 if some conflict with stored events, or were refused. The first line that is not an"
        " event ends the import; the events before it are stored. With --rejects, and in logs, the others"
        " are stored as well. Give a file that is called yamcs as ./yamcs."
    )
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", help=f"the file, or {STDIN} for the standard input")
    add_target_options(parser)
    parser.add_argument(
        "--skip",
        metavar="N",
        type=whole(0, COUNT_MAX),
        default=0,
        help="pass over the first N events, which an interrupted import has stored: it says how many. To"
        " import them again is safe, but takes longer than the first time",
    )
    parser.add_argument(
        "--keep-order",
        action="store_true",
        help="let events arrive in the order of the file, as one of events export --order commit has them; it"
        " takes a commit wherever an event is earlier than the one before it",
    )
    add_read_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Import the file, and show the progress on a terminal."""
    where = None if options.dry_run else chosen_target(options)
    kind = chosen_format(options)
    name = options.instance or os.environ.get("YAMCS_ARCHIVE_INSTANCE")
    if name is None and isinstance(where, Path):
        name = _only_in(where)
    done, refused = Imported(), False
    with ExitStack() as opened:
        reject = _reject(options, kind, done, opened)
        stream = sys.stdin.buffer if options.file == STDIN else opened.enter_context(open(options.file, "rb"))
        path = None if options.file == STDIN else Path(options.file)
        source = Source(stream, options.file, path)
        reader = open_reader(kind, source, read_options(options, reject))
        if options.skip and FORMATS[kind].is_log:
            raise UsageError("--skip is not for logs: their events are numbered by all that come before them")
        file = EventFile(reader, None if FORMATS[kind].is_log else reject, skip=options.skip)
        try:
            if where is None:
                for line in preview(file, done):
                    print(line)
            elif file.begin():
                with (
                    Progress(options.file, kept=_KEPT) as progress,
                    _filled(options, where, name) as target,
                ):
                    store = partial(_stored, target)
                    import_events(
                        file,
                        stored_beside(store) if FORMATS[kind].is_log else store,
                        done,
                        lambda done: progress(done.read, share=source.share),
                        keep_order=options.keep_order,
                    )
        except (ArchiveError, KeyboardInterrupt) as error:
            stored = options.skip + done.read - done.refused_count
            if where is not None and stored >= _RESUMED_MIN and not FORMATS[kind].is_log:
                complain(f"--skip {stored} goes on after the events that are stored")
            if isinstance(error, KeyboardInterrupt):
                raise
            # An error of the server or the connection has no position in the file.
            refused = isinstance(error, (ServerRefusedError, ServerUnavailableError)) and not done.read
            if error.position is not None:
                error.args = (f"{file.place(error.position)} of {options.file}: {error}{_hint(kind, error)}",)
            raise
        finally:
            if not refused:
                _tell(file, done, reader, stored=where is not None)
    if where is None:
        return 1 if done.refused_count else 0
    return 0 if done.whole else 1


def _stored(target: Target, part: Columns[int | None]) -> AppendCounts:
    """Store some events durably."""
    return target.append_columns([part])


def _reject(options: argparse.Namespace, kind: str, done: Imported, opened: ExitStack) -> Reject | None:
    """Return the function that gets what is rejected; None if the first such thing ends the import."""
    if options.rejects is None and not FORMATS[kind].is_log:
        return None
    add: Reject | None = None
    if options.rejects is not None:
        path = Path(options.rejects)
        if options.file != STDIN and path.exists() and path.samefile(options.file):
            raise UsageError(f"--rejects {options.rejects} is the file that is read: give another name")
        add = opened.enter_context(RejectFile(path)).add

    def reject(rejected: Rejected) -> None:
        done.refuse(f"{rejected.place}: {rejected.reason}")
        if add is not None:
            add(rejected)

    return reject


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


def _tell(file: EventFile, done: Imported, reader: EventReader, *, stored: bool) -> None:
    """Print the counts, what was assumed, and the first events that conflict or were refused."""
    for conflict in done.conflicts:
        print(f"conflict in {file.place(conflict.position)}, {conflict.stored.key}:", file=sys.stderr)
        print(f"  there  {conflict.stored.message!r}\n  here   {conflict.offered.message!r}", file=sys.stderr)
    for reason in done.refused:
        print(f"refused: {printable(reason)}", file=sys.stderr)
    if more := done.refused_count - len(done.refused):
        print(f"refused: {more} more", file=sys.stderr)
    for note in getattr(reader, "assumptions", list)():
        print(f"note: {note}", file=sys.stderr)
    if not stored:
        print(f"{done.read} read, {done.refused_count} refused; nothing was stored")
        return
    print(
        f"{done.read} read, {done.stored} stored, {done.duplicates} duplicates,"
        f" {done.conflict_count} conflicts, {done.expired} expired"
        + (f", {done.refused_count} refused" if done.refused_count else "")
    )
