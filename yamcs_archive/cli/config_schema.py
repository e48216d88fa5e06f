"""``config schema``: print the JSON Schema of a configuration file, for editors."""

from __future__ import annotations

import argparse
import json

from yamcs_archive.server.configuration import file_schema

EPILOG = """examples:
  yamcs-archive config schema > archive.schema.json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Set the command's description and options."""
    parser.description = (
        "Print the JSON Schema of a configuration file, with which editors complete keys and mark faults: for"
        " Taplo and Even Better TOML, begin the file with #:schema archive.schema.json. It has types, bounds"
        " and words; config check knows more about texts."
    )
    parser.epilog = EPILOG
    parser.set_defaults(run=run)


def run(_: argparse.Namespace) -> int:
    """Print the schema."""
    print(json.dumps(file_schema(), indent=2))
    return 0
