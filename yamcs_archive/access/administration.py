"""Changes of the users file: each reads it, changes it and writes it, under one lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from msgspec.structs import replace

from yamcs_archive.access import users as content
from yamcs_archive.access import users_file
from yamcs_archive.access.permissions import Grant
from yamcs_archive.access.signing_keys import ensure_keys, rotate_keys
from yamcs_archive.access.users import NO_USERS, Document, User, check_user_name
from yamcs_archive.errors import InvalidInputError


def add_user(path: Path, name: str, grants: Sequence[Grant], password_hash: str | None) -> None:
    """Add a user; the files are made if they are not there. InvalidInputError for a name that is taken.

    >>> add_user(directory / "users.json", "ada", [Grant.parse("ReadEvents")], None)
    >>> list(listed(directory / "users.json"))
    ['ada']
    """
    check_user_name(name)

    def change(document: Document) -> Document:
        if name in document.users:
            rule = "is there already: see users passwd, users permit, users token"
            raise InvalidInputError("user", name, rule)
        return replace(document, users={**document.users, name: User.new(grants, password_hash)})

    _change(path, change, create=True)


def remove_user(path: Path, name: str) -> None:
    """Remove a user with all its tokens; its logins end."""

    def change(document: Document) -> Document:
        _user(document, name)
        return replace(document, users={key: user for key, user in document.users.items() if key != name})

    _change(path, change)


def set_password(path: Path, name: str, password_hash: str) -> None:
    """Set a user's password; its logins end. Its service tokens stay."""
    _change_user(path, name, lambda user: replace(user, password=password_hash, epoch=content.new_epoch()))


def set_permissions(path: Path, name: str, grants: Sequence[Grant]) -> None:
    """Set what a user may do, in place of what was permitted before."""
    _change_user(path, name, lambda user: replace(user, permissions=[str(grant) for grant in grants]))


def add_token(path: Path, name: str, label: str) -> str:
    """Make a service token for a user, and return it: only its hash is kept."""
    check_user_name(label, "token")
    token, kept = content.new_token()

    def change(user: User) -> User:
        if label in user.tokens:
            raise InvalidInputError("token", label, "is there already: revoke it first, or give another name")
        return replace(user, tokens={**user.tokens, label: kept})

    _change_user(path, name, change)
    return token


def revoke_token(path: Path, name: str, label: str) -> None:
    """Revoke a service token."""

    def change(user: User) -> User:
        if label not in user.tokens:
            known = ", ".join(sorted(user.tokens)) or "none"
            raise InvalidInputError("token", label, f"is not a token of {name}, who has: {known}")
        return replace(user, tokens={key: token for key, token in user.tokens.items() if key != label})

    _change_user(path, name, change)


def rotate_key(path: Path) -> None:
    """Sign logins with a new key; those of the current key stay, those of the one before it end."""
    with users_file.locked(path):
        users_file.read_document(path)
        rotate_keys(path)


def listed(path: Path) -> dict[str, User]:
    """Return the users of a file, by name. Raises InvalidInputError."""
    return dict(sorted(users_file.read_document(path).users.items()))


def _change_user(path: Path, name: str, change: Callable[[User], User]) -> None:
    def changed(document: Document) -> Document:
        return replace(document, users={**document.users, name: change(_user(document, name))})

    _change(path, changed)


def _user(document: Document, name: str) -> User:
    if name not in document.users:
        known = ", ".join(sorted(document.users)) or "none"
        raise InvalidInputError("user", name, f"is not in the file, which has: {known}")
    return document.users[name]


def _change(path: Path, change: Callable[[Document], Document], *, create: bool = False) -> None:
    with users_file.locked(path):
        exists = path.exists() or not create
        document = change(users_file.read_document(path) if exists else NO_USERS)
        ensure_keys(path)  # first: whoever finds the users finds it too
        users_file.write(path, content.encode(document))
