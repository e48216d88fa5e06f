"""Makes lines in a thread of its own, and prints them in the main thread.

A KeyboardInterrupt is raised in the main thread, between any two of its steps. So the main thread of a
command that reads for long only prints. Lines made ahead are bounded, in number and in characters.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue

_LINES_AHEAD_MAX = 256
_CHARACTERS_AHEAD_MAX = 64 << 10
_PAUSE, _END = object(), object()


class Printer:
    """Prints lines as they are made.

    >>> Printer(iter(["a", "b"])).run(flush=False)
    a
    b
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._made: SimpleQueue[object] = SimpleQueue()
        self._printed: SimpleQueue[None] = SimpleQueue()
        self._printed.put(None)
        self._printing = False
        threading.Thread(target=self._make, args=(lines,), name="archive-lines", daemon=True).start()

    def run(self, *, flush: bool) -> None:
        """Print all lines; if making them fails, raise that error."""
        while True:
            made = self._made.get()
            if made is _END:
                return
            if isinstance(made, BaseException):
                raise made
            self._printing = True
            if made is _PAUSE:
                self._printed.put(None)
            else:
                print(made, flush=flush)
            self._printing = False

    @property
    def all_printed(self) -> bool:
        """Whether every line that was made is printed."""
        return not self._printing and self._made.empty()

    def _make(self, lines: Iterator[str]) -> None:
        ahead = characters = 0
        try:
            for line in lines:
                self._made.put(line)
                ahead, characters = ahead + 1, characters + len(line)
                if ahead >= _LINES_AHEAD_MAX or characters >= _CHARACTERS_AHEAD_MAX:
                    self._made.put(_PAUSE)
                    self._printed.get()
                    ahead = characters = 0
            self._made.put(_END)
        except BaseException as error:  # raised again in the main thread
            self._made.put(error)
