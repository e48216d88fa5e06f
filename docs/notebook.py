"""Run the notebooks of docs/notebooks, and keep what they show.

    python docs/notebook.py            # run them, and write their outputs into them
    python docs/notebook.py --check    # run them, and exit 1 if they would show something else

Texts and tables are compared; of a picture only that it is there, because fonts and versions of matplotlib
differ.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent / "notebooks"
ROOT = Path(__file__).parent.parent
CELL_S = 300
"""Longest time of a cell, in seconds."""


def run(path: Path) -> Any:
    """Return a notebook with the outputs of a run in its folder, without what differs from run to run."""
    notebook = nbformat.read(path, as_version=4)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ["TZ"] = "UTC"
    where = {"metadata": {"path": str(FOLDER)}}
    NotebookClient(notebook, timeout=CELL_S, kernel_name="python3", resources=where).execute()
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return notebook


def compared(notebook: Any) -> list[tuple[str, list[object]]]:
    """Return for each cell its source, and of its outputs what is the same in every run."""
    return [
        (cell.source, [_of_output(output) for output in cell.get("outputs", [])]) for cell in notebook.cells
    ]


def _of_output(output: Any) -> object:
    data = output.get("data", {})
    if "image/png" in data:
        return "a picture"
    # The text of a value that has HTML too may say more: when an instance was made, for example.
    return data.get("text/html") or data.get("text/plain") or output.get("text")


def main() -> None:
    """Write, or with ``--check`` compare."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        made = run(path)
        if "--check" not in sys.argv[1:]:
            nbformat.write(made, path)
        elif (kept := compared(nbformat.read(path, as_version=4))) != compared(made):
            pairs = zip(kept, compared(made), strict=True)
            first = next(pair for pair in pairs if pair[0] != pair[1])
            raise SystemExit(f"{path} is stale: run python docs/notebook.py; {first[0]} is {first[1]}")


if __name__ == "__main__":
    main()
