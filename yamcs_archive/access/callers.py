"""Who sends a request: a user of the users file, or the guest of a server that has no users."""

from __future__ import annotations

from dataclasses import dataclass

from yamcs_archive.access.permissions import Permission, Rights, Sources, everything

GUEST = "guest"
"""The name of everybody on a server without users, as on a Yamcs server without login."""


@dataclass(frozen=True, slots=True, eq=False)
class Caller:
    """Somebody who sends requests, with what he may do.

    >>> Caller("ada", everything()).allows(Permission.READ_EVENTS, "sim")
    True
    """

    name: str
    rights: Rights
    epoch: str = ""
    """Changes when the user's password does: logins of an earlier epoch have ended."""
    is_guest: bool = False
    """The server has no users."""

    def allows(self, permission: Permission, instance: str | None = None) -> bool:
        """Return whether the caller has a permission for an instance, or without one for all of them."""
        return self.rights.allows(permission, instance)

    def sources(self, permission: Permission, instance: str) -> Sources | None:
        """Return the sources that the caller has the permission for; None for all of them."""
        return self.rights.sources(permission, instance)


def guest(*, operations: bool) -> Caller:
    """Return the guest, who may do everything; what deletes or reads everything only with ``operations``.

    >>> guest(operations=False).allows(Permission.MANAGE_ARCHIVE)
    False
    """
    return Caller(GUEST, everything(but=() if operations else [Permission.MANAGE_ARCHIVE]), is_guest=True)
