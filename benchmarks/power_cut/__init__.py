"""The power-cut lab: record what an archive really writes, and open what a medium may have kept of it.

    python -m benchmarks.power_cut --states 5000 --seed 1 --state power-cut.json

SIGKILL leaves the page cache alive, so the crash lab (:mod:`benchmarks.crash`) says nothing about the loss of
power. Here the same work runs under an interposed library, and its record is replayed on a model of a medium.

- ``record_writes.c``: the library; ``recording``: builds it, runs the work under it, reads the record.
- ``worker``: the program that is recorded.
- ``medium``: what a medium has for certain and what it may have, at each point of a record.
- ``states``: the states in which a power cut at that point may leave it.
- ``replay``: walks a record, makes states of it, and opens each in a fork.

Start with ``medium``.
"""
