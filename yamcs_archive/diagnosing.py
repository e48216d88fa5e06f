"""The examination of an archive: what the machine gives it, and how each instance fares.

1. Nothing of the archive is changed. How fast the disk syncs is measured in a file without a name.
2. What cannot be found out is a finding of its own; the others follow all the same.
3. A finding says what was found; if something should be done, it says what.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from yamcs_archive.activity import InstanceUsage
from yamcs_archive.errors import ArchiveError, DamagedError
from yamcs_archive.instance import Instance
from yamcs_archive.limits import LATE_EVENTS_MAX, ODD_AFTER_US, ODD_BEFORE_US, READERS_MAX, TABLE_EVENTS_MAX
from yamcs_archive.reports import Finding, Level
from yamcs_archive.storage.disk.directory import file_system_of
from yamcs_archive.storage.disk.file_system import NEARLY_FULL_BYTES
from yamcs_archive.storage.disk.machine import (
    Limits,
    Memory,
    Space,
    clock_in_step,
    limits_of_process,
    memory_of_group,
    space_of,
    sync_times_s,
)
from yamcs_archive.times import format_rfc3339

FREE_SHARE_MIN = 0.05
"""Share of a disk below which it counts as nearly full."""
FILES_FOR_INSTANCE, FILES_FOR_SERVER = 4, 1_100
"""File descriptors that each open instance takes, and a server with its WebSockets."""
MEMORY_BYTES_MIN = 256 << 20
"""Least memory for a server under load; docs/performance.md has the peaks."""
SYNC_S_MAX = 0.05
"""A typical sync that takes longer, in seconds, bounds a client that waits for each event to 20 a second."""
SYNC_S_MIN = 0.000_02
"""A typical sync that takes less, in seconds, has reached no medium."""
READER_S_MAX, BACKLOG_S_MAX = 300.0, 300.0
LOOK_S = 0.2
"""Seconds between two looks at readers: reads take milliseconds, so one that is behind at both holds on."""
_READERS_SHARE = 0.9
_CLOCK_US = 60_000_000
"""A commit that is later than the clock by more, in microseconds, shows that the clock was set back."""
_SOURCES_NAMED_MAX = 3
_FLEETING = {
    "tmpfs": "it is memory: a reboot loses every event; put the archive on a disk",
    "ramfs": "it is memory: a reboot loses every event; put the archive on a disk",
    "overlay": "it is a container's own layer, which is deleted with the container; mount a volume",
}
"""File systems whose contents do not stay, and what to do."""


def examine_machine(directory: Path, instances: int, now: int) -> Iterator[Finding]:
    """Yield what the machine gives an archive with that many instances; ``now`` is the archive's clock."""
    yield from _tried("space", None, lambda: [space_finding(space_of(directory))])
    yield file_system_finding(file_system_of(directory))
    yield from limit_findings(limits_of_process(), instances)
    yield memory_finding(memory_of_group())
    yield clock_finding(clock_in_step(), now)
    yield from _tried("sync", None, lambda: [sync_finding(sync_times_s(directory))], Level.NOTE)


class FirstLook:
    """A look at the readers of instances some time before they are examined.

    LMDB's table has no times. A process that has just opened an archive knows of no reader how old it is, so
    it looks twice.
    """

    def __init__(self, opened: Iterable[Callable[[], Instance]]) -> None:
        for instance in opened:
            with suppress(ArchiveError):  # the examination tells
                instance().usage()
        self._at_s = monotonic()

    def wait(self) -> None:
        """Return once it is time for the second look."""
        sleep(max(0.0, self._at_s + LOOK_S - monotonic()))


def examine_instance(name: str, opened: Callable[[], Instance], now: int) -> Iterator[Finding]:
    """Yield how an instance fares; ``opened`` returns it, or raises if it cannot be opened."""
    try:
        instance = opened()
        usage = instance.usage()
    except ArchiveError as error:
        yield Finding("instance", Level.BAD, str(error), _remedy(error), name)
        return
    yield from usage_findings(name, usage)
    yield from _tried("times", name, lambda: _facts_of(instance, now))


