"""The generations of an instance: the one in use, and the change from one to the next.

    INSTANCE/CURRENT     one line, the name of the generation in use
    INSTANCE/gen-N/      a generation; while it is being removed its name is .gen-N.old

1. The generation that ``CURRENT`` names is in use. That file is replaced by rename, so a reader finds either
   the old or the new name. Numbers rise from one generation to the next, so a name is never used again within
   an instance.
2. A generation is removed only after its successor's files are durable, and so is the rename that put it in
   use. Commits made in between must be in both generations, or there must be none.
3. A generation that is not in use is a leftover of a crash; the writer that opens the instance next removes
   it.
4. Nothing here knows the content of a generation. No OSError leaves this module.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from yamcs_archive.errors import NotAnArchiveError
from yamcs_archive.storage.disk.directory import CURRENT, draft_durably, make_names_durable, sync
from yamcs_archive.storage.disk.file_system import Identity, identity_of, in_our_words, os_errors_translated
from yamcs_archive.storage.failpoints import failpoint

_NAME = re.compile(r"gen-([1-9][0-9]*)")
_REMOVED = re.compile(r"\.gen-[1-9][0-9]*\.old")
_NAME_BYTES_MAX = 64

_Stamp = tuple[int, int, int, int]
"""Device, inode and times of a file, by which a replaced file differs."""


class Generations:
    """The generations of one instance. Any number of readers may use it, and one writer may change it."""

    def __init__(self, instance: Path) -> None:
        self.instance = instance
        self._pointer = os.fspath(instance / CURRENT)
        self._checked: tuple[Identity, _Stamp] | None = None

    def current(self) -> Path:
        """Return the folder of the generation in use; NotAnArchiveError if ``CURRENT`` names none."""
        name = self._name()
        while not self._is_there(name):
            again = self._name()  # it may have been replaced and removed after it was read
            if again == name:
                raise NotAnArchiveError(
                    str(self.instance), f"its file {CURRENT} names {name!r}, which is no generation of it"
                )
            name = again
        return self.instance / name

    def _is_there(self, name: str) -> bool:
        with os_errors_translated(self.instance):
            return _NAME.fullmatch(name) is not None and (self.instance / name).is_dir()

    def is_current(self, file: str, identity: Identity) -> bool:
        """Return whether the generation with that file, of that identity, is in use.

        A reader calls this after each transaction begins. The name alone is not enough: the first generation
        of every instance has the same one, and an instance may be renamed and another made at its path. If
        ``CURRENT`` did not change since the last call, as nearly always, this takes 2 us. The generation's
        file must be open, because the identity of a closed file may be reused. Raises GoneError if there is
        no ``CURRENT``.
        """
        try:
            status = os.stat(self._pointer)
        except OSError as error:
            raise in_our_words(error, self.instance) from error
        stamp = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
        if self._checked == (identity, stamp):
            return True
        name = self._name()  # read after the stamp: a file that replaces it in between has another stamp
        with os_errors_translated(self.instance):
            folder, _ = os.path.split(file)
            here = os.path.basename(folder) == name and os.path.exists(file) and identity_of(file) == identity
        if here:
            self._checked = identity, stamp
        return here

    def _name(self) -> str:
        with os_errors_translated(self.instance):
            descriptor = os.open(self._pointer, os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(descriptor, _NAME_BYTES_MAX).decode("ascii", "replace").rstrip("\n")
            finally:
                os.close(descriptor)

    def begin(self) -> Path:
        """Make an empty folder for the next generation."""
        with os_errors_translated(self.instance):
            number = max(
                int(found[1]) for name in os.listdir(self.instance) if (found := _NAME.fullmatch(name))
            )
            generation = self.instance / f"gen-{number + 1}"
            generation.mkdir()
        return generation

    def use(self, generation: Path) -> None:
        """Put a whole generation in use, durably.

        After an error either one may be in use: call
        :func:`~yamcs_archive.storage.disk.directory.make_names_durable`, then :meth:`current`.
        """
        with os_errors_translated(self.instance):
            draft = draft_durably(self.instance / CURRENT, generation.name + "\n")
            failpoint("compact-drafted")
            draft.replace(self._pointer)
            failpoint("compact-renamed")
            sync(self.instance)

    def clear(self) -> None:
        """Remove the generations that are not in use, and drafts. Only the writer may do that.

        If one cannot be removed, the next call tries again.
        """
        keep = self.current().name
        with os_errors_translated(self.instance):
            found = os.listdir(self.instance)
            others = [name for name in found if _NAME.fullmatch(name) and name != keep]
            removed = [name for name in found if _REMOVED.fullmatch(name)]
            draft = self.instance / f".{CURRENT}.new"
            if not (others or removed or draft.exists()):
                return
            make_names_durable(self.instance)  # rule 2: after a crash the rename may not be durable
            draft.unlink(missing_ok=True)
            for name in removed:
                shutil.rmtree(self.instance / name, ignore_errors=True)
            for name in others:
                # A reader that has just read the old name opens the folder by path. In a folder that is
                # half removed LMDB would make a lock file for it; a renamed folder is not found.
                with suppress(OSError):
                    aside = (self.instance / name).rename(self.instance / f".{name}.old")
                    shutil.rmtree(aside, ignore_errors=True)
