"""The forms of the archive's own files: one table, for export and import alike.

The module of a form has ``open_reader(source, options)`` and ``open_writer()``. It is loaded when a file of
the form is opened.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from yamcs_archive.files.compression import bare_name
from yamcs_archive.files.writing import EventWriter


class Form(NamedTuple):
    """A form of files."""

    name: str
    """As ``--format`` names it."""
    suffixes: tuple[str, ...]
    """The ends of names that indicate it, in lower case."""
    help: str
    """What such a file is, in a few words."""
    module: str
    """The module of the package, without the package's name."""
    is_appendable: bool
    """Whether events can follow at the end of a file that was left unfinished. A form that has an index at
    its end, or is compressed in itself, is written in one go and not compressed once more."""


FORMS = {
    form.name: form
    for form in (
        Form("jsonl", (".jsonl", ".ndjson", ".json"), "a JSON object in each line", "files.jsonl", True),
        Form("csv", (".csv",), "CSV with all columns", "files.csv", True),
        Form("msgpack", (".msgpack",), "maps of msgpack, one after another", "files.msgpack", True),
        Form("parquet", (".parquet", ".pq"), "Apache Parquet", "files.parquet", False),
        Form("arrow", (".arrow", ".feather"), "Apache Arrow, the form of files", "files.arrow", False),
        Form("arrows", (".arrows",), "Apache Arrow, the form of streams", "files.arrow_stream", False),
    )
}
"""The forms by name."""


def form_of(name: str) -> str | None:
    """Return the form that a file's name indicates, compressed or not; None if it indicates none.

    >>> form_of("pass-17.JSONL.zst"), form_of("events.bin")
    ('jsonl', None)
    """
    bare = bare_name(name)
    return next((form.name for form in FORMS.values() if bare.endswith(form.suffixes)), None)


def open_writer(name: str) -> EventWriter:
    """Return a writer for the form of this name; MissingPackageError if that needs a package.

    >>> open_writer("csv").head()[:15]
    b'generationTime,'
    """
    writer: EventWriter = import_module(f"yamcs_archive.{FORMS[name].module}").open_writer()
    return writer
