"""``events create``: store one event."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.places import add_place_options, opened
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Event, Severity
from yamcs_archive.wire.json import encode

EPILOG = """examples:
  yamcs-archive events create --data ops-data -m "Pass begins" --source GS1
  yamcs-archive events create --url http://127.0.0.1:8090 -m "Wheel 3" --severity warning --extra unit=rpm
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "create",
        help="store one event",
        description="Store one event. Prints nothing when it is stored.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_place_options(parser)
    parser.add_argument("-m", "--message", metavar="TEXT", help="the message; without it $EDITOR opens")
    parser.add_argument(
        "--date", type=parse_date, metavar="DATE", help=f"generation time, now if not given: {FORMS}"
    )
    parser.add_argument(
        "--sequence-number", type=int, metavar="N", help="number; the source's next if not given"
    )
    parser.add_argument(
        "--severity",
        choices=[name.lower() for name in Severity.__members__],
        default="info",
        type=str.lower,
        help="default: info",
    )
    parser.add_argument("--source", metavar="NAME", default="", help="default: User")
    parser.add_argument("--type", metavar="TEXT", help="kind of event")
    parser.add_argument(
        "--extra",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=_pair,
        help="further text by name; repeatable",
    )
    parser.add_argument("--show", action="store_true", help="print the event as it was stored, as JSON")
    parser.set_defaults(run=run)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return name, value


def run(options: argparse.Namespace) -> int:
    """Store the event that the options describe."""
    message = options.message if options.message is not None else _edited()
    if options.message is None and not message:
        print("yamcs-archive: the text is empty, so nothing was stored", file=sys.stderr)
        return 1
    event = Event(
        message,
        source=options.source,
        severity=Severity.parse(options.severity),
        type=options.type,
        generation_time=options.date,
        seq_number=options.sequence_number,
        extra=dict(options.extra),
    )
    with opened(options, readonly=False) as place:
        stored = place.create(event)
    if options.show:
        print(encode(stored).decode())
    return 0


def _edited() -> str:
    """Let the user write the message in an editor."""
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "EVENT_MESSAGE"
        draft.touch()
        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
        subprocess.run([*shlex.split(editor), str(draft)], check=True)  # the user's own editor
        try:
            return draft.read_text(encoding="utf-8").strip()
        except UnicodeDecodeError as error:
            raise InvalidInputError(
                "message", draft.read_bytes(), f"must be UTF-8 ({error.reason})"
            ) from None
