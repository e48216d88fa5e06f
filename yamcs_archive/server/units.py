"""The units of systemd for a serving process: their text, and which of them may be replaced or removed.

1. Nothing here runs a command: a unit is written, and an administrator decides what happens then.
2. A unit begins with a mark that has the checksum of what follows it. One that somebody has changed is never
   replaced or removed unasked.
3. What the unit lets the process do is in the templates; what differs from one archive to another is here.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from yamcs_archive.errors import ArchiveError, InvalidInputError, shown

DIRECTORY = Path("/etc/systemd/system")
"""Where administrators put units."""
NAME = "yamcs-archive"
"""The name of a unit that nobody has named, and of its user."""

_UNIT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:_.-]{0,200}")
_USER_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,30}")
_MARK = "# Written by yamcs-archive service install; sha256 of the rest: "
_ADVICE = "# Do not edit it: systemctl edit {name} makes a file of your own that comes after it.\n"
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
_TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108  # nothing is written there
_STATE, _LOGS = Path("/var/lib"), Path("/var/log")


class UnitChangedError(ArchiveError):
    """A unit is not as it was written, or was written by somebody else."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} was changed, or written by somebody else: it stays; move your changes to a drop-in"
            f" (systemctl edit {path.name}), or say --force"
        )
        self.path = path


def check_unit_name(name: str) -> str:
    """Return ``name`` if units can have it; otherwise raise InvalidInputError.

    >>> check_unit_name("yamcs-archive")
    'yamcs-archive'
    """
    if not _UNIT_NAME.fullmatch(name) or name.endswith((".service", ".socket")):
        rule = "must be letters, digits, ':', '_', '.' and '-', without .service"
        raise InvalidInputError("unit", name, rule)
    return name


def check_user_name(name: str) -> str:
    """Return ``name`` if it can be that of a system account; otherwise raise InvalidInputError.

    >>> check_user_name("yamcs-archive")
    'yamcs-archive'
    """
    if not _USER_NAME.fullmatch(name):
        raise InvalidInputError("user", name, "must be a lower-case name of an account")
    return name


def check_listen(text: str) -> str:
    """Return ``text`` if it is a port, or an address and a port; otherwise raise InvalidInputError.

    >>> check_listen("8090"), check_listen("127.0.0.1:443"), check_listen("[::1]:8090")
    ('8090', '127.0.0.1:443', '[::1]:8090')
    """
    address, _, port = text.rpartition(":")
    valid = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
    if not valid or not re.fullmatch(r"|[0-9.]{7,15}|\[[0-9A-Fa-f:.%]+\]", address):
        rule = "must be a port, or an IP address and a port: 8090, 127.0.0.1:8090, [::1]:8090"
        raise InvalidInputError("socket", text, rule)
    return text


@dataclass(frozen=True, kw_only=True)
class Service:
    """A serving process as a service."""

    name: str
    user: str
    command: Sequence[str | Path]
    """The program and its arguments. Paths are absolute."""
    data: Path
    log_file: Path | None = None
    reads: Sequence[Path] = ()
    """Other files that the process reads, of which its configuration says where they are."""
    listen: str | None = None
    """The socket that the service manager opens; None: the process opens its own."""

    def units(self) -> dict[str, str]:
        """Return the texts of the units by the names of their files."""
        found = {f"{self.name}.service": _marked(self.name, self._filled("archive.service"))}
        if self.listen is not None:
            found[f"{self.name}.socket"] = _marked(self.name, self._filled("archive.socket"))
        return found

    @property
    def sees_homes(self) -> bool:
        """Whether something that the process needs lies in a home directory."""
        return _any_within(self._paths(), _HOMES)

    @property
    def sees_tmp(self) -> bool:
        """Whether something that the process needs lies in a directory for temporary files."""
        return _any_within(self._paths(), _TEMPORARY)

    @property
    def makes_data(self) -> bool:
        """Whether the service manager makes the directory of the archive."""
        return _below(_STATE, self.data) is not None

    def _paths(self) -> Iterator[Path]:
        program = Path(self.command[0])
        yield from (program, program.resolve(), self.data)
        yield from (each for each in self.command if isinstance(each, Path))
        yield from self.reads
        if self.log_file is not None:
            yield self.log_file

    def _filled(self, template: str) -> str:
        text = files("yamcs_archive.server").joinpath("systemd", template).read_text(encoding="utf-8")
        return Template(text).substitute(
            name=self.name,
            data=_word(self.data),
            command=" ".join(_word(each, in_command=True) for each in self.command),
            user=self.user,
            directories="\n".join(self._directories()),
            protect_home="read-only" if self.sees_homes else "yes",
            private_tmp="no" if self.sees_tmp else "yes",
            listen=self.listen,
        )

    def _directories(self) -> Iterator[str]:
        """Yield what lets the process write where it must, and nowhere else."""
        state = _below(_STATE, self.data)
        if state is None:
            yield f"ReadWritePaths={_word(self.data)}"
        else:
            yield f"StateDirectory={_word(state)}"
            yield "StateDirectoryMode=0750"
        if self.log_file is not None:
            logs = _below(_LOGS, self.log_file.parent)
            yield (
                f"ReadWritePaths={_word(self.log_file.parent)}"
                if logs is None
                else (f"LogsDirectory={_word(logs)}\nLogsDirectoryMode=0750")
            )


