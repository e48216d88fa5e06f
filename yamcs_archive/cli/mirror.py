"""``mirror``: keep a copy of a served instance."""

from __future__ import annotations

import argparse
import sys
import threading
from concurrent.futures import Future, wait

from yamcs_archive.archive import Archive
from yamcs_archive.cli.arguments import instance_name
from yamcs_archive.cli.credential_options import add_credentials, credentials_for
from yamcs_archive.cli.target import add_directory_option, chosen_directory, only, url_argument
from yamcs_archive.client import Client
from yamcs_archive.credentials import Credentials
from yamcs_archive.errors import ArchiveError
from yamcs_archive.mirror.follower import (
    Follower,
    OutOfStepError,
    await_source,
    begin_mirror,
    connected,
    not_here,
)
from yamcs_archive.mirror.progress_log import Sayer
from yamcs_archive.wire.api_generations import Form
from yamcs_archive.wire.json import encode, shown

EPILOG = """examples:
  yamcs-archive mirror http://ops:8090 --data copy --instance simulator
  yamcs-archive mirror http://ops:8090 --data copy --instance simulator --once
  yamcs-archive mirror http://ops:8090 --data copy --instance simulator --resync
"""
_LOOK_S = 0.5
"""Longest time between two checks for Ctrl-C, in seconds."""
_STOP_S = 5.0
"""Longest wait for the step under way to end, in seconds."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Keep a copy of an instance of a served archive, commit by commit: the same events, in the order"
        " in which they were stored there. It resumes after either side was stopped, and reports on stderr"
        " how far the copy lags. Nothing else can be appended to the copy. It stops if an event differs,"
        " or if the source has another history."
    )
    parser.epilog = EPILOG
    parser.add_argument("url", type=url_argument, metavar="FROM-URL", help="the served archive")
    add_directory_option(parser, about="the copy's directory, created if missing")
    add_credentials(parser)
    parser.add_argument(
        "--instance",
        metavar="NAME",
        type=instance_name,
        help="the instance; may be omitted if the source has only one",
    )
    parser.add_argument("--once", action="store_true", help="end when the two are in step")
    parser.add_argument(
        "--resync",
        action="store_true",
        help="if the copy cannot follow any longer, keep it as an instance of another name, and start a new"
        " copy",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Follow until Ctrl-C, or until the copy cannot follow."""
    data = chosen_directory(options)
    url = options.url.rstrip("/")
    login = credentials_for(options, url)
    with Client(url, credentials=login) as client:
        name = options.instance or only(client.instances())
    if options.resync or not_here(data, [name]):
        # Check the source before anything is created or set aside, so that no empty copy is left.
        await_source(url, name, Sayer(_say), login)
    with Archive.open(data, holder=f"yamcs-archive mirror {url}") as archive:
        try:
            _follow(archive, url, name, options, login)
        except OutOfStepError as error:
            if not options.resync:
                _show(error)
                raise ArchiveError(f"{error}; to start anew beside it, give --resync") from None
            _say(f"{name}: {error}; kept as instance {archive.set_aside(name)}, starting anew")
            _follow(archive, url, name, options, login)
    return 0


def _follow(
    archive: Archive, url: str, name: str, options: argparse.Namespace, login: Credentials | None
) -> None:
    copy = archive.instance(name, create=True)
    source = connected(url, login).instance(name, check=False)
    follower = Follower(source, copy, begin_mirror(copy, url, name), Sayer(_say))
    done: Future[None] = Future()

    def follow() -> None:
        try:
            follower.run(once=options.once)
        except BaseException as error:
            done.set_exception(error)
        else:
            done.set_result(None)

    # A KeyboardInterrupt is raised in this thread. In the middle of a step it could leave a lock taken, so
    # the steps run in another thread. The interrupt may come while that thread is being started: so the
    # follower is told to stop in any case, and the thread is a daemon, for which the process does not wait at
    # its end.
    thread = threading.Thread(target=follow, name="yamcs-archive-mirror", daemon=True)
    try:
        thread.start()
        # Wait in intervals: a signal just before an endless wait would be handled only after it.
        while not wait([done], _LOOK_S).done:
            pass
        done.result()
    finally:
        follower.stop()
        wait([done], _STOP_S)


def _show(error: OutOfStepError) -> None:
    if error.conflict is not None:
        _say(f"stored here: {encode(shown(error.conflict.stored, Form.TODAY)).decode()}")
        _say(f"at the source: {encode(shown(error.conflict.offered, Form.TODAY)).decode()}")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
