"""The severity of an event, by the severity that a log gives in terms of its own. Pure.

One table for each kind of log; docs/importing.md shows them. What a log says is also kept in ``extra``, for
several of its severities may become one of ours.
"""

from __future__ import annotations

from collections.abc import Mapping

from yamcs_archive.errors import InvalidInputError
from yamcs_archive.event import Severity
from yamcs_archive.importers.logs.forms import Unfit

SYSLOG = (
    Severity.SEVERE,  # emergency
    Severity.SEVERE,  # alert
    Severity.CRITICAL,
    Severity.DISTRESS,  # error
    Severity.WARNING,
    Severity.WATCH,  # notice
    Severity.INFO,
    Severity.INFO,  # debug
)
"""By the number of syslog (RFC 5424, section 6.2.1), which journald's PRIORITY is too."""

SYSLOG_NAMES = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")

FPRIME = {
    "DIAGNOSTIC": Severity.INFO,
    "COMMAND": Severity.INFO,
    "ACTIVITY_LO": Severity.INFO,
    "ACTIVITY_HI": Severity.INFO,
    "WARNING_LO": Severity.WARNING,
    "WARNING_HI": Severity.DISTRESS,
    "FATAL": Severity.SEVERE,
}
"""By the severity of F Prime's events."""

COSMOS = {
    "DEBUG": Severity.INFO,
    "INFO": Severity.INFO,
    "WARN": Severity.WARNING,
    "ERROR": Severity.DISTRESS,
    "FATAL": Severity.SEVERE,
}
"""By the level of COSMOS' log messages."""

WORDS = {
    **{name.lower(): severity for name, severity in Severity.__members__.items()},
    **dict(zip(SYSLOG_NAMES, SYSLOG, strict=True)),
    "trace": Severity.INFO,
    "verbose": Severity.INFO,
    "fine": Severity.INFO,
    "information": Severity.INFO,
    "informational": Severity.INFO,
    "note": Severity.WATCH,
    "warn": Severity.WARNING,
    "error": Severity.DISTRESS,
    "failure": Severity.DISTRESS,
    "critical": Severity.CRITICAL,
    "emergency": Severity.SEVERE,
    "fatal": Severity.SEVERE,
    "panic": Severity.SEVERE,
    "d": Severity.INFO,
    "i": Severity.INFO,
    "w": Severity.WARNING,
    "e": Severity.DISTRESS,
    "f": Severity.SEVERE,
}
"""By a word, in lower case: the names of this archive, of syslog, of logging libraries, and their letters. An
``error`` of a log is none of the 2016 API, and becomes DISTRESS, as Python's ERROR does in the logging
handler."""


def by_word(word: str, own: Mapping[str, Severity]) -> Severity:
    """Return the severity that a word, or a number of syslog, means; ``own`` is asked first.

    Raises Unfit for a word that is not known.

    >>> by_word(" Warn ", {}), by_word("3", {}), by_word("W2", {"w2": Severity.WATCH})
    (<Severity.WARNING: 2>, <Severity.DISTRESS: 3>, <Severity.WATCH: 1>)
    """
    key = word.strip().lower()
    found = own[key] if key in own else WORDS.get(key)
    if found is None and len(key) == 1 and key in "01234567":
        found = SYSLOG[int(key)]
    if found is None:
        shown = word.strip()[:40]
        raise Unfit(f"its severity {shown!r} is not known: say what it is with --severity {shown}=INFO")
    return found


def own_words(pairs: list[tuple[str, str]]) -> dict[str, Severity]:
    """Return what a user says that words mean: pairs of a word and a severity of this archive.

    Raises :class:`~yamcs_archive.errors.InvalidInputError` for a name that is none.

    >>> own_words([("OOL", "warning")])
    {'ool': <Severity.WARNING: 2>}
    """
    found = {}
    for word, name in pairs:
        try:
            found[word.strip().lower()] = Severity.parse(name)
        except InvalidInputError as error:
            raise InvalidInputError(f"severity of {word!r}", name, error.rule) from None
    return found
