"""``upgrade``: say what another version has written, and bring it forward."""

from __future__ import annotations

import argparse

from yamcs_archive.archive import Archive
from yamcs_archive.cli.progress import Progress
from yamcs_archive.cli.target import add_directory_option, chosen_directory, open_existing
from yamcs_archive.errors import ArchiveError
from yamcs_archive.instance import Instance
from yamcs_archive.results import StoredForms

EPILOG = """examples:
  yamcs-archive upgrade --data ops-data --check
  yamcs-archive upgrade --data ops-data
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Say of each instance in which format it is stored, and whether this version reads it and would"
        " rewrite some of it. With --check nothing is changed, and a server may have the archive open;"
        " otherwise what earlier versions have written is rewritten now, which a server does by itself after"
        " a while. Exit status 1 if an instance cannot be read, and with --check if something is left to do."
    )
    parser.epilog = EPILOG
    add_directory_option(
        parser, instead="a server brings its archive forward by itself; look at its directory with --data DIR"
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("instances", metavar="INSTANCE", nargs="*", help="an instance; default: all")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Look at the instances, and bring them forward unless that is not wanted."""
    directory = chosen_directory(options)
    with open_existing(directory, readonly=True) as archive:
        found = {name: _found(archive, name) for name in options.instances or archive.instances()}
        if options.check:
            outcomes = [_checked(name, forms) for name, forms in found.items()]
    if not options.check:
        with open_existing(directory, readonly=False) as archive:
            outcomes = [_handled(archive, name, forms) for name, forms in found.items()]
    return 0 if all(outcomes) else 1


def _found(archive: Archive, name: str) -> StoredForms | ArchiveError:
    """Return in which forms an instance is stored, before a writer opens it: that changes the first of them;
    or why that cannot be told.
    """
    try:
        return archive.instance(name).stored_forms()
    except ArchiveError as error:
        return error


def _checked(name: str, forms: StoredForms | ArchiveError) -> bool:
    """Print what there is to say of an instance; return whether all is as it should be."""
    if isinstance(forms, ArchiveError):
        print(f"{name}: cannot be read by this version: {forms}", flush=True)
        return False
    print(f"{name}: format {forms.format}, {_told(forms)}", flush=True)
    return forms.is_current


def _handled(archive: Archive, name: str, forms: StoredForms | ArchiveError) -> bool:
    """Do the same, and bring the instance forward."""
    if _checked(name, forms):
        return True
    if isinstance(forms, ArchiveError):
        return False
    try:
        return _upgraded(archive.instance(name))
    except ArchiveError as error:
        print(f"{name}: cannot be brought forward: {error}", flush=True)
        return False


def _upgraded(instance: Instance) -> bool:
    with Progress(f"{instance.name}: rewriting", kept="the rest is rewritten when the archive is next open"):
        instance.settle()
    after = instance.stored_forms()
    if after.is_current:
        print(f"{instance.name}: brought forward", flush=True)
    else:
        print(f"{instance.name}: {_told(after)}: see what `verify` finds", flush=True)
    return after.is_current


def _told(forms: StoredForms) -> str:
    found = []
    if forms.format < forms.newest_format:
        found.append(f"to become format {forms.newest_format}")
        if forms.rows:
            found.append(f"{forms.rows} events outside of blocks")
    if forms.uncounted_zone_maps:
        found.append(f"{forms.uncounted_zone_maps} of {forms.zone_maps} zone maps without counts")
    if forms.large_blocks:
        found.append(f"{forms.large_blocks} of {forms.blocks} blocks with large frames")
    damaged = f"; {forms.damaged} values are damaged: see verify" if forms.damaged else ""
    if not found:
        return f"nothing to do{damaged}"
    return f"of an earlier version: {', '.join(found)}; opening it for writing rewrites these{damaged}"
