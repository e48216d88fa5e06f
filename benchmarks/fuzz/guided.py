"""``python -m benchmarks.fuzz.guided TARGET``: feed a target by coverage, with atheris.

Needs ``pip install atheris``, which the project does not depend on. All further arguments are those of
libFuzzer: for instance ``-runs=100000`` or ``-max_total_time=600``. An input that shows a fault is written to
a file; its name as the last argument feeds it again.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def main(arguments: list[str]) -> None:
    """Feed one target; ends with the process."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["yamcs_archive"]):
        from benchmarks.fuzz.__main__ import TARGETS  # noqa: PLC0415  # instrumented as it is imported
    if not arguments or arguments[0] not in TARGETS:
        names = ", ".join(TARGETS)
        raise SystemExit(f"usage: python -m benchmarks.fuzz.guided TARGET [OPTION...]\nTARGET: {names}")
    name, *options = arguments
    target = TARGETS[name]
    take = target.start()

    def feed(text: bytes) -> None:
        take(text)

    with TemporaryDirectory() as corpus:
        for number, one in enumerate(target.valid):
            (Path(corpus) / str(number)).write_bytes(one)
        atheris.Setup([sys.argv[0], *options, corpus], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
