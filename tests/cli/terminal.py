"""A terminal that runs a program, for tests of what people see."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping

from tests.child import ROOT, WAIT_S, stopping

_started: list[Terminal] = []


def close_all() -> None:
    """Close the terminals that were opened, also after a failure: at the end of each test."""
    while _started:
        _started.pop().close()


class Terminal:
    """A terminal for the stderr of a program, or for all its streams, with all that it was sent."""

    def __init__(
        self,
        *arguments: object,
        columns: int | None = None,
        whole: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """``whole``: it is stdin and stdout too, and the program leads a session of its own there."""
        self._ours, theirs = pty.openpty()
        if columns is not None:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=theirs if whole else subprocess.PIPE,
            stdout=theirs if whole else subprocess.DEVNULL,
            stderr=theirs,
            start_new_session=whole,
        )
        os.close(theirs)
        self.sent = ""
        _started.append(self)

    def read(self, until: Callable[[str], object]) -> None:
        give_up = time.monotonic() + WAIT_S
        while not until(self.sent):
            assert time.monotonic() < give_up, self.sent
            if not self._read():
                assert until(self.sent), self.sent
                return

    def _read(self) -> bool:
        try:
            more = os.read(self._ours, 4096)
        except OSError:  # the program has closed it
            return False
        self.sent += more.decode()
        return bool(more)

    def type(self, text: str) -> None:
        """Type some keys."""
        os.write(self._ours, text.encode())

    def end(self) -> int:
        """Read to the end, and return the exit status."""
        while self._read():
            pass
        self.process.communicate(timeout=WAIT_S)
        return self.process.returncode

    def close(self) -> None:
        """Kill the program if it still runs, and leave the terminal."""
        with stopping(self.process):
            os.close(self._ours)

    @property
    def shown(self) -> list[str]:
        """The lines that a person sees when all is sent."""
        lines = []
        for line in self.sent.replace("\r\n", "\n").split("\n"):
            cells: list[str] = []
            for part in line.split("\r"):
                cells[: len(part)] = part
            lines.append("".join(cells).rstrip())
        return [line for line in lines if line]
