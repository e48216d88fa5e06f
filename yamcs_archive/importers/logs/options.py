"""What a user may say of a log beside its format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from yamcs_archive.event import Severity
from yamcs_archive.files.reading import ReadOptions


@dataclass(frozen=True, kw_only=True)
class LogOptions(ReadOptions):
    """Each format uses what concerns it. A log always has a reject function, or ends at its first bad
    line."""

    timezone: str = "local"
    """The zone of times that name none: as :meth:`~yamcs_archive.importers.logs.clock.Zone.named`."""
    year: int | None = None
    """The year of the first time that has none; None: it is inferred."""
    source: str | None = None
    """The source of events that name none; None: the name of the file, without its ends."""
    pattern: str | None = None
    """For ``lines``: a regular expression with named groups."""
    continuation: bool = False
    """For ``lines``: whether lines that do not match continue the event before."""
    time_format: str | None = None
    """For ``lines`` and ``mapped``; None: ISO 8601, and for ``mapped`` numbers, too."""
    mapping: tuple[str, ...] = ()
    """For ``mapped``: pairs as ``message=.msg``."""
    severities: Mapping[str, Severity] = field(default_factory=dict)
    """For ``lines`` and ``mapped``: what words mean, in lower case, where it differs from the usual."""
