"""The open environments of this process: one for each instance, shared by reference counting."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import lmdb

from yamcs_archive.errors import LockedError
from yamcs_archive.storage.disk.environment import Environment
from yamcs_archive.storage.disk.file_system import Identity, identity_of, os_errors_translated

_registry: dict[Identity, Environment] = {}
_registry_lock = threading.Lock()


def _new_lock_in_child() -> None:
    global _registry_lock  # noqa: PLW0603  # the parent's may have been held at the moment of the fork
    _registry_lock = threading.Lock()


os.register_at_fork(after_in_child=_new_lock_in_child)


def acquire(
    instance: Path, *, readonly: bool, map_bytes: int, held: Callable[[], None] | None = None
) -> Environment:
    """Return this process's environment for an instance's folder. Each call needs one :func:`release`.

    A reader in the writing process shares the writer's environment. ``held`` is a function that raises if the
    writer's lock is lost. Raises LockedError for a writer if this process has the directory open read-only.
    """
    with _registry_lock:
        with os_errors_translated(instance):
            identity = identity_of(instance)
        found = _registry.get(identity)
        if found is not None and found.foreign:
            with suppress(lmdb.Error):
                found.close()
            del _registry[identity]
            found = None
        if found is not None and not found._writers and found.left:
            # Another instance is at this path now: this one was renamed, and is opened under its new name.
            found.end_unless_written()
            del _registry[identity]
            found = None
        if found is None:
            found = Environment(instance, readonly=readonly, map_bytes=map_bytes)
            _registry[found.files.identity] = found
        elif found.readonly and not readonly:
            raise LockedError(str(instance), "this process, which has it open read-only")
        elif not readonly and not found._writers:
            # Another process may have written, or compacted, after this one's last writer was closed.
            found._follow()
            found.make_head_durable()
        if not readonly:
            found.files.held = held
        found._users += 1  # this module is a friend of the class
        found._writers += not readonly
        return found


def release(environment: Environment, *, readonly: bool) -> None:
    """Give one reference back; the last call closes the environment."""
    if environment.foreign:
        return
    with _registry_lock:
        environment._users -= 1  # as in acquire()
        environment._writers -= not readonly
        if not environment._writers and not readonly:
            environment.read_log_again()
        if not readonly:
            environment.files.held = None
        if not environment._users:
            identity = environment.files.identity
            if _registry.get(identity) is environment:
                del _registry[identity]
            environment.close()
