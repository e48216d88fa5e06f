"""Every error that this package raises on purpose. Imports nothing. They are one tree::

    ArchiveError
    ├── InvalidInputError (ValueError)     the caller's value breaks a rule: field, value, rule
    │   ├── BadTimeError                   not a time, or outside the years 0001 to 9999
    │   ├── FilterError                    not a filter: .problem, .reason, .line, .column
    │   └── BadCursorError                 not a cursor that the archive can have given out
    ├── RefusedError                       the value is well formed; the archive's state forbids it
    │   ├── ConflictError                  same key, other content: .stored, .offered
    │   ├── ExpiredError                   older than the prune horizon: .offered
    │   ├── RequestIdError                 a request's id was used for something else: .request_id
    │   ├── NumbersExhaustedError          a source's automatic numbers are used up: .source
    │   ├── OtherHistoryError              a cursor of another lineage, or of a commit that is gone
    │   ├── CursorGoneError                a cursor before the pruned events: .oldest
    │   ├── InstanceExistsError            an instance of that name is already there
    │   ├── NotAMirrorError                an instance to be promoted is no copy of another one
    │   └── ReadOnlyError                  opened for reading, asked to write
    │       └── MirrorError                a copy of another archive: .source
    ├── ServerRefusedError                 a server refused, or is no archive: .url, .status, .kind, .detail
    ├── UnknownInstanceError (LookupError) no instance of that name: .name, .known
    ├── MissingPackageError (ImportError)  an optional package is not installed: .package
    ├── UnavailableError                   not now, through no fault of the caller
    │   ├── ServerUnavailableError         a served archive did not answer, or cannot now: .url, .status
    │   ├── RequestIdsFullError            the limit of request ids is reached
    │   ├── LockedError                    another process writes to this directory: .holder
    │   ├── ClosedError                    the archive is closed
    │   │   └── ReplacedError              another instance has replaced the one that was read
    │   ├── GoneError                      an opened file is no longer at its path: .path, .reason
    │   ├── ForkedError                    opened before fork(), used in the child
    │   ├── OutOfSpaceError                the medium is full; nothing was stored
    │   └── OutcomeUnknownError            the commit failed midway: .events, as they would be stored
    └── ArchiveDataError                   the stored data cannot be used
        ├── NotAnArchiveError              the directory holds something else, or a medium we refuse
        ├── FormatVersionError             written by a version with another format: .found, .known
        ├── BackupError                    a backup that is damaged, unfinished, or lacks its base: .where
        └── DamagedError                   a checksum or an invariant does not hold: .where

Each error has its facts as attributes and can be pickled, and its text ends with advice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any


class ArchiveError(Exception):
    """Base of every error of this package.

    ``position`` and ``counts`` are set if many events were given at once: the index of the event at fault,
    and the counts of the outcomes that are durable.

    >>> issubclass(ConflictError, ArchiveError)
    True
    """

    position: int | None = None
    counts: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        # The default pickles ``args`` only and calls ``__init__`` with them; our constructors
        # take facts, not texts, so the instance is rebuilt from its attributes instead.
        return (_rebuild, (type(self), self.args, self.__dict__))


def _rebuild(kind: type[ArchiveError], args: tuple[Any, ...], facts: dict[str, Any]) -> ArchiveError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(facts)
    return error


def shown(value: object, length_max: int = 80) -> str:
    """Return ``value`` as it is shown in an error text: its repr, cut at ``length_max`` characters.

    >>> shown("a" * 100, 10)
    "'aaaaaaaaa… (102 characters)"
    """
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except RecursionError:
        text = f"a deeply nested {type(value).__name__}"
    except Exception:  # an int of 5,000 digits, or a class whose repr fails, must not hide the error
        text = f"<{type(value).__name__} that cannot be shown>"
    return text if len(text) <= length_max else f"{text[:length_max]}… ({len(text)} characters)"


def _instant(time_us: int | None) -> str:
    """Return a time in microseconds since 1970 as RFC 3339 (``times`` imports this module).

    >>> _instant(1_500_000), _instant(1_000_001)
    ('1970-01-01T00:00:01.500Z', '1970-01-01T00:00:01.000001Z')
    """
    if time_us is None:
        return "None"
    text = (datetime(1970, 1, 1) + timedelta(microseconds=time_us)).isoformat()
    return f"{text[:-3] if '.' in text and text.endswith('000') else text}Z"


class InvalidInputError(ArchiveError, ValueError):
    """A value that the caller gave breaks a rule; nothing was stored.

    ``field`` names the value in the caller's terms, ``value`` is the value, and ``rule`` states which values
    are valid.

    >>> print(InvalidInputError("limit", 0, "must be 1 to 1000"))
    limit 0: must be 1 to 1000
    """

    field: str
    value: object
    rule: str

    def __init__(self, field: str, value: object, rule: str) -> None:
        name = field if field.isprintable() else ascii(field)[1:-1]
        super().__init__(f"{name} {shown(value)}: {rule}")
        self.field, self.value, self.rule = field, value, rule


class BadTimeError(InvalidInputError):
    """A time that cannot be read, has no offset, or lies outside the years 0001 to 9999."""


class FilterError(InvalidInputError):
    """A filter that cannot be parsed; nothing was read.

    ``problem`` is the text of a Yamcs server for the fault, ``reason`` a more precise one. ``line`` and
    ``column``, from 1, give the position of the fault. ``span`` (first line and column, last line and column)
    is the part that a Yamcs server marks: for a syntax error, the last correct token.

    >>> problem, reason = "Field not found 'foo'", "there are source and type"
    >>> error = FilterError("foo=1", problem, reason, (1, 1), (1, 1, 1, 3))
    >>> print(error)
    filter, line 1, column 1: Field not found 'foo': there are source and type
    """

    def __init__(
        self, text: object, problem: str, reason: str, place: tuple[int, int], span: tuple[int, int, int, int]
    ) -> None:
        super().__init__("filter", text, f"{problem}: {reason}")
        self.problem, self.reason, self.span = problem, reason, tuple(span)
        self.line, self.column = place
        # The position says more than the filter, which may be long.
        self.args = (f"filter, line {self.line}, column {self.column}: {self.rule}",)


class BadCursorError(InvalidInputError):
    """Not a cursor that this archive can have given out."""


class RefusedError(ArchiveError):
    """Well-formed input that the state of the archive forbids; nothing was stored."""


class ConflictError(RefusedError):
    """An event with this key is stored already, with other content; the stored one is kept.

    ``stored`` and ``offered`` are the two :class:`~yamcs_archive.event.Event` values.
    """

    def __init__(self, stored: Any, offered: Any) -> None:
        super().__init__(
            f"another event is stored under {stored.key}: stored {shown(stored.message)}, offered"
            f" {shown(offered.message)}; give the new one a seq_number of its own"
        )
        self.stored, self.offered = stored, offered


class ExpiredError(RefusedError):
    """The event is older than the instance's prune horizon, so it is not stored."""

    def __init__(self, offered: Any) -> None:
        time = _instant(offered.generation_time)
        super().__init__(
            f"generation_time {time} is before the prune horizon of this instance; events that old are no"
            " longer kept here"
        )
        self.offered = offered


