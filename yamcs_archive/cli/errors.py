"""What is wrong with a command line, beyond what argparse sees."""

from yamcs_archive.errors import ArchiveError


class UsageError(ArchiveError):
    """The command line does not say enough; exit status 2, as for what argparse refuses."""
