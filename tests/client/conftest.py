"""The fixture of the command line: its commands go through the same client."""

from tests.cli.conftest import run

__all__ = ["run"]