class RequestIdError(RefusedError):
    """The id of this request was used within the last 24 hours for something else."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            f"request id {shown(request_id)} was used for another event in the last 24 hours; give each"
            " request an id of its own, and its retries the same one and the same content"
        )
        self.request_id = request_id


class NumbersExhaustedError(RefusedError):
    """A source has used the greatest int32, so there is no next automatic number."""

    def __init__(self, source: str) -> None:
        super().__init__(
            f"source {shown(source)} has used sequence number 2147483647, so none can be assigned"
            " after it; number the events of this source yourself from now on"
        )
        self.source = source


class OtherHistoryError(RefusedError):
    """The cursor is of another history: the archive was created anew, restored or salvaged since.

    Or its files were put back to an older state: then ``commit`` is the number of the cursor's commit, which
    is missing here or has other events. Otherwise it is None.

    >>> print(OtherHistoryError(100))
    this archive has another history since commit 100 or before (it was put back ...); start again ...
    """

    def __init__(self, commit: int | None = None) -> None:
        super().__init__(
            "this cursor belongs to another history of the archive (it was restored or made anew"
            " since); start again without a cursor"
            if commit is None
            else f"this archive has another history since commit {commit} or before (it was put back to an"
            " older state after it gave out this cursor); start again without a cursor"
        )
        self.commit = commit


class CursorGoneError(RefusedError):
    """The cursor is before events that were pruned; ``oldest`` is the oldest cursor that works."""

    def __init__(self, oldest: str) -> None:
        super().__init__(f"events after this cursor were pruned; the oldest cursor that works is {oldest}")
        self.oldest = oldest


class InstanceExistsError(RefusedError):
    """An instance of that name is already there."""

    def __init__(self, name: str) -> None:
        super().__init__(f"instance {shown(name)} exists already; open it instead")
        self.name = name


class NotAMirrorError(RefusedError):
    """An instance to be promoted is no copy of a served one, so events can be appended to it already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"instance {shown(name)} is no mirror: events can be appended to it already")
        self.name = name


