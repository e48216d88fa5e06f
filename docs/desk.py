"""Write docs/desk.md: commands of somebody who asks what happened in a day, and what they printed.

    python docs/desk.py            # run the commands, and write
    python docs/desk.py --check    # run them, and exit 1 if the page would say something else

The commands are run as those of docs/first_ten_minutes.py are.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from first_ten_minutes import Step, keep, page  # noqa: E402  # it is beside this file

_HEAD = """# At the desk

`python docs/desk.py` ran these commands and wrote this page; a test runs them again. They ask what happened
in a day, on a terminal; [a notebook](notebooks/a_day_of_events.ipynb) asks about the same day. The day is
simulated, by a program that is beside the notebook. They need an installation with the extra `notebook`.
"""
_LOG = """\
Nov 23 16:40:58 gs1 antenna[812]: Elevation 12 degrees, tracking
Nov 23 16:41:03 gs1 alarms[77]: Safe mode reported by spacecraft
Nov 23 16:44:10 gs1 antenna[812]: End of pass
"""
_ASK = """\
import duckdb

duckdb.sql('''
    select severity, count(*) as events, min(time) as first
    from 'day.parquet' where level > 1 group by all order by first
''').show()
"""
_IMPORT = (
    "yamcs-archive events import messages.log --format syslog --year 2026 --timezone UTC --instance ground"
)
STEPS = (
    Step(
        "A day in a directory",
        "No server is needed. Every command works on a served archive too, with `--url`.",
        (
            "mkdir day; python simulated_day.py day",
            "export YAMCS_ARCHIVE_DATA=day/archive",
            "yamcs-archive stats",
            "yamcs-archive events sources",
            "yamcs-archive events count --severity warning",
        ),
    ),
    Step(
        "What was bad",
        "Filters are those of the Yamcs events API. Columns and formats are for other programs.",
        (
            "yamcs-archive events log -n all --severity distress",
            "yamcs-archive events log -n 3 --filter 'source=aocs -nominal'",
            "yamcs-archive events log -n 3 --type WHEEL --format csv --columns time,severity,message,extra",
        ),
    ),
    Step(
        "What a pass does not tell by itself",
        "The [report](report.md) reads a window once: numbers that are missing, clocks that jumped, what came"
        " late, what was never said before.",
        ("yamcs-archive report --since 2026-11-23T06:00:00Z --until 2026-11-23T20:00:00Z",),
    ),
    Step(
        "The log of another machine",
        "What it would become comes first, then the import; a second one adds nothing.",
        (
            "cat messages.log",
            f"{_IMPORT} --dry-run",
            _IMPORT,
            _IMPORT,
            "yamcs-archive events log --instance ground",
        ),
    ),
    Step(
        "Into a file for others",
        "Every column, in one of the [formats of files](files.md); here for a question in SQL, and back.",
        (
            "yamcs-archive events export day.parquet --instance day",
            "cat ask.py",
            "python ask.py",
            "yamcs-archive events import day.parquet --data copy --instance day",
        ),
    ),
)


def made() -> str:
    """Run the commands, and return the page."""
    day = (HERE / "notebooks" / "simulated_day.py").read_text(encoding="utf-8")
    return page(_HEAD, STEPS, {"simulated_day.py": day, "messages.log": _LOG, "ask.py": _ASK})


if __name__ == "__main__":
    keep(made(), HERE / "desk.md")