def _facts_of(instance: Instance, now: int) -> Iterator[Finding]:
    summary = instance.summary()
    name = instance.name
    if summary.commit_time is not None and summary.commit_time - now > _CLOCK_US:
        yield Finding(
            "clock",
            Level.BAD,
            f"the newest commit is of {format_rfc3339(summary.commit_time)}, and the clock says"
            f" {format_rfc3339(now)}",
            "the clock was set back; set it, or retention by days and times that are filled in will be wrong",
            name,
        )
    if summary.mirror_of is not None:
        since = "" if summary.commit_time is None else f", as of {format_rfc3339(summary.commit_time)} there"
        yield Finding(
            "mirror", Level.NOTE, f"a copy of {summary.mirror_of}{since}; it takes no events", "", name
        )
    yield from _odd_times(instance, summary.first_time, summary.last_time, now)


def _odd_times(instance: Instance, first: int | None, last: int | None, now: int) -> Iterator[Finding]:
    """Yield events whose clock was probably wrong."""
    found = False
    if last is not None and last > now + ODD_AFTER_US:
        found = True
        states = instance.stats().sources.items()
        names = [source for source, state in states if state.greatest_time > now + ODD_AFTER_US]
        yield Finding(
            "times",
            Level.NOTE,
            f"{instance.count(start=now + ODD_AFTER_US + 1)} events are of the future, up to"
            f" {format_rfc3339(last)}, of {_named(names)}",
            "look at the clocks of these sources; pruning keeps such events, and does not count them",
            instance.name,
        )
    if first is not None and first < ODD_BEFORE_US:
        found = True
        oldest = next(instance.events(limit=1), None)
        names = [] if oldest is None else [oldest.source]
        yield Finding(
            "times",
            Level.NOTE,
            f"{instance.count(stop=ODD_BEFORE_US)} events are of before 2001, from {format_rfc3339(first)}"
            f" on, the first of {_named(names)}",
            "look at the clocks of these sources, and for programs that give seconds as microseconds",
            instance.name,
        )
    if not found:
        yield Finding("times", Level.GOOD, "no event is of before 2001 or of the future", "", instance.name)


def _named(sources: Sequence[str]) -> str:
    shown = ", ".join(repr(source) for source in sources[:_SOURCES_NAMED_MAX])
    more = len(sources) - _SOURCES_NAMED_MAX
    return f"{shown} and {more} more" if more > 0 else shown or "no source"


def _tried(
    subject: str, name: str | None, find: Callable[[], Iterable[Finding]], level: Level = Level.BAD
) -> Iterator[Finding]:
    """Yield the findings, and the error that ends them as one more."""
    try:
        yield from find()
    except ArchiveError as error:
        yield Finding(subject, level, f"cannot be found out: {error}", _remedy(error), name)


def _remedy(error: ArchiveError) -> str:
    if isinstance(error, DamagedError):
        return "copy the directory, then run verify, and salvage (docs/operation.md)"
    return ""


def usage_findings(name: str, usage: InstanceUsage) -> Iterator[Finding]:
    """Yield what the readers, the backlog and the map of an instance show."""
    age_s = usage.oldest_reader_seconds
    if age_s > READER_S_MAX:
        yield Finding(
            "readers",
            Level.BAD,
            f"a reader has kept pages from being reused for {age_s:.0f} s",
            "the file grows meanwhile: find the process that has the directory open (lsof), and end it",
            name,
        )
    elif age_s >= LOOK_S:
        yield Finding(
            "readers",
            Level.NOTE,
            f"a reader has kept pages from being reused for {age_s:.1f} s or more",
            "a compaction does so while it copies; otherwise find who has the directory open (lsof)",
            name,
        )
    elif usage.readers > _READERS_SHARE * READERS_MAX:
        yield Finding(
            "readers",
            Level.BAD,
            f"{usage.readers} of {READERS_MAX} places for readers are in use",
            "end some of the processes that read the directory",
            name,
        )
    else:
        yield Finding("readers", Level.GOOD, f"{usage.readers}, none keeps pages from being reused", "", name)
    backlog_s = usage.checkpoint_backlog_seconds
    if backlog_s > BACKLOG_S_MAX or usage.young_events > 2 * (LATE_EVENTS_MAX + TABLE_EVENTS_MAX):
        yield Finding(
            "backlog",
            Level.BAD,
            f"{usage.young_events} young events are not in blocks, the oldest for {backlog_s:.0f} s too long",
            "the log of the server says why; without a server, open the archive for writing",
            name,
        )
    else:
        yield Finding("backlog", Level.GOOD, f"{usage.young_events} young events, as it should be", "", name)


