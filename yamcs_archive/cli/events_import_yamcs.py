"""``events import yamcs``: store the history of another server."""

from __future__ import annotations

import argparse
import sys

from yamcs_archive.archive import Archive, check_instance_name
from yamcs_archive.cli.arguments import instance_name, not_empty
from yamcs_archive.cli.credential_options import add_credentials, credentials_for
from yamcs_archive.cli.dates import FORMS, parse_date
from yamcs_archive.cli.import_report import faults, totals
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import add_directory_option, chosen_directory, only, url_argument
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.client import Client
from yamcs_archive.importers.yamcs import History, Imported, import_history
from yamcs_archive.missing_packages import advice
from yamcs_archive.times import format_rfc3339

EPILOG = """examples:
  yamcs-archive events import yamcs http://127.0.0.1:8090 --data ops-data
  yamcs-archive events import yamcs http://127.0.0.1:8090 --data ops-data --from simulator --since 2026-01-01
  yamcs-archive events import yamcs http://127.0.0.1:8090 --data ops-data --follow
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Store the events of a live Yamcs server (or a served archive), as its API streams them. Run an"
        " interrupted import again, and it resumes; run a complete one again, and it adds the new events,"
        " late ones too. With --follow, go on with each event that the server publishes, until Ctrl-C or"
        " SIGTERM; what was published while the connection was lost is read from the history. Prints how many"
        " events were stored, duplicate or refused. Exit status 1 if some conflict with stored events, or"
        " cannot be stored."
    )
    parser.epilog = EPILOG
    parser.add_argument("url", metavar="URL", type=url_argument, help="the server, as http://127.0.0.1:8090")
    add_directory_option(parser, about="the archive's directory, created if missing")
    add_credentials(parser)
    parser.add_argument(
        "--from",
        dest="origin",
        metavar="NAME",
        type=not_empty,
        help="the server's instance; may be omitted if it has only one",
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        type=instance_name,
        help="the instance here, created if missing; default: the same name",
    )
    parser.add_argument(
        "-s", "--since", type=parse_date, metavar="DATE", help=f"events from this time on: {FORMS}"
    )
    parser.add_argument("-u", "--until", type=parse_date, metavar="DATE", help="events before this time")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="go on with the events that the server publishes"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Import the history, and show the progress on a terminal."""
    data = chosen_directory(options)
    if options.follow:
        if options.until is not None:
            raise UsageError("--follow has no end: leave out --until")
        try:
            from yamcs_archive.cli.follow_yamcs import follow  # noqa: PLC0415  # needs the extra
        except ModuleNotFoundError as error:
            if error.name is None or error.name.startswith("yamcs_archive"):
                raise
            complain(f"{error}; {advice('follow')}")
            return 1
    login = credentials_for(options, options.url)
    with Client(options.url, credentials=login) as client:
        origin = options.origin or only(client.instances(), "--from")
    name = check_instance_name(options.instance or origin)
    history = History(options.url, origin, options.since, options.until, login)
    history.probe()  # before a directory is created: a failure must not leave an empty one
    with Archive.open(data, holder="yamcs-archive events import") as archive:
        instance = archive.instance(name, create=True)
        folder = archive.path / instance.name
        if options.follow:
            return follow(history, instance, folder)
        with Progress(instance.name, kept="run it again to resume") as progress:

            def note(done: Imported) -> None:
                up_to = "" if done.reached is None else f", up to {format_rfc3339(done.reached)}"
                progress.label = f"{instance.name}{up_to}"
                progress(done.read)

            done = import_history(history, instance, folder, note)
    if done.restarts:
        print("the server's history was replaced: it was read again from the beginning", file=sys.stderr)
    for line in faults(done):
        print(line, file=sys.stderr)
    print(totals(instance.name, done))
    return 0 if done.whole else 1
