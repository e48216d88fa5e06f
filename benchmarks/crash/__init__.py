"""The crash lab: kill an archive at any moment, open it again, and compare it with what it acknowledged.

    python -m benchmarks.crash --cycles 10000 --served 1000 --seed 1 --state crash.json

A *cycle* is one life of a process: it opens the archive, checks it, works on it, and dies by SIGKILL. A
*history* is some cycles over one archive, driven by one seed. Then the archive is begun anew.

- ``offers``: the events that are offered, from which their contents can be made again; and the *notes*, in
  which a process says what it is about to send and what was acknowledged.
- ``ledger``: what must, may and must not be stored, by the notes so far.
- ``comparison``: an archive beside the ledger; every difference is a fault.
- ``operations``: what the work consists of, one function for each kind; add new kinds there.
- ``worker``: who does it, and tells.
- ``work``: threads that run operations.
- ``lives``: a process that checks and works, and its death; ``served``: the same behind HTTP.
- ``histories``: cycles over one archive; ``state``: their sums in a file.

It says nothing about power cuts, because SIGKILL leaves the page cache alive: :mod:`benchmarks.power_cut`
replays the same work as a medium would have kept it. Start with ``ledger`` and ``operations``.
"""
