"""``health``: say whether a served archive is ready, for health checks."""

from __future__ import annotations

import argparse

from yamcs_archive.cli.target import url_argument
from yamcs_archive.client.health import Health, health

EPILOG = """examples:
  yamcs-archive health
  yamcs-archive health --url https://ops.example/archive --alive
"""
URL = "http://127.0.0.1:8090"
TIMEOUT_S_DEFAULT = 5


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Ask a server whether it is ready (/readyz), and print why not, or what limits it. Exit status 0 if"
        " it is, 1 if it is not or does not answer in time. It needs no login. For the health checks of"
        " containers and of scripts."
    )
    parser.epilog = EPILOG
    parser.add_argument("--url", type=url_argument, default=URL, help="the server; default: %(default)s")
    parser.add_argument(
        "--alive",
        action="store_true",
        help="ask only whether it answers (/healthz), whatever it is ready for",
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=_seconds,
        default=TIMEOUT_S_DEFAULT,
        help="how many seconds to wait for the answer; default: %(default)s",
    )
    parser.set_defaults(run=run)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text[:5]) <= 3600):
        raise argparse.ArgumentTypeError("must be 1 to 3600")
    return int(text)


def run(options: argparse.Namespace) -> int:
    """Ask, and print the answer."""
    found: Health = health(options.url, alive=options.alive, timeout_s=options.timeout)
    print("\n".join([found.status, *found.reasons]))
    return 0 if found.is_good else 1
