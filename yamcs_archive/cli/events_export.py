"""``events export``: write events to a file that loses nothing."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from yamcs_archive.cli import arguments
from yamcs_archive.cli.event_query import LogRequest
from yamcs_archive.cli.exported import in_order_of_arrival, in_order_of_time
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.query_options import add_query_options, chosen_events
from yamcs_archive.cli.standard_streams import complain, say
from yamcs_archive.cli.target import Target, add_target_options, chosen_target, open_target
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.files.compression import COMPRESSIONS, SUFFIXES, compression_of
from yamcs_archive.files.export import Batch, Kind, Stream, write_events
from yamcs_archive.files.forms import FORMS, form_of
from yamcs_archive.files.part_file import PART, PartFile

EPILOG = """examples:
  yamcs-archive events export pass-17.parquet --data ops-data --instance simulator -s 2026-11-23 -u 2026-11-24
  yamcs-archive events export history.jsonl.zst --url http://127.0.0.1:8090 --order commit --show-cursor
  yamcs-archive events export history.jsonl.zst --data ops-data --resume
  yamcs-archive events export - --data ops-data --format csv --severity warning | column -s, -t
"""
_STDOUT = "-"
_NONE = "none"
_TEXT = ("jsonl", "csv")
_CHOOSING = ("start", "stop", "sources", "min_severity", "filter")


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    suffixes = ", ".join(suffix for form in FORMS.values() for suffix in form.suffixes)
    parser.description = (
        "Write events to a file, with all their fields, so that events import stores equal events from it:"
        " JSON lines, CSV, msgpack, Parquet or Arrow (docs/files.md). The file has its name once it is whole"
        f" and synced; until then it is FILE{PART}. Events come oldest first, or with --order commit as they"
        " were stored. Prints how many they are. A file that is there already is not touched without --force."
    )
    parser.epilog = EPILOG
    parser.add_argument("file", metavar="FILE", type=arguments.not_empty, help="the file; - is stdout")
    add_target_options(parser)
    parser.add_argument(
        "--format",
        choices=tuple(FORMS),
        help=f"format of the file; default: by its name ({suffixes}); jsonl for stdout. parquet, arrow and"
        " arrows need the extra arrow",
    )
    parser.add_argument(
        "--compression",
        choices=(*COMPRESSIONS, _NONE),
        help=f"default: by the name ({', '.join(SUFFIXES)} after that of the format); not for parquet and"
        " arrow, which are compressed within",
    )
    add_query_options(parser, beside_skipping="; not with --order commit")
    parser.add_argument(
        "--order",
        choices=("time", "commit"),
        help="by time, then source, then number, or as events were stored; default: time, or commit with"
        " --after-cursor",
    )
    parser.add_argument(
        "--after-cursor", metavar="CURSOR", help="only events stored after this cursor, in order of commits"
    )
    parser.add_argument(
        "--show-cursor",
        action="store_true",
        help='print "-- cursor: CURSOR" on stderr at the end: --after-cursor goes on there. It is after the'
        " last event of the file, or by time after all events stored when the export began",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"go on with what an interrupted export left in FILE{PART}; a parquet or arrow file begins anew",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Export the events, and show the progress on a terminal."""
    kind = _kind(options)
    if options.after_cursor is not None and options.order == "time":
        raise UsageError("--after-cursor is for --order commit")
    is_arrival = options.order == "commit" or options.after_cursor is not None
    if is_arrival and options.skip_damaged:
        raise UsageError("--skip-damaged is for --order time")
    with open_target(options, readonly=True) as target:
        chosen = chosen_events(options, target)
        wanted = LogRequest(lines=None, **{name: chosen[name] for name in _CHOOSING})
        cursor = target.cursor() if options.show_cursor else None
        total = None if is_arrival or wanted.filter is not None else target.count(**chosen)
        with _opened(options, kind, _request(options, target, kind, wanted, is_arrival=is_arrival)) as output:
            if is_arrival:
                begin = options.after_cursor if output.after is None else output.after
                every = wanted == LogRequest(lines=None)
                batches = in_order_of_arrival(target, None if every else wanted, begin)
            else:
                begin, batches = None, in_order_of_time(target, chosen, output.after)
            noted = _Noted(batches, begin)
            part = output.part
            with Progress(target.name) as progress:
                events = write_events(
                    noted,
                    kind,
                    output.file,
                    checkpoint=part.checkpoint if part is not None and kind.is_appendable else None,
                    events_before=output.events,
                    say=lambda done: progress(done, total),
                )
                if part is not None:
                    part.finish()
    if options.file != _STDOUT:
        print(f"{events} events, {output.file.size_bytes} bytes: {options.file}")
    if cursor is not None:
        # If there was nothing to export, everything before the cursor taken first was looked at.
        say(f"-- cursor: {noted.after or cursor if is_arrival else cursor}")
    return 0


