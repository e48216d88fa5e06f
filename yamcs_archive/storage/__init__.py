"""The storage engine: rows, blocks, and all between them and the medium. LMDB, zstd and numpy only here."""

import signal as _signal

# numpy's linear algebra starts threads when it is imported, and each could take a signal that the process
# means to wait for: then a served archive would not stop. They inherit what is held back at this moment.
_held = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
try:
    import numpy as _numpy  # noqa: F401  # for its threads
finally:
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _held)
