"""The page with the figures: ``python -m benchmarks.page`` writes docs/performance.md from what a run left.

Nobody edits the page: its text is here, its figures are in ``docs/performance/results.json``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.report import Document, from_json, to_text

RESULTS = Path("docs/performance/results.json")
PAGE = Path("docs/performance.md")

_TEXT = """\
# Performance

`python -m benchmarks.page` writes this page from `{results}`; do not edit it.
In a checkout `make bench` repeats the run (`make bench ARGS="--quick"` in two minutes, `ARGS=--help` for
the options). These commands ran, at these times:

{runs}

Each figure is the median of its runs, with half of their spread in percent if there were several. All
contenders got the same events (200 sources of very uneven activity, messages of about 85 characters) in the
same run, each in a process of its own, in turns, on an empty directory. A rate counts until everything is
synced and, for the archive, stored in its final form; over HTTP too. A single append is the call that each
contender has for one event; a batch of 1 is a batch. Bytes per event are those on the disk after each
contender's own compaction (LMDB's compacting copy, VACUUM, compact_range). Queries ran with the files in the
page cache. A run whose full scan does not return the right events is reported as wrong.

- **raw lmdb** is the upper limit: `putmulti` of pairs that were encoded before the clock started, without
  checks, without numbers and without any record of arrival order; **raw lmdb append** also promises LMDB
  that keys only rise. All others start from `Event` objects.
- **sqlite** is a table without rowid on the same key; **sqlite indexed** has indexes on source and severity.
- **rocksdb** is rocksdict with zstd; its put overwrites, so it needs no look-up for first-write-wins.
- Logging: **null** handles nothing, **queue** is the standard QueueHandler, **file** its FileHandler, which
  syncs nothing; only with the archive's handler a record is durable.
- **duckdb** is one table without a key or an index, filled from Arrow; **parquet** is one file for each batch
  (zstd, row groups of 50,000), joined at rest. Neither refuses a retry: what came late or twice is put in
  order once, and that time counts. They take part in large batches and in queries.
- **yamcs**, if it took part, is a real server. It does not sync before it answers.
- Full runs have 1,000,000 events, except for batches of 100 (200,000), batches of 1 (5,000), single appends
  (10,000), commits of one event each (50,000), POSTs (15,000, and as many to warm up) and messages of 1 MiB
  (one in 1,000 of 200,000). If several commands are listed above, a measure has the figures of the last one
  that it took part in. So a ratio of two measures (a batch over HTTP and `append_many`, bytes of a Yamcs
  server) may come from two commands; the contenders of one measure ran in one command. A figure without a
  spread comes from one run; a goal that is met or missed by less than the spread may change sides next time.
- Memory of a served archive (500 messages of 1 MiB): each load has a server of its own, which starts with
  some 32 MiB; clients read and send as fast as they can.
- HTTP: the load generator is a process of its own on the same machine and takes a share of its cores.

[measurements.md](measurements.md#goals-not-reached) has what was tried for each goal of the last table that
was not reached, and what limits it.

```text
{tables}```
{plots}"""


def page(document: Document, plots: list[str]) -> str:
    """Return the page's Markdown; ``plots`` are paths of images, seen from the page.

    >>> "# Performance" in page(Document({}, {}, [], []), [])
    True
    """
    return _TEXT.format(
        results=RESULTS,
        runs="\n".join(f"    {run.command}  # {run.taken}" for run in document.runs),
        tables=to_text(document),
        plots="".join(f"\n![{Path(plot).stem}]({plot})\n" for plot in plots),
    )


def current(root: Path) -> str:
    """Return what the page below ``root`` should be, from the results and plots that lie there."""
    plots = sorted((root / RESULTS.parent).glob("*.png"))
    return page(
        from_json((root / RESULTS).read_bytes()), [f"{RESULTS.parent.name}/{plot.name}" for plot in plots]
    )


def main() -> int:
    """Write the page of the working directory; 1 when there are no results."""
    if not RESULTS.exists():
        print(f"no {RESULTS}: run python -m benchmarks --output {RESULTS.parent}", file=sys.stderr)
        return 1
    PAGE.write_text(current(Path.cwd()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
