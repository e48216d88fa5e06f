"""``events create``: store one event."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext

from yamcs_archive.cli.arguments import whole
from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.message_editor import edited, piped, stdin_is_terminal
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import add_target_options, chosen_target, open_target
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.event import Event, Severity
from yamcs_archive.limits import SEQ_NUMBER_MAX, SEQ_NUMBER_MIN
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.json import encode, shown

EPILOG = """examples:
  yamcs-archive events create --data ops-data -m "Pass begins" --source GS1
  yamcs-archive events create --url http://127.0.0.1:8090 -m "Wheel 3" --severity warning --extra unit=rpm
  tail -n 1 pass.log | yamcs-archive events create --data ops-data
"""
_STDIN = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = "Store one event. Prints nothing on success."
    parser.epilog = EPILOG
    add_target_options(parser)
    parser.add_argument(
        "-m",
        "--message",
        metavar="TEXT",
        help=f"the message; {_STDIN} reads it from stdin. Without this option the message is read from stdin"
        " too, or written in $EDITOR if stdin is a terminal",
    )
    parser.add_argument(
        "--date", type=parse_date, metavar="DATE", help=f"the generation time; default: now. {FORMS}"
    )
    parser.add_argument(
        "--sequence-number",
        type=whole(SEQ_NUMBER_MIN, SEQ_NUMBER_MAX),
        metavar="N",
        help="the sequence number; default: the source's next one",
    )
    parser.add_argument(
        "--severity",
        choices=[name.lower() for name in Severity.__members__],
        default="info",
        type=str.lower,
        help="the severity; default: %(default)s",
    )
    parser.add_argument(
        "--source", metavar="NAME", default="", help="where the event comes from; default: User"
    )
    parser.add_argument("--type", metavar="TEXT", help="the kind of event")
    parser.add_argument(
        "--extra",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        type=_pair,
        help="a further text, by its name; repeatable",
    )
    parser.add_argument("--show", action="store_true", help="print the stored event as JSON")
    parser.set_defaults(run=run)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    return name, value


def run(options: argparse.Namespace) -> int:
    """Store the event that the options describe."""
    extra = _extra(options.extra)
    chosen_target(options)  # an error must show before the user writes a message
    with _message(options.message) as message:
        if not message and options.message in (None, _STDIN):
            complain("the text is empty, so nothing was stored")
            return 1
        event = Event(
            message,
            source=options.source,
            severity=Severity.parse(options.severity),
            type=options.type,
            generation_time=options.date,
            seq_number=options.sequence_number,
            extra=extra,
        )
        with open_target(options, readonly=False) as target:
            stored = target.append(event).event
    if options.show:
        print(encode(shown(stored, Form.TODAY)).decode())
    return 0


def _extra(pairs: list[tuple[str, str]]) -> dict[str, str]:
    extra: dict[str, str] = {}
    for name, value in pairs:
        if name in extra:
            raise UsageError(f"--extra {name}: given twice")
        extra[name] = value
    return extra


def _message(given: str | None) -> AbstractContextManager[str]:
    """Return the message: from the option, from stdin, or written in an editor."""
    if given not in (None, _STDIN):
        return nullcontext(given)
    return edited() if given is None and stdin_is_terminal() else nullcontext(piped())
