"""Imports numpy with all signals blocked, so that none of its threads receives one.

When numpy is imported, its linear algebra may start threads. If one of them received a signal for which the
process waits, a served archive would not stop. A thread inherits the signals that are blocked when it starts.

Every package that uses numpy imports this module first.
"""

import signal

_blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
try:
    import numpy  # noqa: F401  # for its threads
finally:
    signal.pthread_sigmask(signal.SIG_SETMASK, _blocked)
