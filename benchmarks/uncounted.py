"""The project's own command with nothing counted for monitors, to measure what counting costs.

Run as ``python -m benchmarks.uncounted serve …``.
"""

from __future__ import annotations

import sys

from yamcs_archive.cli.main import main
from yamcs_archive.http.observation import RequestCounts
from yamcs_archive.storage.write import committer
from yamcs_archive.storage.write.write_counts import WriteCounts


def _nothing(*_: object) -> None:
    pass


def _none(*_: object) -> int:
    return 0


def stop_counting() -> None:
    """Replace what counts by functions that do nothing."""
    setattr(RequestCounts, "note", _nothing)  # noqa: B010  # as a statement it would be ill-typed
    for name in ("committed", "refused"):
        setattr(WriteCounts, name, _nothing)
    vars(committer)["late_in"] = _none


if __name__ == "__main__":
    stop_counting()
    sys.exit(main())
