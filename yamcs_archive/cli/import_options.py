"""The options of ``events import`` that say how a file is read, and which format they choose."""

from __future__ import annotations

import argparse
from datetime import MAXYEAR

from yamcs_archive.cli.arguments import not_empty, whole
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.files.reading import Reject
from yamcs_archive.files.utf8 import RAW
from yamcs_archive.importers.formats import FORMATS, format_of
from yamcs_archive.importers.logs.options import LogOptions
from yamcs_archive.importers.logs.severities import own_words

STDIN = "-"
_SUFFIXES = [suffix for entry in FORMATS.values() for suffix in entry.suffixes]
_LINES, _MAPPED, _JSON_LINES = "lines", "mapped", "jsonl"


def add_read_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the file's format, and those of logs."""
    parser.add_argument(
        "--format",
        choices=tuple(FORMATS),
        help=f"format of the file; default: by its name ({', '.join(_SUFFIXES)}, compressed or not), lines"
        " with --pattern, mapped with --map, else jsonl for the standard input",
    )
    parser.add_argument(
        "--keep-invalid-utf8",
        action="store_true",
        help=f"store an event whose text is not UTF-8 with U+FFFD in its place, and its bytes as extra.{RAW};"
        " else such an event is refused",
    )
    parser.add_argument(
        "--rejects",
        metavar="FILE",
        help="write what cannot be stored to this file, as lines of JSON with place, reason and text, and go"
        " on; logs go on without it, too",
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="read all of the file, show the first ten events as they would be stored, and store nothing",
    )
    _add_log_options(parser.add_argument_group("logs of other programs"))


def _add_log_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pattern",
        metavar="EXPR",
        help="lines: a regular expression of Python that matches a whole line. Its groups time, message,"
        " source, severity, type, number are those fields, all others go to extra",
    )
    group.add_argument(
        "--continuation",
        action="store_true",
        help="lines: those that do not match continue the message of the event before",
    )
    group.add_argument(
        "--map",
        metavar="FIELD=.PATH",
        nargs="+",
        action="extend",
        default=[],
        help="any lines of JSON: where the fields are, as message=.msg severity=.level time=.ts; without a"
        " point, a text for all: source=EPS. Keys that are not mapped go to extra",
    )
    group.add_argument(
        "--time-format",
        metavar="FORMAT",
        type=not_empty,
        help="form of the times, with the directives of strptime, or iso (default), unix, unix-ms, unix-us,"
        " unix-ns, excel",
    )
    group.add_argument(
        "--timezone",
        metavar="ZONE",
        type=_checked_zone,
        default="local",
        help="zone of times that name none: a name as Europe/Berlin, UTC, +02:00, or local (default)",
    )
    group.add_argument(
        "--year",
        metavar="YEAR",
        type=whole(1, MAXYEAR),
        help="year of the first line, if lines have none; default: by the order of the lines, and by the"
        " file's modification time",
    )
    group.add_argument(
        "--source",
        metavar="NAME",
        type=not_empty,
        help="source of events that name none; default: the file's name up to its first point",
    )
    group.add_argument(
        "--severity",
        metavar="WORD=SEVERITY",
        nargs="+",
        action="extend",
        type=_pair,
        default=[],
        help="what the log's words for severities mean, where it differs from the usual: OOL=WARNING",
    )


def chosen_format(options: argparse.Namespace) -> str:
    """Return the name of the file's format. Raises UsageError if nothing says it, or two options differ."""
    by_option = _LINES if options.pattern is not None else _MAPPED if options.map else None
    if options.pattern is not None and options.map:
        raise UsageError("--pattern is for lines of text, and --map for lines of JSON: give one of them")
    asked: str | None = options.format
    if by_option is None:
        kind = asked or (_JSON_LINES if options.file == STDIN else format_of(options.file))
    elif asked in (None, by_option) or (asked, by_option) == (_JSON_LINES, _MAPPED):
        kind = by_option
    else:
        raise UsageError(f"--format {asked} has a form of its own: leave out --pattern and --map")
    if kind is None:
        raise UsageError(
            f"{options.file!r} does not say what it holds: give --format, one of {', '.join(FORMATS)}, or"
            " --pattern for lines of text"
        )
    if kind == _LINES and options.pattern is None:
        raise UsageError("--format lines needs --pattern: a regular expression with named groups")
    if kind == _MAPPED and not options.map:
        raise UsageError("--format mapped needs --map: message=.msg time=.ts, and more")
    return kind


def read_options(options: argparse.Namespace, reject: Reject | None) -> LogOptions:
    """Return what the options say of the file. Raises UsageError for a severity that is none."""
    try:
        severities = own_words(options.severity)
    except InvalidInputError as error:
        raise UsageError(str(error)) from None
    return LogOptions(
        reject=reject,
        keep_invalid_utf8=options.keep_invalid_utf8,
        timezone=options.timezone,
        year=options.year,
        source=options.source,
        pattern=options.pattern,
        continuation=options.continuation,
        time_format=options.time_format,
        mapping=tuple(options.map),
        severities=severities,
    )


def _pair(text: str) -> tuple[str, str]:
    word, equals, name = text.rpartition("=")
    if not equals or not word:
        raise argparse.ArgumentTypeError(f"{text!r}: must be WORD=SEVERITY, as OOL=WARNING")
    return word, name


def _checked_zone(text: str) -> str:
    from yamcs_archive.importers.logs.clock import Zone  # noqa: PLC0415  # zoneinfo takes time to load

    try:
        Zone.named(text)
    except InvalidInputError as error:
        raise argparse.ArgumentTypeError(str(error).removeprefix("timezone ")) from None
    return text
