"""The formats of files that can be imported: one table; a new format is a module and a line here.

1. The module of a format has ``open_reader(source, options)``, which returns an
   :class:`~yamcs_archive.files.reading.EventReader`. It is loaded when a file of its format is opened.
2. An event that it yields has a time and a number of its own, so that a second import adds nothing: where the
   file has no numbers, the reader makes them from what is in the file.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple

from yamcs_archive.files.compression import bare_name
from yamcs_archive.files.forms import FORMS
from yamcs_archive.files.reading import EventReader, ReadOptions, Source


class Format(NamedTuple):
    """A format of files."""

    name: str
    """As ``--format`` names it."""
    suffixes: tuple[str, ...]
    """The ends of names that indicate it, in lower case; none for a format that has to be named."""
    help: str
    """What such a file is, in a few words."""
    module: str
    is_log: bool = False
    """Whether another program writes such files. Their events have no numbers, and are numbered by what they
    say; and a line that is no event is usual there, and ends no import."""


FORMATS = {
    entry.name: entry
    for entry in (
        # Those that this archive writes.
        *(Format(form.name, form.suffixes, form.help, form.module) for form in FORMS.values()),
        Format("yamcs-csv", (), "CSV as a Yamcs server exports it", "importers.logs.yamcs_csv", True),
        Format("fprime", (), "event logs of F Prime", "importers.logs.fprime", True),
        Format("cosmos", (), "text logs of COSMOS", "importers.logs.cosmos", True),
        Format("journald", (), "journalctl -o json or export", "importers.logs.journald", True),
        Format("syslog", (), "lines of RFC 5424, RFC 3164, syslog files", "importers.logs.syslog", True),
        Format("lines", (), "lines of text, by --pattern", "importers.logs.pattern", True),
        Format("mapped", (), "any lines of JSON, by --map", "importers.logs.mapping", True),
    )
}
"""The formats by name."""


def format_of(name: str) -> str | None:
    """Return the format that a file's name indicates, compressed or not; None if it indicates none.

    >>> format_of("pass-17.JSONL.gz"), format_of("events.bin")
    ('jsonl', None)
    """
    bare = bare_name(name)
    return next((entry.name for entry in FORMATS.values() if bare.endswith(entry.suffixes)), None)


def open_reader(name: str, source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a file whose format has this name.

    >>> import io
    >>> line = b'{"message": "a", "generationTime": "1970-01-01T00:00:01Z", "seqNumber": 5}'
    >>> [part.message for part in open_reader("jsonl", Source(io.BytesIO(line), "-"), ReadOptions()).parts()]
    [['a']]
    """
    module = import_module(f"yamcs_archive.{FORMATS[name].module}")
    reader: EventReader = module.open_reader(source, options)
    return reader
