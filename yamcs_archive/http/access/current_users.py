"""The users file and the key file of a server, as they are now.

1. Whoever needs the users looks at their file, so a change counts at once. One look serves all requests that
   an event loop begins in one round: the system call itself takes a microsecond, but hands the interpreter
   to another thread each time.
2. A small file that has changed is read at once. A larger one is read by a thread, because an event loop
   would answer nobody meanwhile; until that is done, the users before it hold. There is one such reading at
   a time, and what changes during it is seen after it.
3. The key is read at once. Its file is looked at when a login is not known, when tokens are made, and once a
   second.
4. A file that cannot be read changes nothing, and the log says once what is wrong with it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from yamcs_archive.access import users_file
from yamcs_archive.access.login_tokens import LoginTokens
from yamcs_archive.access.signing_keys import ensure_keys, read_keys
from yamcs_archive.access.users import Users
from yamcs_archive.access.users_file import FileState
from yamcs_archive.errors import InvalidInputError

_log = logging.getLogger(__name__)

READ_AT_ONCE_BYTES_MAX = 64 << 10
"""Largest users file that is read at once, in bytes: some 200 users, in 7 ms."""
WATCH_S = 1.0
"""Time between two looks at the files while nobody sends requests, in seconds."""


class Snapshot(NamedTuple):
    """The users and the keys of one moment."""

    state: FileState | None
    key_state: FileState | None
    users: Users
    tokens: LoginTokens


class CurrentUsers:
    """The users and the keys in their files. Safe to use from many threads.

    Raises InvalidInputError if the files cannot be used.
    """

    def __init__(self, path: Path, now_s: Callable[[], float], changed: Callable[[], None]) -> None:
        """``changed`` is called, on any thread, each time after a changed file was read, or could not be."""
        self._path, self._now_s, self._changed = path, now_s, changed
        self._file, self._key_file = str(path), str(users_file.key_path(path))
        self._reading = threading.Lock()  # held while the users are read
        self._guard = threading.Lock()  # held for the snapshot, and while the key is read
        self._faults: dict[str, str | None] = {}
        """What was wrong with a file when it was read last."""
        self._reads_large = False
        self._thread_reads = False
        self._looked_in_round_of = 0
        """The thread whose event loop has looked at the file in this round; 0: none."""
        self._closing = threading.Event()
        self._watch: threading.Thread | None = None
        with suppress(InvalidInputError), users_file.locked(path):
            if path.exists():
                ensure_keys(path)
        # The states before: what is written meanwhile is read again.
        state, key_state = users_file.state_of(self._file), users_file.state_of(self._key_file)
        self._snapshot = Snapshot(state, key_state, self._read_users(), self._read_tokens())

    def look(self) -> Snapshot:
        """Return the users as they are in the file now; if they are many, as they were read last."""
        if self._looked_in_round_of == threading.get_ident():
            return self._snapshot
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            # Whatever comes after this look is begun after that call: a loop keeps the order of its calls.
            self._looked_in_round_of = threading.get_ident()
            loop.call_soon(self._end_round)
        self._look_at_users()
        return self._snapshot

    def look_at_both(self) -> Snapshot:
        """Return the same with the keys as they are in the file now; not once in a round, but at once."""
        self._look_at_users()
        if self._take_keys():
            self._changed()
        return self._snapshot

    def reload(self) -> Snapshot:
        """Read the files again if they changed, and wait until that is done."""
        with self._reading:
            is_new = self._take_users()
        if self._take_keys() or is_new:
            self._changed()
        return self._snapshot

    def watch(self) -> None:
        """Have a thread look at the files from now on, even if nobody sends requests."""
        with self._guard:
            if self._watch is not None or self._closing.is_set():
                return
            self._watch = threading.Thread(target=self._look, name="yamcs-archive-users", daemon=True)
        self._watch.start()

    def close(self) -> None:
        """End the thread."""
        self._closing.set()

    def _look(self) -> None:
        while not self._closing.wait(WATCH_S):
            self._reload_or_tell()

    def _end_round(self) -> None:
        self._looked_in_round_of = 0

    def _look_at_users(self) -> None:
        state = users_file.state_of(self._file)
        if state == self._snapshot.state:
            return
        if _is_large(state) or self._reads_large:  # else whoever reads a small one waits for the larger one
            self._read_on_a_thread()
        else:
            self.reload()

    def _read_on_a_thread(self) -> None:
        with self._guard:
            if self._reads_large or self._thread_reads:
                return
            self._thread_reads = True
        try:
            threading.Thread(target=self._read_once, name="yamcs-archive-users-read", daemon=True).start()
        except RuntimeError:  # there is no memory for a thread
            self._thread_reads = False
            self.reload()

    def _read_once(self) -> None:
        try:
            self._reload_or_tell()
        finally:
            self._thread_reads = False

    def _reload_or_tell(self) -> None:
        """Reload. Nobody waits for an error, as one of a lack of memory; the next look tries again."""
        try:
            self.reload()
        except Exception as error:
            self._tell("files", f"the users may stay as they were: {error!r}")
        else:
            self._faults.pop("files", None)

    def _take_users(self) -> bool:
        """Read the users if they changed, within ``_reading``; return whether they did."""
        state = users_file.state_of(self._file)  # before: what is written meanwhile is read again
        if state == self._snapshot.state:
            return False
        users, fault = None, None
        self._reads_large = _is_large(state)
        try:
            users = self._read_users()
        except InvalidInputError as error:
            fault = f"the users stay as they were: {error}"
        finally:
            self._reads_large = False
        with self._guard:
            snapshot = self._snapshot._replace(state=state)
            self._snapshot = snapshot if users is None else snapshot._replace(users=users)
        self._tell("users", fault, f"the users file was read again: {len(self._snapshot.users)} users")
        return True

    def _take_keys(self) -> bool:
        """Read the keys if they changed; return whether they did."""
        with self._guard:
            state = users_file.state_of(self._key_file)
            if state == self._snapshot.key_state:
                return False
            tokens, fault = None, None
            try:
                tokens = self._read_tokens()
            except InvalidInputError as error:
                fault = f"the keys stay as they were: {error}"
            snapshot = self._snapshot._replace(key_state=state)
            self._snapshot = snapshot if tokens is None else snapshot._replace(tokens=tokens)
        self._tell("keys", fault, "the key file was read again")
        return True

    def _read_users(self) -> Users:
        return Users(users_file.read_document(self._path))

    def _read_tokens(self) -> LoginTokens:
        return LoginTokens(read_keys(self._path), self._now_s)

    def _tell(self, what: str, fault: str | None, good: str = "") -> None:
        """Log what is wrong, unless it was wrong before, or that all is well."""
        if fault is None:
            _log.info("%s", good)
        elif fault != self._faults.get(what):
            _log.error("%s", fault)
        self._faults[what] = fault


def _is_large(state: FileState | None) -> bool:
    return state is not None and state.size_bytes > READ_AT_ONCE_BYTES_MAX
