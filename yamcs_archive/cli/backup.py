"""``backup``: copy instances to files, or to stdout, while others read and append."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from yamcs_archive.backups import KEEP_MAX, RATE_MAX, new_backup, paced, stream_manifest
from yamcs_archive.cli import arguments
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import Target, add_target_options, chosen_target, only, open_existing, served
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.instance import Instance
from yamcs_archive.results import Backup, BackupManifest

EPILOG = """examples:
  yamcs-archive backup --data ops-data /backups
  yamcs-archive backup --data ops-data --incremental --keep 4 /backups
  yamcs-archive backup --url http://ops:8090 --instance simulator --rate 10000000 /backups
  yamcs-archive backup --data ops-data --instance simulator - | ssh vault 'cat > simulator.backup'
"""
STDOUT = "-"


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Copy instances to a folder, one file for each, while others read and append. A file has everything"
        " that was stored when its backup began: events, commits, sources, request ids. It gets its name when"
        " it is whole and synced. Prints a line for each instance."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.add_argument(
        "--instance",
        metavar="NAME",
        action="append",
        default=[],
        type=arguments.not_empty,
        help="an instance (or YAMCS_ARCHIVE_INSTANCE); repeatable; default: all",
    )
    parser.add_argument(
        "--incremental",
        action="store_true",
        help="only what was stored since the newest backup there; a full one if there is none",
    )
    parser.add_argument(
        "--after",
        metavar="CURSOR",
        help="with -: only what was stored after the backup with this cursor ('backup list' shows it)",
    )
    parser.add_argument(
        "--keep",
        metavar="N",
        type=arguments.whole(1, KEEP_MAX),
        help="keep the newest N full backups of each instance, and the incremental ones after them; delete"
        " older ones",
    )
    parser.add_argument(
        "--rate",
        metavar="BYTES",
        type=arguments.whole(1, RATE_MAX),
        help="write at most so many bytes a second",
    )
    parser.add_argument(
        "target", metavar="TARGET", type=arguments.not_empty, help="a folder, created if missing; - is stdout"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Back the instances up one after the other, and stop at the first failure."""
    to_stdout = options.target == STDOUT
    if options.after is not None and not to_stdout:
        raise UsageError("--after is for -; a folder knows what to continue: give --incremental")
    if to_stdout and (options.incremental or options.keep is not None):
        raise UsageError("--incremental and --keep are for a folder; give --after CURSOR with -")
    if to_stdout and sys.stdout.isatty():
        raise UsageError("a backup is no text: redirect stdout to a file or a pipe")
    named = os.environ.get("YAMCS_ARCHIVE_INSTANCE")
    with ExitStack() as opened:
        instances = list(_instances(options, options.instance or ([named] if named else []), opened))
        if options.after is not None and len(instances) != 1:
            only([instance.name for instance in instances])
        for instance in instances:
            if to_stdout:
                complain(_written(instance, options))
                continue
            kept = f"no file of it is left in {options.target}"
            with Progress(instance.name, _counted(instance), kept=kept) as progress:
                done = new_backup(
                    _Noted(instance, progress),
                    options.target,
                    incremental=options.incremental,
                    keep=options.keep,
                    rate_bytes_per_s=options.rate,
                )
            print(_said(done), flush=True)
    return 0


def _instances(options: argparse.Namespace, names: list[str], opened: ExitStack) -> Iterator[Target]:
    """Yield the instances; all names are looked up before the first backup is written."""
    where = chosen_target(options)
    if isinstance(where, Path):
        refuse_credentials(options)
        archive = opened.enter_context(open_existing(where, readonly=True))
        yield from map(archive.instance, names or archive.instances())
        return
    client = opened.enter_context(served(options, where))
    yield from map(client.instance, names or client.instances())


def _counted(instance: Target) -> str:
    """Return what is counted of a backup: events here; of a server's stream only the bytes are known."""
    return "events" if isinstance(instance, Instance) else "bytes"


class _Noted:
    """An instance to back up, with the progress of its stream."""

    def __init__(self, instance: Target, progress: Progress) -> None:
        self.name, self._instance, self._progress = instance.name, instance, progress

    def cursor(self) -> str:
        return self._instance.cursor()

    def backup_stream(self, after: str | None = None) -> Iterator[bytes]:
        if isinstance(self._instance, Instance):
            return self._instance.backup_stream(after, progress=self._progress)
        return self._counting(self._instance.backup_stream(after))

    def _counting(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        size_bytes = 0
        for chunk in chunks:
            size_bytes += len(chunk)
            self._progress(size_bytes)
            yield chunk


def _written(instance: Target, options: argparse.Namespace) -> str:
    """Write a backup to stdout; return the line about it."""
    with Progress(
        instance.name, _counted(instance), kept="the stream has no end, and cannot be restored"
    ) as progress:
        return _copied(_Noted(instance, progress), options)


def _copied(instance: _Noted, options: argparse.Namespace) -> str:
    pace = paced(options.rate)
    stdout = sys.stdout.buffer
    manifest: BackupManifest | None = None
    size_bytes = 0
    for piece, manifest in stream_manifest(instance.backup_stream(options.after)):  # noqa: B007  # of the last
        stdout.write(piece)
        size_bytes += len(piece)
        pace(len(piece))
    stdout.flush()
    if manifest is None:
        raise AssertionError("a stream ends with its manifest")
    return f"{_about(manifest)}, {size_bytes} bytes; cursor {manifest.cursor}"


def _said(done: Backup) -> str:
    deleted = f"; {len(done.deleted)} older files deleted" if done.deleted else ""
    return f"{_about(done.manifest)}, {done.bytes} bytes, {done.seconds:.1f} s: {done.path}{deleted}"


def _about(manifest: BackupManifest) -> str:
    kind = "full" if manifest.full else f"after commit {manifest.after_commit}"
    return f"{manifest.instance}: {kind}, {manifest.events} events up to commit {manifest.commit}"
