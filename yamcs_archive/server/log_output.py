"""Writes the lines of the log to a file or to stderr, on a thread of its own.

1. Whoever logs never waits for the file or for the reader of stderr: a full pipe must not hold up requests.
   Lines wait in memory, up to a bound; then they are dropped and counted.
2. A line that cannot be written is counted too. The next line that can be written comes after one that says
   how many are missing, and why.
3. A file is opened to append, and opened again under the same name on request, so that it can be rotated by
   renaming it.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path

WAITING_BYTES_MAX = 4 << 20
"""Bytes of lines that wait to be written: some 20,000 requests in an access log."""
_FLUSH_S = 1.0
"""Longest time, in seconds, that the end of the process waits for the reader of the log."""
_MODE = 0o640
"""The rights of a log file, before the umask: it has addresses and names of users."""
_STDERR = 2
_DROPPED = "there was no room for them in memory"
_TOGETHER_S = 0.05
"""Seconds that a line below WARNING waits for others, so that they are written together."""


class LogOutput(logging.Handler):
    """A handler of ``logging`` that writes to ``path``, or to stderr if that is None.

    ``note`` makes the record of a line about lines that are missing, of their number and the reason. Raises
    OSError if the file cannot be opened. Start its thread with :meth:`start`, and end it with :meth:`close`.
    """

    def __init__(self, path: Path | None, note: Callable[[int, str], logging.LogRecord]) -> None:
        super().__init__()
        self._path, self._note = path, note
        self._descriptor = _STDERR if path is None else _opened(path)
        self._ready = threading.Condition()
        self._lines: list[bytes] = []
        self._waiting_bytes = 0
        self._urgent = False
        """Whether a line is not to wait for others."""
        self._writing = False
        self._dropped = 0
        """Lines for which there was no room, since the last that had some."""
        self._closing = False
        self._torn = False
        """Whether the last write ended within a line."""
        self._unwritten = (0, "")
        """Lines that could not be written since the last that could, and why."""
        self._thread = threading.Thread(target=self._run, name="yamcs-archive-log", daemon=True)

    def start(self) -> None:
        """Start to write. The thread gets the signal mask of the caller."""
        self._thread.start()

    def handle(self, record: logging.LogRecord) -> bool:
        """Queue a record, without the lock that handlers have: formatting needs none."""
        if passed := self.filter(record):
            self.emit(record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record. It never raises an error of its own: whoever logs has something else to do."""
        try:
            line = self._encoded(record)
        except Exception:  # memory is short, or a formatter is at fault
            with self._ready:
                self._dropped += 1
            return
        with self._ready:
            if self._closing or self._waiting_bytes + len(line) > WAITING_BYTES_MAX:
                self._dropped += 1
                return
            first = not self._lines
            self._lines.append(line)
            self._waiting_bytes += len(line)
            if record.levelno >= logging.WARNING and not self._urgent:
                self._urgent = first = True
            if first:
                self._ready.notify_all()

    def _encoded(self, record: logging.LogRecord) -> bytes:
        return self.format(record).encode("utf-8", "backslashreplace") + b"\n"

    def reopen(self) -> None:
        """Open the file again under its name, after it was renamed. Does nothing for stderr.

        Raises OSError, and then goes on with the old file.
        """
        if self._path is None:
            return
        descriptor = _opened(self._path)
        try:
            os.dup2(descriptor, self._descriptor, inheritable=False)
        finally:
            os.close(descriptor)

    def flush(self) -> None:
        """Wait until all that was logged is written, for a second at most."""
        until_s = time.monotonic() + _FLUSH_S
        with self._ready:
            self._urgent = True
            self._ready.notify_all()
            while (self._lines or self._writing) and self._thread.is_alive():
                if (left_s := until_s - time.monotonic()) <= 0:
                    return
                self._ready.wait(left_s)

    def close(self) -> None:
        """Write what was logged, for a second at most, and end the thread; idempotent."""
        with self._ready:
            self._closing = True
            self._ready.notify_all()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(_FLUSH_S)
        super().close()

    def _run(self) -> None:
        while True:
            with self._ready:
                self._writing = False
                self._ready.notify_all()  # a flush may wait
                self._ready.wait_for(lambda: self._lines or self._closing)
                # Requests are logged in bundles: waking this thread for each would take time from all others.
                self._ready.wait_for(lambda: self._urgent or self._closing, _TOGETHER_S)
                lines, self._lines, self._waiting_bytes = self._lines, [], 0
                dropped, self._dropped = self._dropped, 0
                self._urgent = False
                if not lines and not dropped:
                    return
                self._writing = True
            try:
                note = [self._encoded(self._note(dropped, _DROPPED))] if dropped else []
                self._write(b"".join([*lines, *note]))
            except Exception:  # an error must not end this thread: nothing would be logged any more
                with self._ready:
                    self._dropped += dropped + len(lines)
                    if self._closing:
                        return

    def _write(self, lines: bytes) -> None:
        count, why = self._unwritten
        before = b"\n" if self._torn else b""
        if count:
            before += self._encoded(self._note(count, why))
        content = memoryview(before + lines)
        written = 0
        try:
            while written < len(content):
                written += self._write_some(content[written:])
            self._unwritten = (0, "")
        except OSError as error:
            missing = bytes(content[max(written, len(before)) :]).count(b"\n")
            self._unwritten = (
                missing + (count if written < len(before) else 0),
                error.strerror or str(error),
            )
        if written:
            self._torn = content[written - 1] != ord("\n")

    def _write_some(self, content: memoryview) -> int:
        while True:
            try:
                return os.write(self._descriptor, content)
            except BlockingIOError:  # another process has made the terminal or the pipe non-blocking
                select.select([], [self._descriptor], [])


def _opened(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