def _kind(options: argparse.Namespace) -> Kind:
    """Return the form and the compression; UsageError for those that the command cannot write."""
    is_stdout = options.file == _STDOUT
    form = options.format or ("jsonl" if is_stdout else form_of(options.file))
    if form is None:
        raise UsageError(
            f"{options.file!r} does not say what it is to be: give --format, one of {', '.join(FORMS)}"
        )
    compression = options.compression or (None if is_stdout else compression_of(options.file))
    kind = Kind(form, None if compression == _NONE else compression)
    if kind.compression is not None and not kind.is_appendable:
        raise UsageError(f"{form} is compressed within: leave out {kind.compression}")
    if is_stdout and sys.stdout.isatty() and (form not in _TEXT or kind.compression):
        raise UsageError(f"{form} is no text: redirect stdout to a file or a pipe")
    return kind


def _request(
    options: argparse.Namespace, target: Target, kind: Kind, wanted: LogRequest, *, is_arrival: bool
) -> dict[str, Any]:
    """Return what is exported, as values of JSON: a part of another request is not resumed."""
    where = chosen_target(options)
    return {
        "archive": where if isinstance(where, str) else os.path.realpath(where),
        "instance": target.name,
        "format": kind.form,
        "compression": kind.compression,
        "order": "commit" if is_arrival else "time",
        "after-cursor": options.after_cursor,
        "since": wanted.start,
        "until": wanted.stop,
        "source": None if wanted.sources is None else sorted(wanted.sources),
        "severity": options.severity,
        "filter": None if wanted.filter is None else wanted.filter.text,
    }


class _Noted:
    """Batches, and the mark after the last of them."""

    def __init__(self, batches: Iterator[Batch], after: Any) -> None:
        self._batches = batches
        self.after = after

    def __iter__(self) -> Iterator[Batch]:
        for batch in self._batches:
            self.after = batch.after
            yield batch


class _Output(NamedTuple):
    """Where the bytes go, and what is there already."""

    file: PartFile | Stream
    part: PartFile | None
    events: int = 0
    after: Any = None


@contextmanager
def _opened(options: argparse.Namespace, kind: Kind, request: dict[str, Any]) -> Iterator[_Output]:
    """Open the standard output, a pipe or a device as it is; for a file its part."""
    path = Path(options.file)
    if options.file == _STDOUT:
        if not hasattr(sys.stdout, "buffer"):
            raise BrokenPipeError  # it is closed
        yield _Output(Stream(sys.stdout.buffer), None)
        return
    if _is_special(path):
        with path.open("wb") as stream:
            yield _Output(Stream(stream), None)
        return
    if options.resume and not kind.is_appendable:
        complain(f"a {kind.form} file cannot be continued, because its index is at its end: it begins anew")
    resume = options.resume and kind.is_appendable
    with PartFile(path, request, replace=options.force, resume=resume) as part:
        reached = part.reached
        try:
            yield _Output(part, part, reached.events, reached.after)
        except BaseException:
            if part.can_be_resumed:
                complain(
                    f"{part.reached.events} events are in {path.name}{PART}: --resume goes on after them"
                )
            raise


def _is_special(path: Path) -> bool:
    """Say whether there is something of that name that is neither a file nor a folder."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
