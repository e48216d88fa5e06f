"""Loads pyarrow, which is optional, when something of it is first needed.

1. Without it the error says what to install.
2. Like numpy it starts threads, which must take no signal (:mod:`~yamcs_archive.signal_safe_numpy`).
"""

from __future__ import annotations

import signal
import sys
from importlib import import_module
from typing import Any

from yamcs_archive.errors import MissingPackageError
from yamcs_archive.missing_packages import advice

EXTRA = "arrow"


def load(module: str = "pyarrow") -> Any:
    """Return a module of pyarrow, or of another package that tables are given to.

    Raises MissingPackageError if the package is not installed.

    >>> load("pyarrow").__name__
    'pyarrow'
    >>> load("nosuch.parquet")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.MissingPackageError: this needs the package nosuch: install it: ...
    """
    loaded = sys.modules.get(module)
    if loaded is not None:
        return loaded
    package = module.partition(".")[0]
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != package:
            raise  # a package that is there lacks another one, and its own error says so
        remedy = (
            advice(EXTRA)
            if package == "pyarrow"
            else f"install it: {sys.executable} -m pip install {package}"
        )
        raise MissingPackageError(package, remedy) from None
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
