"""``verify``: read everything that is stored, or all of a backup, and say what is wrong."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from yamcs_archive.backups import verify_backup, verify_backup_stream
from yamcs_archive.cli.credential_options import refuse_credentials
from yamcs_archive.cli.fault_lines import fault_line
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.standard_streams import complain
from yamcs_archive.cli.target import add_target_options, chosen_target, open_existing, served
from yamcs_archive.cli.usage_error import UsageError
from yamcs_archive.errors import ArchiveDataError, shown
from yamcs_archive.results import BackupCheck, Verification

EPILOG = """examples:
  yamcs-archive verify --data ops-data
  yamcs-archive verify --data ops-data --quick simulator bench
  yamcs-archive verify --url http://ops:8090 simulator
  yamcs-archive verify /backups
"""
_SOUND, _FAULTY, _UNREAD, _INTERRUPTED = 0, 1, 2, 130
"""How the process that reads an instance ends; ``_UNREAD``: nobody reads what it prints."""
_UNCHANGED = "nothing was changed"
_ENDS_S = 0.5
"""Seconds after which a process that was interrupted has ended."""
_DAMAGE_SIGNALS = (signal.SIGBUS, signal.SIGSEGV, signal.SIGABRT)


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Read everything that is stored and compare its parts: checksums, the commit log, the order of"
        " the events, zone maps, sources, and commits. Prints a line for each instance and one for each"
        " fault, and exits with 1 if there is any. Nothing is changed; others may read and write"
        " meanwhile. With --url the server reads, which must allow it (the permission ManageArchive;"
        " without users, serve --allow-operations). Without both, COPY is a folder of backups, a backup's"
        " file, or -: all of it is read and compared with its manifest."
    )
    parser.epilog = EPILOG
    add_target_options(parser, instance=False)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="read only the commit log, and the first and the last values of each kind: a fraction of a"
        " second at any size",
    )
    parser.add_argument(
        "instances",
        metavar="INSTANCE|COPY",
        nargs="*",
        help="with --data or --url: instances, default: all; without them: backups",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Verify one instance, or one backup, after the other."""
    if options.data is None and options.url is None and any(map(_is_copy, options.instances)):
        return _verify_copies(options)
    try:
        where = chosen_target(options)
    except UsageError as error:
        if options.instances:
            missing = ", ".join(map(shown, options.instances))
            raise UsageError(f"there is no file or folder {missing} with backups, and {error}") from None
        raise
    if isinstance(where, str):
        return _run_there(options, where)
    refuse_credentials(options)
    return _run_here(options, where)


def _run_there(options: argparse.Namespace, url: str) -> int:
    """Have a server verify its instances."""
    worst = _SOUND
    with served(options, url) as client:
        for name in options.instances or client.instances():
            with Progress(name, kept=_UNCHANGED) as progress:
                found = client.instance(name).verify(quick=options.quick, progress=progress)
            _print_report(name, found, quick=options.quick)
            sys.stdout.flush()
            worst = max(worst, _FAULTY if found.fault_count else _SOUND)
    return worst


def _run_here(options: argparse.Namespace, directory: Path) -> int:
    """Verify instances, each in a process of its own.

    LMDB reads its file through memory: if its own pages are damaged, a signal may end the process.
    """
    with open_existing(directory, readonly=True) as archive:
        known = archive.instances()
        for name in options.instances:
            if name not in known:
                archive.instance(name)  # raises
    worst = _SOUND
    for name in options.instances or known:
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _verify_and_exit(options, directory, name)
        worst = max(worst, _status_of(child, name))
    return worst


def _is_copy(text: str) -> bool:
    """Return whether an argument is a backup: stdin, a path, or the name of something that is there."""
    return text == "-" or os.sep in text or os.path.exists(text)


