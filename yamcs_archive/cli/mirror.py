"""``mirror``: keep a copy of a served instance."""

from __future__ import annotations

import argparse
import os
import sys
import time
from contextlib import closing
from pathlib import Path

from yamcs_archive.archive import Archive
from yamcs_archive.cli.errors import RemoteError, UsageError
from yamcs_archive.cli.places import only, url_argument
from yamcs_archive.cli.remote import instances_at
from yamcs_archive.errors import ConflictError
from yamcs_archive.mirror.copy import Progress, check_mirror, follow
from yamcs_archive.mirror.feed import Feed
from yamcs_archive.times import format_rfc3339
from yamcs_archive.wire.forms import Form
from yamcs_archive.wire.json import encode, shown

EPILOG = """examples:
  yamcs-archive mirror http://ops:8090 --data copy --instance simulator
  yamcs-archive mirror http://ops:8090 --data copy --instance simulator --once
"""
_SAY_EVERY_S = 10.0


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "mirror",
        help="keep a copy of a served instance",
        description="Keep a copy of an instance of a served archive, commit by commit: the same events, in"
        " the order in which they were stored there. It goes on where it stands, whichever side was down, and"
        " says on stderr how far it is behind. Nothing else may be appended to the copy. It stops where the"
        " two differ, and where the source's history is another one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", type=url_argument, metavar="FROM-URL", help="the served archive")
    parser.add_argument(
        "--data", metavar="DIR", help="the copy's directory, made when absent (or YAMCS_ARCHIVE_DATA)"
    )
    parser.add_argument(
        "--instance", metavar="NAME", help="the instance; may be left out where the source has only one"
    )
    parser.add_argument("--once", action="store_true", help="end when the two are in step")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Follow until Ctrl-C, or what cannot go on."""
    data = options.data or os.environ.get("YAMCS_ARCHIVE_DATA")
    if not data:
        raise UsageError("where to? give --data DIR, or set YAMCS_ARCHIVE_DATA")
    url = options.url.rstrip("/")
    name = options.instance or only(instances_at(url))
    holder = f"yamcs-archive mirror {url}"
    with Archive.open(Path(data), holder=holder) as archive, closing(Feed(url, name)) as feed:
        copy = archive.instance(name, create=True)
        try:
            follow(feed, copy, check_mirror(copy, url, name), _Sayer(name), once=options.once)
        except ConflictError as error:
            print("stored here:", encode(shown(error.stored, Form.TODAY)).decode(), file=sys.stderr)
            print("at the source:", encode(shown(error.offered, Form.TODAY)).decode(), file=sys.stderr)
            raise RemoteError("the two differ in an event, so the mirror stops") from None
    return 0


class _Sayer:
    """Says how far a copy is, when that changes and from time to time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._said: tuple[bool, str | None] | None = None
        self._said_s = 0.0

    def __call__(self, progress: Progress) -> None:
        now_s = time.monotonic()
        state = (progress.behind, progress.trouble)
        if state == self._said and now_s - self._said_s < _SAY_EVERY_S:
            return
        if state == self._said and not progress.behind and progress.trouble is None:
            return  # in step, and nothing new to say
        self._said, self._said_s = state, now_s
        if progress.trouble is not None:
            text = f"{progress.trouble}; trying again"
        elif not progress.behind:
            text = "in step"
        elif progress.time is None:
            text = "behind"
        else:
            lag_s = max(0.0, time.time() - progress.time / 1_000_000)
            text = f"at what was stored there at {format_rfc3339(progress.time)}, {lag_s:.0f} s ago"
        print(f"{self._name}: {progress.events} events taken over, {text}", file=sys.stderr, flush=True)
