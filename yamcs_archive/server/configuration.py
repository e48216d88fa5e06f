"""Decides the settings of a serving process: an option, else a variable, else the file, else the default.

1. The first that gives a setting decides it as a whole: a list of an option replaces that of the file.
2. Every fault is found before anything is started, and all are reported together, each with its place.
3. A key that is not known is a fault. A variable that is not known is only a warning: the environment has
   other owners, and Kubernetes adds variables for every service.
4. ``[instances.NAME]`` decides for its instance, whatever decided for all of them.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yamcs_archive.archive import check_instance_name
from yamcs_archive.credentials import Credentials
from yamcs_archive.errors import ArchiveError, InvalidInputError, shown
from yamcs_archive.server.setting_kinds import told
from yamcs_archive.server.setting_table import ENVIRONMENT_PREFIX, SECTIONS, Setting
from yamcs_archive.server.settings import SETTINGS, Settings
from yamcs_archive.server.toml_lines import NotTomlError, read_toml

FILE_BYTES_MAX = 1 << 20
"""Largest configuration file, in bytes: a larger one is not read, because it is something else."""
FILE_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"
INSTANCES = "instances"
"""The table of the file with the tables of instances."""
DEFAULT = "default"
"""The origin of a value that nobody has given."""

_OF_OTHERS = frozenset(
    f"{ENVIRONMENT_PREFIX}{name}"
    for name in (
        *("CONFIG", "INSTANCE", "PAGER", "PASSWORD", "TOKEN", "URL"),
        *("CLIENT_CERTIFICATE", "CLIENT_KEY"),
    )
)
"""Variables that are no settings of a serving process: of this module, and of other commands."""
_KUBERNETES = re.compile(r"YAMCS_ARCHIVE_(?:\w+_)?(?:SERVICE_(?:HOST|PORT)\w*|PORT_\d+_(?:TCP|UDP|SCTP)\w*)")
"""Variables that Kubernetes sets for services whose names begin with yamcs-archive."""
_BY_NAME = {each.name: each for each in SETTINGS}
_PER_INSTANCE = {each.name: each for each in SETTINGS if each.per_instance}


class ConfigurationError(ArchiveError):
    """The configuration has faults: ``faults``, one line each, with their places."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Given:
    """A value, and its origin: ``--port``, ``YAMCS_ARCHIVE_PORT``, ``archive.toml:3`` or ``default``."""

    value: Any
    origin: str


@dataclass
class Configuration:
    """The settings by name, those of single instances, and warnings.

    A setting that has neither a value nor a default is absent.
    """

    values: dict[str, Given] = field(default_factory=dict)
    instances: dict[str, dict[str, Given]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def value(self, name: str) -> Any:
        """Return the value of a setting; None if it has none."""
        return self.values[name].value if name in self.values else None

    def settings(self, mirror_login: Credentials | None = None) -> Settings:
        """Return the settings. Raises ConfigurationError if several of them contradict each other."""
        retention_of = {
            name: {key: given.value for key, given in rules.items()} for name, rules in self.instances.items()
        }
        values = {name: given.value for name, given in self.values.items()}
        try:
            return Settings(**values, retention_of=retention_of, mirror_login=mirror_login)
        except InvalidInputError as error:
            raise ConfigurationError([str(error)]) from None

    def contradiction(self) -> str | None:
        """Return what several settings together have wrong; None if that is nothing."""
        data = self.values.get("data", Given(Path(), DEFAULT))  # may be absent here
        try:
            replace(self, values=self.values | {"data": data}).settings()
        except ConfigurationError as error:
            return str(error)
        return None


def resolve(
    options: Mapping[str, Any], environment: Mapping[str, str], file: Path | None = None
) -> Configuration:
    """Return the configuration. ``options`` are the values from the command line, by names of settings.

    Raises :class:`ConfigurationError`, with every fault of the environment and of the file.

    >>> found = resolve({"port": 0}, {"YAMCS_ARCHIVE_PORT": "80", "YAMCS_ARCHIVE_HOST": "::1"})
    >>> found.values["port"], found.values["host"], found.values["threads"].origin
    (Given(value=0, origin='--port'), Given(value='::1', origin='YAMCS_ARCHIVE_HOST'), 'default')
    """
    faults: list[str] = []
    from_file = _File(file) if file is not None else None
    found = Configuration()
    if from_file is not None:
        faults += from_file.faults
        found.instances = from_file.instances
    for each in SETTINGS:
        given = _of_variable(each, environment, faults)
        if each.name in options:
            given = Given(options[each.name], each.flag)
        if given is None and from_file is not None:
            given = from_file.values.get(each.name)
        if given is None and each.default is not MISSING:
            given = Given(each.default, DEFAULT)
        if given is not None:
            found.values[each.name] = given
    if faults:
        raise ConfigurationError(faults)
    found.warnings = _unknown_variables(environment)
    return found


def file_schema() -> dict[str, Any]:
    """Return the JSON Schema of a configuration file, for editors. Checks of texts are not in it."""
    sections = {
        name: _table(about, [each for each in SETTINGS if each.section == name])
        for name, about in SECTIONS.items()
    }
    rules = _table("rules of one instance", _PER_INSTANCE.values(), defaults=False)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",  # that of editors of TOML
        "title": "Configuration of yamcs-archive serve",
        **_table("", ()),
        "properties": sections | {INSTANCES: {"type": "object", "additionalProperties": rules}},
    }


def _table(about: str, settings: Iterable[Setting], *, defaults: bool = True) -> dict[str, Any]:
    properties = {}
    for each in settings:
        properties[each.name] = each.kind.schema() | {"description": each.help}
        if defaults and each.default is not MISSING:
            properties[each.name] |= tomllib.loads(f"default = {each.kind.toml(each.default)}")
    described = {"description": about} if about else {}
    return {"type": "object", "additionalProperties": False, **described, "properties": properties}