def _verify_copies(options: argparse.Namespace) -> int:
    """Verify backups; print a line for each file."""
    if options.quick:
        raise UsageError("--quick is for --data; a backup is read as a whole")
    worst = _SOUND
    for copy in options.instances:
        with Progress(copy, kept=_UNCHANGED):
            checks = verify_backup_stream(sys.stdin.buffer.read, "-") if copy == "-" else verify_backup(copy)
        if not checks:
            checks = [BackupCheck(copy, None, "there is no backup in it")]
        for check in checks:
            print(f"{check.where}: {_found(check)}", flush=True)
            worst = max(worst, _SOUND if check.fault is None else _FAULTY)
    return worst


def _found(check: BackupCheck) -> str:
    manifest = check.manifest
    if manifest is None:
        return check.fault or ""
    about = (
        f"{manifest.instance}, {'full' if manifest.full else f'after commit {manifest.after_commit}'},"
        f" {manifest.events} events up to commit {manifest.commit}, content {manifest.content}"
    )
    return f"{about}: {check.fault or 'no faults'}"


def _status_of(child: int, name: str) -> int:
    """Wait for the process that reads an instance, and return its status."""
    try:
        _, ended = os.waitpid(child, 0)
    except KeyboardInterrupt:  # a terminal interrupts both; whoever interrupts only this process means both
        _interrupt(child)
        raise
    if not os.WIFSIGNALED(ended):
        status = os.waitstatus_to_exitcode(ended)
        if status == _UNREAD:
            raise BrokenPipeError
        if status == _INTERRUPTED:
            raise KeyboardInterrupt
        return status
    number = os.WTERMSIG(ended)
    if number not in _DAMAGE_SIGNALS:
        complain(f"{name}: the verification was ended by {signal.Signals(number).name}")
        return _FAULTY
    print(f"{name}: LMDB's own pages are damaged, or its file is cut short: {signal.Signals(number).name}")
    return _FAULTY


def _interrupt(child: int) -> None:
    """Wait until the process that reads an instance has ended, and interrupt it if it was not.

    A terminal interrupts both: a second interrupt could take the line about what is done.
    """
    with suppress(ProcessLookupError, ChildProcessError):
        until_s = time.monotonic() + _ENDS_S
        while time.monotonic() < until_s:
            if os.waitpid(child, os.WNOHANG)[0]:
                return
            time.sleep(0.01)
        os.kill(child, signal.SIGINT)
        os.waitpid(child, 0)


def _verify_and_exit(options: argparse.Namespace, directory: Path, name: str) -> None:
    """Verify an instance, and end this process."""
    status = _FAULTY
    try:
        status = _verify(options, directory, name)
        sys.stdout.flush()
    except BrokenPipeError:
        status = _UNREAD
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except BaseException as error:
        complain(f"{name}: {error}")
    finally:
        os._exit(status)


def _verify(options: argparse.Namespace, directory: Path, name: str) -> int:
    try:
        with Progress(name, kept=_UNCHANGED) as progress, open_existing(directory, readonly=True) as archive:
            found = archive.instance(name).verify(quick=options.quick, progress=progress)
    except ArchiveDataError as error:
        print(f"{name}: {error}")
        return _FAULTY
    if found is None:  # it was cancelled, which nobody does here
        return _FAULTY
    _print_report(name, found, quick=options.quick)
    return _FAULTY if found.fault_count else _SOUND


def _print_report(name: str, found: Verification, *, quick: bool) -> None:
    faults = "1 fault" if found.fault_count == 1 else f"{found.fault_count or 'no'} faults"
    events = "at both ends" if quick else f"{found.events} events in"
    print(
        f"{name}: {events} {found.blocks} blocks, {found.young_events} young,"
        f" {found.commits} commits, {found.sources} sources: {faults}, {found.seconds:.1f} s"
    )
    for fault in found.faults:
        print(f"{name}: {fault_line(fault)}")
    if found.fault_count > len(found.faults):
        print(f"{name}: and {found.fault_count - len(found.faults)} more faults")
