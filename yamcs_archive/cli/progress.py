"""How far long work is, on stderr: a line that is renewed on a terminal, and nothing anywhere else.

1. The work only notes numbers, which costs nothing. A thread draws the line, a few times a second: so it also
   moves while the work is silent. The thread ends with the work, and never keeps the process alive.
2. The line is gone when the work ends, whatever ended it. After an interrupt, one line says what is done, on
   a terminal or not.
3. Nothing here fails: a terminal that is gone must not end the work.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import NamedTuple, Self

from yamcs_archive.cli.standard_streams import complain, say
from yamcs_archive.printable import printable

_FIRST_DRAWN_S, _DRAWN_EVERY_S = 0.5, 0.25
"""Seconds until the line is drawn first, so that short work shows none, and between two drawings."""
_SAMPLES_MAX = 60
"""Drawings over which the rate is taken: a quarter of a minute."""
_COLUMNS_DEFAULT = 80
_SIZES = ("B", "kB", "MB", "GB", "TB")


class Noted(NamedTuple):
    """What was noted at a moment, in seconds: how much is done, of how much, and what share of the whole."""

    time_s: float
    done: int
    all: int | None = None
    share: float | None = None


class Progress:
    """Shows how far a piece of work is, while it is used as a context manager.

    ``label`` says what the work is on, ``unit`` what it counts: "events", or "bytes", which are shown as
    sizes. ``kept`` is what an interrupt leaves, in words: the end of the line after it. Call the object with
    the number that is done and that of all, as often as is convenient, from any thread. Where the number of
    all is not known, ``share`` may say what part of the whole is done, from 0 to 1. Work that never calls it
    shows the time that it takes.

    >>> with Progress("sim") as progress:
    ...     progress(1000, 5000)
    """

    def __init__(self, label: str, unit: str = "events", *, kept: str = "") -> None:
        self.label, self._unit, self._kept = label, unit, kept
        self._noted: tuple[int, int | None, float | None] | None = None
        self._begun_s = time.monotonic()
        self._samples: deque[Noted] = deque(maxlen=_SAMPLES_MAX)
        self._drawing = threading.Lock()
        self._drawn = 0
        """Characters of the line that is on the terminal."""
        self._ended = threading.Lock()

    def __call__(self, done: int, all_: int | None = None, *, share: float | None = None) -> None:
        """Note how much is done, and how much there is in all or what share of it; None: nobody knows."""
        self._noted = (done, all_, share)

    def __enter__(self) -> Self:
        self._begun_s = time.monotonic()
        self._ended.acquire()
        if _is_terminal():
            with suppress(RuntimeError):  # the system refuses another thread
                threading.Thread(target=self._draw_on, name="archive-progress", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.release()
        with self._drawing:
            self._erase()
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            kept = f"; {self._kept}" if self._kept else ""
            complain(f"interrupted: {printable(self.label)}{self._done()}{kept}")

    def say(self, line: str) -> None:
        """Print a line on stderr, above that of the progress."""
        with self._drawing:
            self._erase()
            say(line)

    def _done(self) -> str:
        if self._noted is None:
            return ""
        return f": {amount(Noted(0, *self._noted), self._unit)}"

    def _draw_on(self) -> None:
        wait_s = _FIRST_DRAWN_S
        while not self._ended.acquire(timeout=wait_s):
            wait_s = _DRAWN_EVERY_S
            with self._drawing:
                if self._ended.locked():
                    self._draw()
        self._ended.release()

    def _draw(self) -> None:
        now_s = time.monotonic()
        text = printable(self.label)
        if self._noted is None:
            text += f", {duration(now_s - self._begun_s)}"
        else:
            noted = Noted(now_s, *self._noted)
            if self._samples and noted.done < self._samples[-1].done:
                self._samples.clear()  # another count begins, that of the next instance for example
            self._samples.append(noted)
            text += f": {amount(noted, self._unit)}{pace(self._samples, self._unit)}"
        text = text[: _columns() - 1]  # a full line would move the cursor to the next one
        self._write(f"\r{text.ljust(self._drawn)}")
        self._drawn = len(text)

    def _erase(self) -> None:
        if self._drawn:
            self._write(f"\r{' ' * self._drawn}\r")
            self._drawn = 0

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):
            sys.stderr.write(text)
            sys.stderr.flush()


def amount(noted: Noted, unit: str) -> str:
    """Return how much is done, of how much if that is known.

    >>> amount(Noted(0, 1_230_000, 10_000_000), "events"), amount(Noted(0, 5_100_000), "bytes")
    ('1,230,000 of 10,000,000 events, 12%', '5.1 MB')
    """
    shown = _size if unit == "bytes" else "{:,}".format
    of = f" of {shown(noted.all)}" if noted.all and noted.done <= noted.all else ""
    share = _share(noted)
    percent = "" if share is None else f", {int(100 * share)}%"
    return f"{shown(noted.done)}{of}{'' if unit == 'bytes' else f' {unit}'}{percent}"


def pace(samples: Sequence[Noted], unit: str) -> str:
    """Return the rate between the first and the last of some moments, and the time left if that is known.

    >>> pace([Noted(10.0, 0, 10_000_000), Noted(12.0, 800_000, 10_000_000)], "events")
    ', 400,000/s, 23 s left'
    """
    before, now = samples[0], samples[-1]
    passed_s = now.time_s - before.time_s
    if passed_s <= 0 or now.done <= before.done:
        return ""
    rate = (now.done - before.done) / passed_s
    shown = f", {_size(int(rate)) if unit == 'bytes' else f'{rate:,.0f}'}/s"
    was, is_ = _share(before), _share(now)
    if was is None or is_ is None or not was < is_ < 1:
        return shown
    return f"{shown}, {duration((1 - is_) * passed_s / (is_ - was))} left"


def _share(noted: Noted) -> float | None:
    """Return the part of the whole that is done, from 0 to 1; None if nobody knows."""
    share = noted.done / noted.all if noted.all else noted.share
    return share if share is not None and 0 <= share <= 1 else None


def duration(seconds: float) -> str:
    """Return a time in the two largest units that it has.

    >>> duration(0.4), duration(59.9), duration(61), duration(7385), duration(200_000)
    ('0 s', '59 s', '1 min 1 s', '2 h 3 min', '2 d 7 h')
    """
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    for size_s, name, less_s, less in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size_s:
            return f"{whole // size_s} {name} {whole % size_s // less_s} {less}"
    raise AssertionError("a minute or more has a unit")


def _size(size_bytes: int) -> str:
    value = float(size_bytes)
    for unit in _SIZES:
        if value < 1000 or unit == _SIZES[-1]:
            return f"{size_bytes} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("the last unit takes every value")


def _is_terminal() -> bool:
    with suppress(OSError, ValueError, AttributeError):
        return sys.stderr.isatty()
    return False


def _columns() -> int:
    with suppress(OSError, ValueError, AttributeError):
        return os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS_DEFAULT
    return _COLUMNS_DEFAULT
