"""What monitoring costs: the server's processor time for each POST, with and without counting, and scraped.

The servers take turns, so that a change of the machine's speed meets all of them. Processor time is that of
the server's process alone, from ``/proc``, so that other load disturbs it less than it does a rate.

    python -m benchmarks.monitoring --posts 15000 --rounds 5
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks import processes
from benchmarks.contenders.archive import INSTANCE
from benchmarks.jobs import Job
from benchmarks.measures.http import load, path
from benchmarks.processes import processor_s
from benchmarks.servers import Running, archive_command, running


@contextmanager
def _scraping(port: int, every_s: float) -> Iterator[list[int]]:
    """Scrape a server until the block ends; yield the sizes of the answers, in bytes."""
    ended, sizes = threading.Event(), list[int]()

    def scrape() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        while not ended.wait(every_s):
            connection.request("GET", "/metrics")
            sizes.append(len(connection.getresponse().read()))
        connection.close()

    thread = threading.Thread(target=scrape)
    thread.start()
    try:
        yield sizes
    finally:
        ended.set()
        thread.join()


def _posted(server: Running, job: Job) -> float:
    """Return the processor time of each POST, in microseconds."""
    before_s = processor_s(server.pid)
    load(job, server.port, path(job, INSTANCE))
    return (processor_s(server.pid) - before_s) / job.events * 1e6


def measured(job: Job, case: str) -> float:
    """Return the processor time of a POST to a new server, in microseconds.

    ``case`` is ``counted``, ``not counted``, or ``counted, scraped``: ten times a second.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = archive_command(Path(folder), INSTANCE)
        if case == "not counted":
            own = processes.command("benchmarks.uncounted")
            command = [*own, *command[command.index("serve") :]]
        with running(command) as server:
            if case != "counted, scraped":
                return _posted(server, job)
            with _scraping(server.port, every_s=0.1) as sizes:
                found = _posted(server, job)
            if not sizes or min(sizes) < 1000:
                raise RuntimeError(f"the scrapes answered {sizes} bytes")
            return found


CASES = ("not counted", "counted", "counted, scraped")


def main(arguments: list[str] | None = None) -> int:
    """Measure, and print the median of each case."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitoring", description=__doc__)
    parser.add_argument("--posts", type=int, default=15_000)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args(arguments)
    job = Job(
        measure="http",
        case="monitoring",
        contender="archive",
        events=given.posts,
        batch_events=1,
        connections=given.connections,
    )
    found: dict[str, list[float]] = {case: [] for case in CASES}
    for _ in range(given.rounds):
        for case in CASES:
            found[case].append(measured(job, case))
    base = median(found[CASES[0]])
    for case, values in found.items():
        spread = f"{min(values):.1f} to {max(values):.1f}"
        print(f"{case:<18} {median(values):7.1f} us a POST ({spread})  {median(values) / base - 1:+.1%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
