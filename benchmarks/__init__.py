"""The harness: it measures the archive beside its alternatives.

``python -m benchmarks --help`` shows how to run it. Every measure follows these rules:

1. Contenders start from the same ``Event`` objects (raw LMDB, the limit, from ready-made pairs), with the
   same durability: all counted events were synced before the clock stopped.
2. Each run is a process of its own, on an empty directory. Contenders take turns (A B A B), so that a machine
   that slows down slows all of them.
3. A run ends with a digest of the events of a full scan. If it is not the digest of the workload, the run is
   reported as wrong, with any figures.
4. The package imports nothing of the harness.
"""
