"""The fixtures of the command line: files are imported by a command, too."""

from tests.cli.conftest import data, run

__all__ = ["data", "run"]
