"""Reads paths that users give. Imports nothing of the package but its errors."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from yamcs_archive.errors import InvalidInputError, UnavailableError


def given_path(path: str | os.PathLike[str], field: str = "path") -> Path:
    """Make a path absolute, so that it stays the same when the process changes its current directory.

    A leading ``~`` is expanded as by a shell. Symbolic links and ``..`` are not resolved.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for bytes, an empty text and any other value that
    cannot be a path, UnavailableError for a relative path if the current directory was removed.

    >>> given_path("/data/../ops")
    PosixPath('/data/../ops')
    >>> given_path("~/ops") == Path.home() / "ops", given_path("ops").is_absolute()
    (True, True)
    >>> given_path(b"/data")
    Traceback (most recent call last):
      ...
    yamcs_archive.errors.InvalidInputError: path b'/data': must be text, or an os.PathLike that gives text
    """
    text: object = None
    with suppress(TypeError):
        text = os.fspath(path)
    if not isinstance(text, str):
        raise InvalidInputError(field, path, "must be text, or an os.PathLike that gives text")
    if not text or "\0" in text:
        raise InvalidInputError(field, path, "must name a directory, and have no NUL")
    try:
        os.fsencode(text)
        return Path(text).expanduser().absolute()
    except UnicodeEncodeError as error:
        raise InvalidInputError(field, path, f"cannot be a path here: {error.reason}") from None
    except RuntimeError:  # there is no such user, or no home directory
        raise InvalidInputError(
            field, path, "names a home directory that is not known; give it in full"
        ) from None
    except FileNotFoundError as error:
        raise UnavailableError(
            f"{text}: the current directory of this process was removed; give a path that begins with /"
        ) from error
