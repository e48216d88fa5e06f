"""The harness: what the archive is measured by, beside what a user would take instead of it.

``python -m benchmarks --help`` says how to run it. The rules that every measure keeps:

1. Contenders start from the same ``Event`` objects (raw LMDB, the limit, from ready-made pairs), with
   the same durability: what is counted was synced before the clock stopped.
2. Each run is a process of its own, on an empty directory; contenders take turns (A B A B), so that a
   machine that slows down slows all of them.
3. A run ends with a digest of what a full scan gives back. A run whose digest is not that of the
   workload is reported as wrong, whatever its figures.
4. Nothing here is imported by the package.
"""
