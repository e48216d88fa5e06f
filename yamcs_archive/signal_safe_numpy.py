"""Imports numpy so that none of its threads takes a signal.

numpy's linear algebra may start threads when it is imported. Each could take a signal that the process waits
for, and a served archive would then not stop. Threads inherit the signals that are blocked as they start.

Every package whose modules use numpy imports this module first.
"""

import signal

_blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
try:
    import numpy  # noqa: F401  # for its threads
finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked)