class ReadOnlyError(RefusedError):
    """The archive was opened with ``readonly=True``."""

    def __init__(self, action: str) -> None:
        super().__init__(f"cannot {action}: the archive is open read-only; open it without readonly=True")
        self.action = action


class MirrorError(ReadOnlyError):
    """The instance is a copy of a served one, and appends go there; ``source`` is the URL of that one."""

    def __init__(self, source: str) -> None:
        RefusedError.__init__(self, f"this instance is a mirror of {source}: append there")
        self.action, self.source = "append", source


class ServerRefusedError(ArchiveError):
    """A server refused, for a reason without an error of its own here, or it is no served archive.

    ``status``, ``kind`` and ``text`` give the reason, as its API does; ``detail`` has any further facts.

    >>> print(ServerRefusedError("http://ops:8090", 403, "ForbiddenException", "not from this host"))
    http://ops:8090 answered 403 ForbiddenException: not from this host
    """

    def __init__(
        self, url: str, status: int, kind: str, text: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{url} answered {status} {kind}: {text}")
        self.url, self.status, self.kind, self.text, self.detail = url, status, kind, text, dict(detail or {})


class UnknownInstanceError(ArchiveError, LookupError):
    """No instance of that name; ``known`` lists those that are there."""

    def __init__(self, name: str, known: list[str]) -> None:
        there = ", ".join(known) or "none yet"
        super().__init__(f"No instance named {shown(name)} (there are: {there})")
        self.name, self.known = name, known


class MissingPackageError(ArchiveError, ImportError):
    """A package that this needs is not installed, because it is optional; the text says what to install.

    >>> print(MissingPackageError("pyarrow", "install it: pip install pyarrow"))
    this needs the package pyarrow: install it: pip install pyarrow
    """

    def __init__(self, package: str, remedy: str) -> None:
        super().__init__(f"this needs the package {package}: {remedy}")
        self.package, self.remedy = package, remedy


class UnavailableError(ArchiveError):
    """The archive cannot do this now, through no fault of the caller."""


class ServerUnavailableError(UnavailableError):
    """A served archive did not answer, its answer broke off, or it cannot answer for the moment.

    ``status`` is that of its answer; None if there was none: then a request to store events may have stored
    them.
    """

    def __init__(self, url: str, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.url, self.status = url, status


class RequestIdsFullError(UnavailableError):
    """The limit of request ids is reached; ids expire after a day. Nothing was stored."""

    def __init__(self) -> None:
        super().__init__(
            "no more request ids can be kept now: nothing was stored; try again later, or without an id"
        )


class LockedError(UnavailableError):
    """Another process, or another open archive of this one, writes to the directory; ``holder`` names it."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"{path} is in use by {holder}; stop that one first, or open the archive read-only")
        self.path, self.holder = path, holder


class ClosedError(UnavailableError):
    """The archive is closed."""

    def __init__(self) -> None:
        super().__init__("the archive is closed; open it again")


class ReplacedError(ClosedError):
    """Another instance has replaced the one that was read, or the files were put back from elsewhere.

    Calls under way end with this error; later calls read the instance that is there now.
    """

    def __init__(self, path: str) -> None:
        UnavailableError.__init__(
            self,
            f"another instance is now at {path}, where this one was opened (it was set aside, made anew or"
            " put back): begin anew, without a cursor or key from before",
        )
        self.path = path


class GoneError(UnavailableError):
    """An opened file or folder is no longer at its path: removed, moved or replaced; ``reason`` says which.

    No event is acknowledged then, because the next program that opens the path would not find it. Once the
    file is back at its path, appends work again; otherwise close the archive and open it again.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(
            f"{path} is no longer what was opened ({reason}), so the archive cannot go on there:"
            " put it back, or close the archive and open it again"
        )
        self.path, self.reason = path, reason


class ForkedError(UnavailableError):
    """The archive was opened before ``fork()`` and is used in the child, which would corrupt it."""

    def __init__(self) -> None:
        super().__init__("this archive was opened before fork(); open it again in the child process")


class OutOfSpaceError(UnavailableError):
    """The medium, or the address space for the map, is full. Nothing was stored; a retry is safe."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"no space for {path} ({reason}): nothing was stored; make room and try again")
        self.path, self.reason = path, reason


class OutcomeUnknownError(UnavailableError):
    """A commit failed, or a step after it, so the events may be stored or not.

    ``events`` are the caller's events *as they would have been stored*, with numbers and times filled in: it
    is safe to append these again in either case.
    """

    def __init__(self, events: tuple[Any, ...], reason: str) -> None:
        super().__init__(
            f"the commit failed ({reason}), so it is not known whether the event is stored; append it"
            " again as shown in .events: that is safe either way"
        )
        self.events, self.reason = events, reason


class ArchiveDataError(ArchiveError):
    """The stored data cannot be used."""


class NotAnArchiveError(ArchiveDataError):
    """The path is not an archive, or lies on a medium on which LMDB is not safe."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be used as an archive: {reason}")
        self.path, self.reason = path, reason


class FormatVersionError(ArchiveDataError):
    """It was written in a format that this version does not know.

    ``reader`` is the first version that does, if that is known.
    """

    def __init__(self, path: str, found: object, known: int, reader: str | None = None) -> None:
        remedy = "use the version of yamcs_archive that wrote it, or a later one"
        if reader is not None:
            remedy = f"yamcs_archive {reader} and later versions read it"
        super().__init__(
            f"{path} has format version {shown(found)}, this program knows version {known}; {remedy}"
        )
        self.path, self.found, self.known, self.reader = path, found, known, reader


class DamagedError(ArchiveDataError):
    """A checksum or an invariant does not hold.

    ``where`` names the sub-database and the key, or the segment of the commit log.

    If events cannot be read, ``first`` and ``last`` are the keys of the first and the last of them, and
    ``events`` is their number, each as far as it is known. Reading with ``skip_damaged`` goes round them.
    """

    first: Any = None
    last: Any = None
    events: int | None = None

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} is damaged ({reason}); copy the directory before anything else")
        self.where, self.reason = where, reason


class BackupError(ArchiveDataError):
    """A backup cannot be used: a checksum is wrong, it is not finished, or the one before it is missing.

    ``where`` names the file or the stream, ``reason`` says what is wrong.

    >>> print(BackupError("sim.backup", "its foot is damaged"))
    sim.backup cannot be used as a backup (its foot is damaged); take another one
    """

    def __init__(self, where: str, reason: str) -> None:
        super().__init__(f"{where} cannot be used as a backup ({reason}); take another one")
        self.where, self.reason = where, reason
