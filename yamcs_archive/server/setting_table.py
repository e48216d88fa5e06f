"""What is known of a setting of a serving process, and how an entry of the table of settings is written."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from yamcs_archive.server.setting_kinds import Kind

SECTIONS = {
    "server": "the process, and who may use it",
    "storage": "the archive",
    "retention": "which events are kept, in every instance that has no rules of its own",
}
"""The sections of the file, each with its subject."""
ENVIRONMENT_PREFIX = "YAMCS_ARCHIVE_"


@dataclass(frozen=True)
class Setting:
    """What is known of one setting."""

    name: str
    default: Any
    """``dataclasses.MISSING`` if there is none."""
    section: str
    kind: Kind
    help: str
    flag: str
    metavar: str | None
    several: bool
    """Whether one option takes several values."""
    per_instance: bool
    """Whether ``[instances.NAME]`` may have another value."""

    @property
    def variable(self) -> str:
        """The name of its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper()

    @property
    def key(self) -> str:
        """Its name in the file, with its section."""
        return f"{self.section}.{self.name}"


def setting(
    default: Any,
    *,
    section: str,
    kind: Kind,
    help: str,
    flag: str | None = None,
    metavar: str | None = None,
    several: bool = False,
    per_instance: bool = False,
) -> Any:
    """Return a field of the dataclass of settings. ``help`` is a phrase, without a full stop or ``%``.

    ``flag``: the option, if its name is not that of the field; ``metavar``: what its value is called;
    ``several``: one option may have several values; ``per_instance``: ``[instances.NAME]`` may have the key.
    """
    facts = {
        "section": section,
        "kind": kind,
        "help": help,
        "flag": flag,
        "metavar": metavar,
        "several": several,
        "per_instance": per_instance,
    }
    return field(default=default, metadata={"setting": facts})


def table_of(settings: type[Any]) -> tuple[Setting, ...]:
    """Return the settings of a dataclass, in its order; a field that :func:`setting` has not made is none."""
    found = []
    for each in fields(settings):
        if facts := each.metadata.get("setting"):
            flag = facts["flag"] or f"--{each.name.replace('_', '-')}"
            found.append(Setting(name=each.name, default=each.default, **facts | {"flag": flag}))
    return tuple(found)
