"""``serve``: serve an archive over HTTP."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from yamcs_archive.cli.arguments import allowed_host, data_directory, instance_name, origin, whole
from yamcs_archive.cli.missing_packages import advice
from yamcs_archive.cli.retention_options import add_retention
from yamcs_archive.cli.standard_streams import complain, leave_stdout
from yamcs_archive.cli.target import chosen_directory, open_existing, url_argument
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.cli.user_option import add_user_option, login_for
from yamcs_archive.server.settings import (
    MAP_BYTES_MAX,
    MAP_BYTES_MIN,
    PORT_MAX,
    STOP_WAIT_S_MAX,
    THREADS_MAX,
    Settings,
)

EPILOG = """examples:
  yamcs-archive serve --data ops-data --instance simulator
  yamcs-archive serve --data ops-data --host ::1 --port 0 --threads 128
  yamcs-archive serve --data ops-data --cors-origin https://openmct.example
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Serve an archive over HTTP with the Yamcs events API, until SIGTERM or Ctrl-C. Prints"
        " one line when it accepts requests: Serving URL instances: NAMES directory: DIR."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=data_directory,
        help="the archive's directory, created if missing (or YAMCS_ARCHIVE_DATA)",
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        type=instance_name,
        help="an instance to serve, created if missing; repeatable; default: all in the directory",
    )
    _add_process(parser)
    add_retention(parser, what="once an hour, prune from every instance")
    parser.add_argument(
        "--cors-origin",
        metavar="ORIGIN",
        type=origin,
        action="append",
        default=[],
        help="an origin (https://ops.example) whose pages may use the server from a browser; repeatable",
    )
    parser.add_argument(
        "--allowed-host",
        metavar="NAME",
        type=allowed_host,
        action="append",
        default=[],
        help="another name of the server (ops.example; .example for all names below it), besides --host,"
        " localhost, IP addresses and the hosts of --cors-origin; requests for any other name are refused;"
        " repeatable",
    )
    parser.add_argument(
        "--allow-operations",
        action="store_true",
        help="let clients use the routes that delete or read everything (as :verify); there is no login, so"
        " everybody who can reach the server may",
    )
    parser.add_argument(
        "--mirror-of",
        metavar="FROM-URL",
        type=url_argument,
        help="follow the instances of a served archive (those named by --instance, or all that it has at the"
        " start) and serve the copies; the copies accept no events of their own",
    )
    add_user_option(parser)
    parser.set_defaults(run=run)


def _add_process(parser: argparse.ArgumentParser) -> None:
    """Add the options of the process: address, port, threads, server, stop."""
    parser.add_argument(
        "--host", type=_host, default=Settings.host, help="address to listen on; default: %(default)s"
    )
    parser.add_argument(
        "--port",
        type=whole(0, PORT_MAX),
        default=Settings.port,
        help="port; 0 chooses a free one; default: %(default)s",
    )
    parser.add_argument(
        "--threads",
        type=whole(1, THREADS_MAX),
        default=Settings.threads,
        metavar="N",
        help="pages of history read at the same time (with --wsgi: requests served at the same time);"
        " default: %(default)s",
    )
    parser.add_argument(
        "--wsgi",
        action="store_true",
        help="serve WSGI instead of ASGI: the same HTTP API, a thread for each request, no live updates",
    )
    parser.add_argument(
        "--stop-wait",
        type=whole(1, STOP_WAIT_S_MAX),
        default=Settings.stop_wait_s,
        metavar="SECONDS",
        help="how long a stop waits for requests that do not end; default: %(default)s",
    )
    parser.add_argument(
        "--map-bytes",
        type=whole(MAP_BYTES_MIN, MAP_BYTES_MAX),
        default=Settings.map_bytes,
        metavar="N",
        help="address space (not disk space) reserved for each instance at first; less if the system has"
        " less; it grows when it is full; default: %(default)s, which is 64 GiB",
    )


def _host(text: str) -> str:
    if not text:  # an empty host would mean all addresses
        raise argparse.ArgumentTypeError("'': must be a name or an address; all addresses are 0.0.0.0 and ::")
    return text


def run(options: argparse.Namespace) -> int:
    """Serve until a signal stops it."""
    data = chosen_directory(options)
    if options.mirror_of is None:
        if options.user is not None:
            raise UsageError("--user is for --mirror-of URL")
        if not options.instance:
            _refuse_none(data)
    login = None if options.mirror_of is None else login_for(options, options.mirror_of)
    settings = Settings(
        data=data,
        instances=options.instance,
        host=options.host,
        port=options.port,
        threads=options.threads,
        wsgi=options.wsgi,
        stop_wait_s=options.stop_wait,
        cors_origins=options.cors_origin,
        allowed_hosts=options.allowed_host,
        allow_operations=options.allow_operations,
        mirror_of=options.mirror_of,
        map_bytes=options.map_bytes,
        mirror_login=login,
        keep_days=options.keep_days,
        max_bytes=options.max_bytes,
        max_events=options.max_events,
    )
    try:
        from yamcs_archive.server.process import leave, serve  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("yamcs_archive"):
            raise
        complain(f"{error}; {advice('server')}")
        return 1
    # The answer to an internal error has its type only; the log has its traceback, for the operator.
    logging.basicConfig(
        level=logging.WARNING,
        format="%(asctime)s %(levelname)s %(message)s",  # to stderr
    )
    logging.getLogger("yamcs_archive").setLevel(logging.INFO)  # what pruning took
    serve(settings, say=_say)
    leave()
    return 0


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
