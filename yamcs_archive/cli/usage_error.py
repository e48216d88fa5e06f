"""Errors of a command line that argparse cannot find."""

from yamcs_archive.errors import ArchiveError


class UsageError(ArchiveError):
    """The command line is incomplete or contradictory. The exit status is 2, as for argparse's errors."""
