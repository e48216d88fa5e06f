"""Configures ``logging`` for a serving process, and takes it back at the end.

The library itself only logs, under ``yamcs_archive``, and attaches nothing but a NullHandler: a program that
embeds it decides. ``serve`` is such a program.

1. Records of ``yamcs_archive`` are written from the level of the settings on, those of other packages from
   WARNING on. The access log has a logger of its own, which the level does not silence.
2. The journal of systemd gets lines with priorities, if stderr is the journal.
3. An error that ends a thread is a record too: its text may come from a client, and must not forge lines.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from yamcs_archive.server.access_log import ACCESS
from yamcs_archive.server.log_lines import JournalLines, JsonLines, TextLines
from yamcs_archive.server.log_output import LogOutput
from yamcs_archive.server.settings import Settings

_log = logging.getLogger(__name__)
_PACKAGE = "yamcs_archive"
_STDERR = 2


class Logs:
    """The log of a serving process, while :func:`logs` is entered."""

    def __init__(self, settings: Settings) -> None:
        """Raises OSError if the file cannot be opened."""
        self._output = LogOutput(settings.log_file, _note)
        self._output.setFormatter(_formatter(settings))
        self.start_level = logging.DEBUG if settings.log_file is None else logging.INFO
        """The level of records about the start and the stop, which stdout and its reader know as well."""

    def set_level(self, name: str) -> None:
        """Write records of this package from that level on: ``debug`` to ``critical``."""
        logging.getLogger(_PACKAGE).setLevel(name.upper())

    def reopen(self) -> None:
        """Open the file again under its name. A failure is logged, in the old file."""
        try:
            self._output.reopen()
        except OSError as error:
            _log.error("the log file is not opened again, and the old one is used: %s", error)
        else:
            _log.log(self.start_level, "the log file is opened again")

    def flush(self) -> None:
        """Wait until all is written, for a second at most."""
        self._output.flush()

    def attach(self) -> None:
        """Take the records of all loggers."""
        self._output.start()
        logging.getLogger().addHandler(self._output)

    def detach(self) -> None:
        """Write what there is, and take no more."""
        logging.getLogger().removeHandler(self._output)
        self._output.close()


@contextmanager
def logs(settings: Settings) -> Iterator[Logs]:
    """Log as the settings say, until the block ends. Raises OSError if the log file cannot be opened.

    A thread is started, with the signal mask of the caller.
    """
    log = Logs(settings)
    levels = {logger: logger.level for logger in map(logging.getLogger, (None, _PACKAGE, ACCESS))}
    hooks = threading.excepthook, sys.unraisablehook
    try:
        logging.getLogger().setLevel(logging.WARNING)
        log.set_level(settings.log_level)
        logging.getLogger(ACCESS).setLevel(logging.INFO)
        threading.excepthook, sys.unraisablehook = _thread_ended, _not_raised
        log.attach()
        yield log
    finally:
        threading.excepthook, sys.unraisablehook = hooks
        log.detach()
        for logger, level in levels.items():
            logger.setLevel(level)


def _formatter(settings: Settings) -> logging.Formatter:
    journal = settings.log_file is None and is_journal(os.environ.get("JOURNAL_STREAM", ""))
    if settings.log_format == "json":
        return JournalLines(JsonLines()) if journal else JsonLines()
    return JournalLines() if journal else TextLines()


def is_journal(stream: str) -> bool:
    """Return whether stderr is the journal: whether ``stream``, the value of JOURNAL_STREAM, names it.

    >>> is_journal("")
    False
    """
    try:
        status = os.fstat(_STDERR)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def _note(count: int, why: str) -> logging.LogRecord:
    text = "%d lines of the log are missing here: %s"
    return _log.makeRecord(_log.name, logging.WARNING, __file__, 0, text, (count, why), None)


def _thread_ended(given: threading.ExceptHookArgs) -> None:
    if given.exc_type is SystemExit:
        return
    name = given.thread.name if given.thread is not None else "a thread"
    error: Any = (given.exc_type, given.exc_value, given.exc_traceback)
    _log.error("%s ended", name, exc_info=error)


def _not_raised(given: sys.UnraisableHookArgs) -> None:
    error: Any = (given.exc_type, given.exc_value, given.exc_traceback)
    _log.error("%s: %r", given.err_msg or "an error that could not be raised", given.object, exc_info=error)