def space_finding(space: Space) -> Finding:
    """Return whether there is room on the disk."""
    text = f"{_size(space.free_bytes)} of {_size(space.size_bytes)} are free"
    if space.files_free == 0:
        return Finding("space", Level.BAD, f"{text}, but no further file", "make room: remove files")
    if space.free_bytes < NEARLY_FULL_BYTES:
        return Finding("space", Level.BAD, text, "nothing is stored below 2 MiB: make room")
    if space.free_bytes < FREE_SHARE_MIN * space.size_bytes:
        return Finding("space", Level.BAD, text, "make room, or prune old events and then compact")
    return Finding("space", Level.GOOD, text)


def file_system_finding(kind: str) -> Finding:
    """Return whether events stay on a file system of that type."""
    if kind in _FLEETING:
        return Finding("file system", Level.BAD, kind, _FLEETING[kind])
    if not kind:
        return Finding("file system", Level.NOTE, "its type is not known")
    return Finding("file system", Level.GOOD, kind)


def limit_findings(limits: Limits, instances: int) -> Iterator[Finding]:
    """Yield whether a server of that many instances stays within the limits of this process."""
    needed = FILES_FOR_INSTANCE * instances + FILES_FOR_SERVER
    if limits.files is not None and limits.files < needed:
        yield Finding(
            "limits",
            Level.BAD,
            f"{limits.files} files may be open (ulimit -n); a server of {instances} instances needs up to"
            f" {needed}",
            f"raise it: LimitNOFILE={needed} in a unit, ulimit -n {needed} in a shell",
        )
    else:
        opened = "" if limits.files_open is None else f", and {limits.files_open} are"
        may = "any number of" if limits.files is None else str(limits.files)
        yield Finding("limits", Level.GOOD, f"{may} files may be open{opened}")
    if limits.address_space_bytes is not None:
        yield Finding(
            "limits",
            Level.NOTE,
            f"the address space is limited to {_size(limits.address_space_bytes)} (ulimit -v)",
            "maps of files need addresses: take the limit away, or watch that the archive stays smaller",
        )
    if limits.file_bytes is not None:
        yield Finding(
            "limits",
            Level.NOTE,
            f"a file may have {_size(limits.file_bytes)} (ulimit -f)",
            "an instance is one file: take the limit away, or watch that it stays smaller",
        )


def memory_finding(memory: Memory | None) -> Finding:
    """Return whether the control group gives enough memory."""
    if memory is None:
        return Finding("memory", Level.GOOD, "no control group limits it")
    text = f"limited to {_size(memory.limit_bytes)} by the control group"
    if memory.used_bytes is not None:
        text += f", {_size(memory.used_bytes)} in use with the page cache, which is taken back when needed"
    if memory.limit_bytes < MEMORY_BYTES_MIN:
        return Finding("memory", Level.BAD, text, "allow 256 MiB: MemoryMax= of the unit, --memory of Docker")
    return Finding("memory", Level.GOOD, text)


def clock_finding(in_step: bool | None, now: int) -> Finding:
    """Return whether the clock can be trusted; ``now`` is what it says."""
    text = f"it is {format_rfc3339(now)}"
    if in_step is None:
        return Finding("clock", Level.NOTE, f"{text}; whether it is kept in step is not known")
    if not in_step:
        return Finding(
            "clock",
            Level.NOTE,
            f"{text}; the kernel says that nothing keeps the clock in step",
            "run chrony or systemd-timesyncd, on the host if this is a container",
        )
    return Finding("clock", Level.GOOD, f"{text}, kept in step")


def sync_finding(times_s: Sequence[float]) -> Finding:
    """Return whether the disk syncs fast enough; the times are rising."""
    typical_s = times_s[len(times_s) // 2]
    text = f"{1000 * typical_s:.2f} ms, {1000 * times_s[-1]:.2f} ms at most, of {len(times_s)}"
    if typical_s > SYNC_S_MAX:
        return Finding(
            "sync",
            Level.BAD,
            text,
            "each commit waits for that: use a faster disk, or send events in batches and from many clients",
        )
    if typical_s < SYNC_S_MIN:
        return Finding(
            "sync",
            Level.NOTE,
            f"{text}: too fast for a medium",
            "if this is memory, or a virtual disk that ignores syncs, a power cut loses acknowledged events",
        )
    return Finding("sync", Level.GOOD, text)


def _size(size_bytes: int) -> str:
    """Return a size in a unit of which there are some.

    >>> _size(5 << 20), _size(1536)
    ('5.0 MiB', '1.5 KiB')
    """
    size = float(size_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
