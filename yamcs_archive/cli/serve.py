"""``serve``: put an archive behind HTTP."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from yamcs_archive.errors import InvalidInputError

EPILOG = """example:
  yamcs-archive serve --data ops-data --instance simulator
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "serve",
        help="serve an archive over HTTP",
        description="Serve an archive over HTTP with the Yamcs events API, until SIGTERM or Ctrl-C.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
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
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; default: 127.0.0.1")
    parser.add_argument("--port", type=_port, default=8090, help="default: 8090; 0: a free one")
    parser.add_argument(
        "--threads",
        type=_threads,
        default=None,
        metavar="N",
        help="requests committed together at most; default: 64",
    )
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: 0 to 65535")
    return int(text)


def _threads(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 1024):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of threads: 1 to 1024")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop."""
    data = options.data or os.environ.get("YAMCS_ARCHIVE_DATA")
    if not data:
        raise InvalidInputError("--data", None, "give the archive's directory")
    try:
        from yamcs_archive.server.process import THREADS_DEFAULT, Settings, leave, serve  # noqa: PLC0415  # an extra
    except ModuleNotFoundError as error:
        print(
            f'yamcs-archive: {error}; install the server: pip install "yamcs_archive[server]"',
            file=sys.stderr,
        )
        return 1
    settings = Settings(
        data=Path(data),
        instances=options.instance,
        host=options.host,
        port=options.port,
        threads=options.threads or THREADS_DEFAULT,
    )
    serve(settings, say=lambda line: print(line, flush=True))
    leave()
    return 0
