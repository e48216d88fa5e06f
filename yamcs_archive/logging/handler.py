"""The handler: what happens in the thread that logs.

1. A call takes what may change from the record, and puts it into a buffer; all else happens later, in another
   thread. Nothing here waits, except for room in a full buffer, once and for a bounded time.
2. The handler's own lock is not used: one thread that waits for room would make all others wait longer.
3. Records of this package are not stored, nor those that are logged while records are stored.
"""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from queue import Full
from threading import get_ident
from typing import TYPE_CHECKING, Any

from yamcs_archive import arguments
from yamcs_archive.errors import ArchiveError, InvalidInputError
from yamcs_archive.event import Severity
from yamcs_archive.logging.buffer import Buffer
from yamcs_archive.logging.checks import check_place, given_credentials, naming, severities_of
from yamcs_archive.logging.destinations import ServedDestination, know_levels, opened
from yamcs_archive.logging.forks import Children, ParentPlace
from yamcs_archive.logging.records import EventMaker, Naming, taken
from yamcs_archive.logging.storing import NAME, Place, Worker

if TYPE_CHECKING:
    from yamcs_archive.client import RemoteInstance
    from yamcs_archive.instance import Instance

_OURS = "yamcs_archive"
_WAIT_S_MAX = 3_600.0


class ArchiveHandler(logging.Handler):
    """Stores log records as events: in an open instance, in a directory, or at a URL.

    ``instance`` is an open :class:`~yamcs_archive.Instance` or :class:`~yamcs_archive.RemoteInstance`; or the
    name of one, beside ``path``, a directory that the handler opens (and creates, as the instance) and that
    no other process may write to; or beside ``url``. There, ``user`` and ``password``, a ``token`` or a
    ``token_file`` are the credentials; the file is read again when its token is refused. At a URL nothing is
    sent before the first record.

    A call copies the record into a buffer; a thread stores what is there every ``gather_s`` seconds (0.1), in
    groups that are durable before they count as stored. The buffer takes ``buffer_records`` (100,000) and
    ``buffer_bytes`` (64 MiB). When it is full, a call waits up to ``wait_s`` (0.1) for room; after that, what
    has no room is dropped at once until half of the buffer is free. Dropped records are counted
    (``dropped``), reported to ``handleError``, and told by an event. While nothing can be stored, the thread
    tries again, up to every 10 s.

    :meth:`flush` waits until everything logged before is durable, at most ``flush_s`` (5); so do
    :meth:`close` and the end of the interpreter.

    ``severities`` has the least level of each severity, as numbers or names; it adds to DEBUG and INFO →
    INFO, WARNING → WARNING, ERROR → DISTRESS, CRITICAL → SEVERE. ``source`` is the source of all events, or
    a function of the record; without it the logger's name. ``type`` likewise; without it the function's name.

    Raises InvalidInputError for values that cannot be used, and for ``path`` what
    :meth:`Archive.open <yamcs_archive.Archive.open>` raises.

    >>> import logging
    >>> handler = ArchiveHandler("bench", path=directory)
    >>> log = logging.Logger("AOCS")
    >>> log.addHandler(handler)
    >>> log.warning("Wheel %d over speed", 3, extra={"rpm": 6010})
    >>> handler.close()
    >>> with Archive.open(directory) as archive:
    ...     [event] = archive.instance("bench").events()
    >>> event.message, event.source, event.severity.name, event.extra["rpm"]
    ('Wheel 3 over speed', 'AOCS', 'WARNING', '6010')
    """

    def __init__(
        self,
        instance: Instance | RemoteInstance | str,
        *,
        path: str | os.PathLike[str] | None = None,
        url: str | None = None,
        user: str | None = None,
        password: str | None = None,
        token: str | None = None,
        token_file: str | os.PathLike[str] | None = None,
        level: int | str = logging.NOTSET,
        severities: Mapping[int | str, Severity | str] | None = None,
        source: str | Naming | None = None,
        type: str | Naming | None = None,
        gather_s: float = 0.1,
        wait_s: float = 0.1,
        flush_s: float = 5.0,
        buffer_records: int = 100_000,
        buffer_bytes: int = 64 << 20,
    ) -> None:
        super().__init__(level)
        self._closed = True  # until it is complete: logging closes every handler at the end
        check_place(instance, path, url)
        credentials = partial(given_credentials, user, password, token, token_file)
        if url is None and credentials() is not None:
            raise InvalidInputError("user", "…", "must be given with a url")
        self._source, self._type = naming("source", source), naming("type", type)
        self._flush_s = arguments.seconds("flush_s", flush_s, _WAIT_S_MAX)
        self._gather_s = arguments.seconds("gather_s", gather_s, 60)
        self._new_buffer: Callable[[], Buffer] = partial(
            Buffer,
            arguments.whole("buffer_records", buffer_records, 1, 10_000_000),
            arguments.whole("buffer_bytes", buffer_bytes, 1, 16 << 30),
            arguments.seconds("wait_s", wait_s, 60),
        )
        maker = EventMaker(severities_of(severities), socket.gethostname())
        self._begin(opened(instance, path, url, credentials, maker))
        _handlers.add(self)

    def _begin(self, place: Place) -> None:
        """Begin to take records, in this process."""
        self._place = place
        self._buffer = self._new_buffer()
        self._worker = Worker(self._buffer, place, self._gather_s, self._tell)
        self._children = Children(self._buffer, partial(self._worker.wait, 1.0), self._worker.start)
        self._closed = False
        self._told_spell = 0
        # Later than the registration of the archive, and so before it closes the archives that are open.
        self._at_exit = partial(_at_exit, weakref.ref(self))
        atexit.register(self._at_exit)

    @property
    def dropped(self) -> int:
        """The number of records that were dropped, in this process."""
        return self._buffer.dropped

    @property
    def waiting(self) -> int:
        """The number of records that are not durable yet."""
        return self._buffer.waiting

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802  # its name in logging
        """Have a formatter make the message; without one it is that of the call, without a traceback.

        The format that ``logging.basicConfig`` gives to every handler counts as none: an event has the level
        and the logger anyway.
        """
        is_basic = type(fmt) is logging.Formatter and fmt._fmt == logging.BASIC_FORMAT
        super().setFormatter(None if is_basic else fmt)

    def handle(self, record: logging.LogRecord) -> bool:
        """Store a record, if the filters let it pass; without the handler's lock (rule 2)."""
        passed: Any = not self.filters or self.filter(record)
        if passed:
            self.emit(record if passed is True else passed)
        return passed  # type: ignore[no-any-return]  # a bool, or the record

    def emit(self, record: logging.LogRecord) -> None:
        """Take what may change from the record, and put it into the buffer."""
        name = record.name or ""  # a record that was made of a dict may have none
        if name.startswith(_OURS) and name[len(_OURS) :][:1] in ("", "."):
            return
        buffer = self._buffer
        if get_ident() == buffer.taker:
            return
        try:
            source = name if self._source is None else self._source(record) or name
            kind = record.funcName if self._type is None else self._type(record)
            formatter = self.formatter
            message = record.getMessage() if formatter is None else formatter.format(record)
        except Exception:
            self.handleError(record)
            source, kind, formatter, message = name, record.funcName, None, _unformatted(record)
        try:
            kept = buffer.put(taken(record, message, source, kind, formatter))
            if buffer.taker is None:
                self._start()
            if not kept and self._told_spell != buffer.spells:
                self._told_spell = buffer.spells
                state = "it is closed" if buffer.closed else "its buffer is full"
                raise Full(f"a record, and what follows, is dropped: {state}")
        except Exception:
            self.handleError(record)

    def _start(self) -> None:
        if not self._worker.start():
            return
        if (multiprocessing := sys.modules.get("multiprocessing.util")) is not None:
            # Its children end without atexit before Python 3.13.
            multiprocessing.Finalize(None, self._at_exit, exitpriority=0)

    def flush(self) -> None:
        """Wait until everything logged before is durable, at most ``flush_s``; then say how much is not."""
        know_levels()
        if not self._closed and not self.wait_until_stored(self._flush_s):
            self._tell(f"{self.waiting} records are not stored after {self._flush_s:g} s", None)

    def wait_until_stored(self, timeout_s: float | None = None) -> bool:
        """Wait until everything logged before is durable, or dropped; False if that takes longer.

        >>> handler = ArchiveHandler(sim)
        >>> handler.handle(logging.makeLogRecord({"msg": "Wheel 3 over speed", "levelno": logging.WARNING}))
        True
        >>> handler.wait_until_stored(10), sim.count()
        (True, 1)
        >>> handler.close()
        """
        return self._worker.is_current() or self._worker.wait(timeout_s)

    def close(self) -> None:
        """Flush, end the thread, and close what the handler has opened; idempotent."""
        if not self._closed:
            self._close(self._flush_s)
        super().close()

    def _close(self, wait_s: float) -> None:
        self._closed = True
        know_levels()
        dropped = self.dropped
        self._worker.wait(wait_s)
        self._children.close()
        self._buffer.close()
        self._worker.end(self._flush_s)
        if lost := self.waiting + self.dropped - dropped:
            self._tell(f"{lost} records could not be stored", None)
        self._place.close()
        atexit.unregister(self._at_exit)
        _handlers.discard(self)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  # its name in logging
        """Say on stderr what went wrong, unless ``logging.raiseExceptions`` is off; override it to be told.

        The error is ``sys.exception()``; for trouble with storing, ``record`` is one of this handler's own.
        """
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ArchiveError | OSError | Full):
            super().handleError(record)
        elif logging.raiseExceptions and sys.stderr is not None:
            said = f"{record.getMessage()}: " if record.name == NAME else ""
            self._say(f"{said}{error}" if error is not None else record.getMessage())

    def _say(self, text: str) -> None:
        try:
            sys.stderr.write(f"{NAME}: {text}\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            pass  # stderr is closed, as logging itself ignores

    def _tell(self, text: str, error: BaseException | None) -> None:
        """Tell of trouble with storing."""
        fields = {"name": NAME, "levelno": logging.ERROR, "levelname": "ERROR", "msg": "%s", "args": (text,)}
        record = logging.makeLogRecord(fields)
        with suppress(Exception):  # of a handleError of the program's: the thread that stores must go on
            try:
                if error is not None:
                    raise error
            except BaseException:
                self.handleError(record)
            else:
                self.handleError(record)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._place} ({logging.getLevelName(self.level)})>"

    def _before_fork(self) -> None:
        if not isinstance(self._place, ServedDestination):
            self._children.before_fork()

    def _after_fork_in_parent(self) -> None:
        self._children.after_in_parent()

    def _after_fork_in_child(self) -> None:
        connection = self._children.after_in_child()
        if self._closed:
            return
        if isinstance(self._place, ServedDestination):
            self._place.in_child()
            self._begin(self._place)
        else:
            self._begin(ParentPlace(connection, self._place))


_handlers: weakref.WeakSet[ArchiveHandler] = weakref.WeakSet()
"""The handlers that are open."""


def _each(method: Callable[[ArchiveHandler], None]) -> Callable[[], None]:
    def call() -> None:
        for handler in list(_handlers):
            method(handler)

    return call


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_each(ArchiveHandler._before_fork),
        after_in_parent=_each(ArchiveHandler._after_fork_in_parent),
        after_in_child=_each(ArchiveHandler._after_fork_in_child),
    )


def _at_exit(reference: weakref.ref[ArchiveHandler]) -> None:
    """Store what waits, at the end of the interpreter.

    The handler stays open for what is logged still; logging closes it at its own end. But if this took too
    long, it would take as long there, so it is closed now.
    """
    handler = reference()
    if handler is not None and not handler._closed and not handler.wait_until_stored(handler._flush_s):
        handler._close(0)


def _unformatted(record: logging.LogRecord) -> str:
    """Return a message whose arguments do not fit it, or whose formatter failed."""
    try:
        return f"{record.msg} {record.args!r}"
    except Exception:
        return f"<a {type(record.msg).__name__} that cannot be shown>"
