"""``serve``: put an archive behind HTTP."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from yamcs_archive.cli.errors import UsageError
from yamcs_archive.cli.places import url_argument
from yamcs_archive.server.settings import Settings

EPILOG = """examples:
  yamcs-archive serve --data ops-data --instance simulator
  yamcs-archive serve --data ops-data --host ::1 --port 0 --threads 128
  yamcs-archive serve --data ops-data --cors-origin https://openmct.example
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "serve",
        help="serve an archive over HTTP",
        description="Serve an archive over HTTP with the Yamcs events API, until SIGTERM or Ctrl-C. Prints"
        " one line when it accepts requests: Serving URL instances: NAMES directory: DIR.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="the archive's directory, made when absent (or YAMCS_ARCHIVE_DATA)",
    )
    parser.add_argument(
        "--instance",
        metavar="NAME",
        nargs="+",
        action="extend",
        default=[],
        help="an instance to serve, made when absent; repeatable; default: all that are there",
    )
    parser.add_argument("--host", default=Settings.host, help="address to listen on; default: %(default)s")
    parser.add_argument(
        "--port", type=int, default=Settings.port, help="0 takes a free one; default: %(default)s"
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=Settings.threads,
        metavar="N",
        help="pages of history that are read at once (with --wsgi: requests that wait for a commit at once);"
        " default: %(default)s",
    )
    parser.add_argument(
        "--wsgi",
        action="store_true",
        help="serve WSGI instead of ASGI: the same HTTP API, a thread for each request, no live updates",
    )
    parser.add_argument(
        "--stop-wait",
        type=int,
        default=Settings.stop_wait_s,
        metavar="SECONDS",
        help="how long a stop waits for requests that do not end; default: %(default)s",
    )
    parser.add_argument(
        "--cors-origin",
        metavar="ORIGIN",
        action="append",
        default=[],
        help="an origin (https://ops.example) whose pages may use the server from a browser; repeatable",
    )
    parser.add_argument(
        "--allowed-host",
        metavar="NAME",
        action="append",
        default=[],
        help="a name that clients know the server by (ops.example; .example for all below it), beside that of"
        " --host, localhost, addresses and the hosts of --cors-origin: requests for others are refused;"
        " repeatable",
    )
    parser.add_argument(
        "--mirror-of",
        metavar="FROM-URL",
        type=url_argument,
        help="follow the instances of a served archive, those that are named or all that it has at the start,"
        " and serve the copies; they take no events of their own",
    )
    parser.add_argument(
        "--map-bytes",
        type=int,
        default=Settings.map_bytes,
        metavar="N",
        help="address space, no disk space, that is reserved for each instance at first; where there is less,"
        " less is taken, and it grows; default: %(default)s, which is 64 GiB",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    data = options.data or os.environ.get("YAMCS_ARCHIVE_DATA")
    if not data:
        raise UsageError("which archive? give --data DIR, or set YAMCS_ARCHIVE_DATA")
    settings = Settings(
        data=Path(data),
        instances=options.instance,
        host=options.host,
        port=options.port,
        threads=options.threads,
        wsgi=options.wsgi,
        stop_wait_s=options.stop_wait,
        cors_origins=options.cors_origin,
        allowed_hosts=options.allowed_host,
        mirror_of=options.mirror_of,
        map_bytes=options.map_bytes,
    )
    try:
        from yamcs_archive.server.process import leave, serve  # noqa: PLC0415  # needs the extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("yamcs_archive"):
            raise
        print(
            f'yamcs-archive: {error}; install the server: pip install "yamcs_archive[server]"',
            file=sys.stderr,
        )
        return 1
    # An internal error is answered with its type only; its trace must reach whoever runs this.
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s"
    )
    serve(settings, say=lambda line: print(line, flush=True))
    leave()
    return 0
