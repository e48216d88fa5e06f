"""What is wrong with a command line, beyond what argparse sees."""

from collections.abc import Mapping
from typing import Any

from yamcs_archive.errors import ArchiveError


class UsageError(ArchiveError):
    """The command line does not say enough; exit status 2, as for what argparse refuses."""


class RemoteError(ArchiveError):
    """The served archive refused, or did not answer; the text says which.

    ``detail`` is that of its answer: empty if the answer has none, None if there was no answer.
    """

    def __init__(self, text: str, detail: Mapping[str, Any] | None = None) -> None:
        super().__init__(text)
        self.detail = detail
