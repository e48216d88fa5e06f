"""Permissions: what a user may do, in which instances, with the events of which sources."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import NamedTuple

from yamcs_archive.errors import InvalidInputError

_GRANT_CHARACTERS_MAX = 1000
"""Longest text of a grant, in characters: the longest names of an instance and of a source fit."""
_KEPT = 256
"""Number of answers that a user's rights remember: clients ask for the same few instances."""


class Permission(StrEnum):
    """What may be permitted. The first two have the names of a Yamcs server's privileges."""

    READ_EVENTS = "ReadEvents"
    WRITE_EVENTS = "WriteEvents"
    MANAGE_ARCHIVE = "ManageArchive"
    """The routes of operation, and events that say who created them."""
    READ_METRICS = "ReadMetrics"


_WITH_SOURCE = (Permission.READ_EVENTS, Permission.WRITE_EVENTS)
_RULE = f"must be NAME, NAME@INSTANCE or NAME@INSTANCE/SOURCE, and NAME one of {', '.join(Permission)}"


class Grant(NamedTuple):
    """A permission, and what it is for: patterns of an instance's and of a source's name.

    In a pattern ``*`` stands for any characters, ``?`` for one, ``[ab]`` for one of these.
    """

    permission: Permission
    instance: str = "*"
    source: str = "*"

    @classmethod
    def parse(cls, text: str) -> Grant:
        """Return the grant of a text; InvalidInputError.

        >>> Grant.parse("ReadEvents")
        Grant(permission=<Permission.READ_EVENTS: 'ReadEvents'>, instance='*', source='*')
        >>> str(Grant.parse("WriteEvents@sim/Star*"))
        'WriteEvents@sim/Star*'
        """
        if len(text) > _GRANT_CHARACTERS_MAX or not text.isprintable():
            raise InvalidInputError("permission", text, _RULE)
        name, at, place = text.partition("@")
        instance, slash, source = place.partition("/")
        if name not in list(Permission) or (at and not instance) or (slash and not source):
            raise InvalidInputError("permission", text, _RULE)
        permission = Permission(name)
        if at and permission is Permission.READ_METRICS:
            raise InvalidInputError("permission", text, "must be without @: metrics are of the whole server")
        if slash and permission not in _WITH_SOURCE:
            raise InvalidInputError("permission", text, "must be without /SOURCE: it is for whole instances")
        return cls(permission, instance or "*", source or "*")

    def __str__(self) -> str:
        """Return the text of the grant, as :meth:`parse` reads it."""
        if self.source != "*":
            return f"{self.permission}@{self.instance}/{self.source}"
        return str(self.permission) if self.instance == "*" else f"{self.permission}@{self.instance}"


class Sources:
    """The sources that a permission is for, by the patterns of their names.

    >>> allowed = Sources(["Star*", "GNC"])
    >>> allowed("StarTracker"), allowed("AOCS")
    (True, False)
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self.patterns = frozenset(patterns)

    def __call__(self, name: str) -> bool:
        """Return whether the source of that name is one of them."""
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sources) and other.patterns == self.patterns

    def __hash__(self) -> int:
        return hash(self.patterns)


_NO_SOURCE = Sources(())


class Rights:
    """All that a user may do. Immutable; any number of threads may ask.

    >>> rights = Rights([Grant.parse("ReadEvents@sim*"), Grant.parse("WriteEvents@sim/GNC")])
    >>> rights.allows(Permission.READ_EVENTS, "sim2"), rights.allows(Permission.WRITE_EVENTS, "sim2")
    (True, False)
    >>> rights.sources(Permission.READ_EVENTS, "sim"), rights.sources(Permission.WRITE_EVENTS, "sim")("AOCS")
    (None, False)
    """

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.grants = tuple(grants)
        self._found: dict[tuple[Permission, str | None], tuple[bool, Sources | None]] = {}

    def allows(self, permission: Permission, instance: str | None = None) -> bool:
        """Return whether the permission is given for an instance, or some of its sources.

        Without an instance: whether it is given for all of them.
        """
        found = self._found.get((permission, instance))
        return (self._of(permission, instance) if found is None else found)[0]

    def sources(self, permission: Permission, instance: str) -> Sources | None:
        """Return the sources of an instance that the permission is for; None if it is for all of them."""
        found = self._found.get((permission, instance))
        return (self._of(permission, instance) if found is None else found)[1]

    def _of(self, permission: Permission, instance: str | None) -> tuple[bool, Sources | None]:
        if len(self._found) >= _KEPT:
            self._found.clear()
        found = self._found[permission, instance] = self._looked_up(permission, instance)
        return found

    def _looked_up(self, permission: Permission, instance: str | None) -> tuple[bool, Sources | None]:
        fits: Callable[[str], bool] = (
            (lambda pattern: pattern == "*")
            if instance is None
            else (lambda pattern: fnmatchcase(instance, pattern))
        )
        patterns = {one.source for one in self.grants if one.permission is permission and fits(one.instance)}
        if not patterns:
            return False, _NO_SOURCE
        return True, None if "*" in patterns else Sources(patterns)


def everything(*, but: Iterable[Permission] = ()) -> Rights:
    """Return the rights to everything, but for some permissions.

    >>> everything(but=[Permission.MANAGE_ARCHIVE]).allows(Permission.READ_EVENTS, "sim")
    True
    """
    left_out = set(but)
    return Rights(Grant(permission) for permission in Permission if permission not in left_out)
