"""The keys that sign logins: in a file beside the users file, with its owner and mode."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec

from yamcs_archive.access import users_file
from yamcs_archive.errors import InvalidInputError

_KEY_BYTES = 32


class Keys(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The keys, as in their file."""

    current: bytes
    previous: bytes | None = None

    def __repr__(self) -> str:
        return "Keys()"  # nothing of them may be shown or logged


def read_keys(path: Path) -> Keys:
    """Return the keys of a users file; InvalidInputError if they cannot be read."""
    file = users_file.key_path(path)
    try:
        keys = msgspec.json.decode(users_file.read(file, "key file"), type=Keys)
    except msgspec.MsgspecError:
        keys = Keys(b"")
    if len(keys.current) < _KEY_BYTES or (keys.previous is not None and len(keys.previous) < _KEY_BYTES):
        rule = "is not a key file; `yamcs-archive users rotate-key` makes a new one, which ends all logins"
        raise InvalidInputError("key file", str(file), rule)
    return keys


def ensure_keys(path: Path) -> None:
    """Make the key file of a users file, if there is none; within ``users_file.locked``."""
    if not users_file.key_path(path).exists():
        _write(path, Keys(secrets.token_bytes(_KEY_BYTES)))


def rotate_keys(path: Path) -> None:
    """Sign with a new key from now on, and accept the current one as well, but no older one.

    Within ``users_file.locked``. A key file that is damaged is replaced: then all logins end.
    """
    previous = None
    if users_file.key_path(path).exists():
        try:
            previous = read_keys(path).current
        except InvalidInputError as error:
            if not error.rule.startswith("is not a key file"):
                raise
    _write(path, Keys(secrets.token_bytes(_KEY_BYTES), previous))


def _write(path: Path, keys: Keys) -> None:
    users_file.write(users_file.key_path(path), msgspec.json.encode(keys) + b"\n", like=path)
