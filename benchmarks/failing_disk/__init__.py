"""A disk that is full or broken for a while, at any point: ``python -m benchmarks.failing_disk``.

``fail_writes.c`` makes writes and syncs fail. ``worker`` is the program that runs under it: it works on an
archive while the disk fails, and then goes on with the same open archive. What was acknowledged is held by
the ledger of ``benchmarks.crash``.
"""