def _below(folder: Path, path: Path) -> Path | None:
    """Return the path within a folder; None if it is not below it."""
    return path.relative_to(folder) if folder in path.parents else None


def _any_within(paths: Iterable[Path], folders: Sequence[Path]) -> bool:
    return any(folder in path.parents for path in paths for folder in folders)


def _word(value: str | Path, *, in_command: bool = False) -> str:
    """Return a value as one word of a unit; InvalidInputError for one that no unit can have.

    >>> _word("100 %"), _word('a"b$c', in_command=True)
    ('"100 %%"', '"a\\\\"b$$c"')
    """
    text = os.fspath(value)
    if not text.isprintable():
        raise InvalidInputError("path", text, "has characters that a unit cannot have")
    text = text.replace("%", "%%")
    if in_command:
        text = text.replace("$", "$$")
    if re.fullmatch(r"[\w/.:@%$=+,-]+", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _marked(name: str, text: str) -> str:
    text = _ADVICE.format(name=name) + text
    return f"{_MARK}{hashlib.sha256(text.encode()).hexdigest()}\n{text}"


def is_ours(text: str) -> bool:
    """Return whether a unit is as this program wrote it.

    >>> is_ours("[Unit]")
    False
    """
    mark, _, rest = text.partition("\n")
    return mark == f"{_MARK}{hashlib.sha256(rest.encode()).hexdigest()}"


def write_units(directory: Path, units: dict[str, str], *, force: bool) -> list[Path]:
    """Write units, and return the paths of those that were not there as they are.

    Raises :class:`UnitChangedError` for one that somebody has changed, unless ``force``: then nothing is
    written. OSError if the directory cannot be written.
    """
    stale = {directory / name: text for name, text in units.items() if _text(directory / name) != text}
    for path in stale:
        _refuse_changed(path, force=force)
    for path, text in stale.items():
        draft = path.with_name(f".{path.name}.new")
        try:
            draft.write_text(text, encoding="utf-8")
            draft.chmod(0o644)
            draft.replace(path)
        except BaseException:
            with suppress(OSError):
                draft.unlink()
            raise
    return [*stale]


def remove_units(directory: Path, name: str, *, force: bool) -> list[Path]:
    """Remove the units of that name, and return their paths.

    Raises :class:`UnitChangedError` as :func:`write_units` does, ArchiveError for a unit that is enabled, or
    if there is none.
    """
    there = [
        path for kind in ("service", "socket") if _text(path := directory / f"{name}.{kind}") is not None
    ]
    if not there:
        raise ArchiveError(f"{directory}: there are no units of {shown(name)}")
    for path in there:
        _refuse_changed(path, force=force)
    enabled = [path.name for path in there if any(directory.glob(f"*.wants/{path.name}"))]
    if enabled and not force:
        raise ArchiveError(f"first, as root: systemctl disable --now {' '.join(enabled)}")
    for path in there:
        path.unlink()
    return there


def _refuse_changed(path: Path, *, force: bool) -> None:
    text = _text(path)
    if text is not None and not is_ours(text) and not force:
        raise UnitChangedError(path)


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