def check_file(file: Path) -> list[str]:
    """Return the faults of a file, taken alone."""
    return _File(file).faults


def _of_variable(setting: Setting, environment: Mapping[str, str], faults: list[str]) -> Given | None:
    text = environment.get(setting.variable)
    if not text:  # an empty one counts as not set
        return None
    try:
        return Given(setting.kind.of_text(text), setting.variable)
    except InvalidInputError as error:
        advice = ""
        if text.startswith("tcp://"):
            advice = "; Kubernetes sets this for a service named yamcs-archive: enableServiceLinks: false"
        faults.append(f"{setting.variable} {told(error)}{advice}")
        return None


def _unknown_variables(environment: Mapping[str, str]) -> list[str]:
    known = {each.variable for each in SETTINGS} | _OF_OTHERS
    found = []
    for name in sorted(environment):
        if name.startswith(ENVIRONMENT_PREFIX) and name not in known and not _KUBERNETES.fullmatch(name):
            near = _nearest(name, known, len(ENVIRONMENT_PREFIX))
            found.append(f"{_printable(name)} is no variable of this program{near}")
    return found


class _File:
    """What a file says: the values of its keys, or its faults."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._folder = path.absolute().parent
        self.faults: list[str] = []
        self.values: dict[str, Given] = {}
        self.instances: dict[str, dict[str, Given]] = {}
        try:
            found, self._lines = read_toml(_text(path))
        except NotTomlError as error:
            self.faults.append(f"{_printable(str(path))}:{error.line}: {error.reason}")
        except (OSError, ValueError) as error:
            self.faults.append(f"{_printable(str(path))}: {getattr(error, 'strerror', None) or error}")
        else:
            self._take(found)
            self.faults.sort(key=_line_of)

    def _take(self, found: Mapping[str, Any]) -> None:
        for section, keys in found.items():
            if section not in SECTIONS and section != INSTANCES:
                self._unknown((section,), [*SECTIONS, INSTANCES])
            elif not isinstance(keys, dict):
                self._fault((section,), f"must be a table: [{section}]")
            elif section == INSTANCES:
                self._take_instances(keys)
            else:
                self._take_section(section, keys)

    def _take_section(self, section: str, keys: Mapping[str, Any]) -> None:
        known = {each.name: each for each in SETTINGS if each.section == section}
        for name, value in keys.items():
            if name in known:
                self._put(self.values, known[name], value, (section, name))
            else:
                self._unknown((section, name), known)

    def _take_instances(self, tables: Mapping[str, Any]) -> None:
        for instance, keys in tables.items():
            path = (INSTANCES, instance)
            try:
                check_instance_name(instance)
            except InvalidInputError as error:
                self._fault(path, f"is no name of an instance: {error.rule}")
                continue
            if not isinstance(keys, dict):
                self._fault(path, f"must be a table: [{INSTANCES}.{instance}]")
                continue
            rules = self.instances.setdefault(instance, {})
            for name, value in keys.items():
                if name in _PER_INSTANCE:
                    self._put(rules, _PER_INSTANCE[name], value, (*path, name))
                else:
                    self._unknown((*path, name), _PER_INSTANCE)

    def _put(self, target: dict[str, Given], setting: Setting, value: object, path: tuple[str, ...]) -> None:
        try:
            target[setting.name] = Given(setting.kind.of_toml(value, self._folder), self._place(path))
        except InvalidInputError as error:
            self._fault(path, told(error))

    def _unknown(self, path: tuple[str, ...], known: Collection[str]) -> None:
        """Refuse a key; its value is not shown, because it may be a secret."""
        name = path[-1].replace("-", "_")
        elsewhere = _BY_NAME.get(name)
        if elsewhere is not None and name not in known:
            where = f"[{elsewhere.section}]" + (f" or [{INSTANCES}.NAME]" if elsewhere.per_instance else "")
            self._fault(path, f"is not known here; {name} belongs to {where}")
        else:
            rest = _nearest(name, known) or f"; there are {', '.join(sorted(known))}"
            self._fault(path, f"is not known{rest}")

    def _fault(self, path: tuple[str, ...], why: str) -> None:
        self.faults.append(f"{self._place(path)}: {_printable('.'.join(path))} {why}")

    def _place(self, path: tuple[str, ...]) -> str:
        return f"{_printable(str(self._path))}:{self._lines[path]}"


def _line_of(fault: str) -> int:
    return int(re.findall(r":(\d+): ", fault)[0])


def _text(path: Path) -> str:
    """Return the text of a file. Raises OSError, and ValueError with the reason."""
    with path.open("rb") as file:
        content = file.read(FILE_BYTES_MAX + 1)
        regular = stat.S_ISREG(os.fstat(file.fileno()).st_mode)
    if len(content) > FILE_BYTES_MAX:
        raise ValueError(f"is longer than {FILE_BYTES_MAX} bytes")
    if regular and not content.strip():
        # It would mean the defaults for everything: all is kept, and nobody needs to log in.
        raise ValueError(
            "is empty; was it cut short? A line of comment is enough for a file that sets nothing"
        )
    try:
        return content.decode("utf-8-sig")  # some editors begin a file with a mark of the order of bytes
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"is no UTF-8, on line {line}") from None


def _nearest(name: str, known: Collection[str], prefix: int = 0) -> str:
    """Return the end of a fault: the known name that is most like this one, without the prefixes of both."""
    folded = {each[prefix:].casefold(): each for each in known}
    near = get_close_matches(name[prefix:].casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def _printable(text: str) -> str:
    return text if text.isprintable() else shown(text, 200)[1:-1]
