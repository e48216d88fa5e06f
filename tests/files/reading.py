"""Reads files for tests: the events of bytes in a format, and what was rejected."""

from __future__ import annotations

import io
from collections.abc import Iterable

from yamcs_archive import Event
from yamcs_archive.files.reading import ReadOptions, Rejected, Source
from yamcs_archive.importers.file import EventFile
from yamcs_archive.importers.formats import open_reader


def read(body: bytes, kind: str, *, keep_invalid_utf8: bool = False) -> list[Event]:
    """Return the events of a file; an error is raised."""
    reader = open_reader(
        kind, Source(io.BytesIO(body), "file"), ReadOptions(keep_invalid_utf8=keep_invalid_utf8)
    )
    return events_of(EventFile(reader))


def sorted_out(
    body: bytes, kind: str, *, keep_invalid_utf8: bool = False
) -> tuple[list[Event], list[Rejected]]:
    """Return the events of a file, and what was rejected."""
    rejected: list[Rejected] = []
    how = ReadOptions(reject=rejected.append, keep_invalid_utf8=keep_invalid_utf8)
    reader = open_reader(kind, Source(io.BytesIO(body), "file"), how)
    return events_of(EventFile(reader, rejected.append)), rejected


def events_of(file: EventFile) -> list[Event]:
    return [event for part in file.parts() for event in part.events()]


def places(rejected: Iterable[Rejected]) -> list[str]:
    return [found.place for found in rejected]
