"""A small file system that is really full, at every point of the work: ``python -m benchmarks.full_disk``.

``mounts`` makes small file systems, tmpfs and ext4, for one process alone. ``filling`` leaves so many blocks
of one free. ``steps`` are what an archive is asked for then; each is tried with no block free, with one, and
so on, until it finds all that it needs. ``point`` is one of these tries, in a process of its own: the step,
what must be true while there is no room, and what must be true once there is room again, without a restart.
What was acknowledged is held by the ledger of ``benchmarks.crash``.
"""
