"""The fixture of the command line: files are written and read by commands, too."""

from tests.cli.conftest import run

__all__ = ["run"]
