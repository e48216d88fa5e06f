"""Lines of syslog: RFC 5424, RFC 3164, and what daemons write to files; each line is recognised by itself.

1. RFC 5424: ``<PRI>1 TIME HOST APP PROCID MSGID [DATA] MESSAGE``. MSGID becomes the type; each parameter of
   the structured data is in ``extra`` as ``ID.NAME``. A line without a time is rejected.
2. RFC 3164: ``<PRI>Mmm dd hh:mm:ss HOST TAG[PID]: MESSAGE``. Files have no ``<PRI>``; the severity is INFO
   then. The time has neither year nor zone.
3. Today's files have a time of RFC 3339 in place of that one.
4. The source is the program: the tag, or APP; the host if there is none. ``host``, ``pid``, ``facility`` and
   ``severity`` are in ``extra``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from yamcs_archive.event import Event, Severity
from yamcs_archive.files.reading import EventReader, ReadOptions, Source
from yamcs_archive.importers.logs import severities
from yamcs_archive.importers.logs.clock import Clock
from yamcs_archive.importers.logs.forms import Record, Unfit
from yamcs_archive.importers.logs.lines import records_of_lines
from yamcs_archive.importers.logs.log_reader import opened
from yamcs_archive.importers.logs.time_format import MONTH_NUMBERS, iso, second_of_day

FACILITIES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
    "ntp", "security", "console", "solaris-cron",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
)  # fmt: skip
"""The names of the facilities by their number (RFC 5424, section 6.2.1)."""
_PRIORITY_MAX = 191
_PRIORITY = re.compile(r"<(\d{1,3})>", re.ASCII)
_RFC_5424 = re.compile(
    r"1 (?P<time>\S+) (?P<host>\S+) (?P<app>\S+) (?P<pid>\S+) (?P<id>\S+) (?P<rest>[-\[].*)", re.DOTALL
)
_OLD = re.compile(
    r"(?P<month>[A-Z][a-z]{2}) (?P<day>[ \d]\d) (?:(?P<year>\d{4}) )?"
    r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)(?:\.(?P<fraction>\d+))? (?P<rest>.*)",
    re.ASCII | re.DOTALL,
)
_NEW = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT\S+) (?P<rest>.*)", re.ASCII | re.DOTALL)
_TAGGED = re.compile(
    r"(?:(?P<host>\S+) )?(?P<tag>[^\s:\[]{1,255})(?:\[(?P<pid>[^\]\s]*)\])?: ?(?P<message>.*)", re.DOTALL
)
_PARAMETER = re.compile(r' ([!-<>-\\^-~]{1,32})="((?:[^"\\]|\\.)*)"', re.DOTALL)
_DATA_ID = re.compile(r"\[([!-<>-\\^-~]{1,32})")
_ESCAPED = re.compile(r'\\(["\\\]])')
_NIL = "-"


class Syslog:
    """The form of such lines."""

    unit = "line"

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def records(self, chunks: Iterable[bytes]) -> Iterator[Record]:
        """Yield the lines."""
        return records_of_lines(chunks)

    def event(self, text: str) -> Event:
        """Return the event of a line.

        >>> from yamcs_archive.importers.logs.clock import Zone
        >>> clock = Clock(Zone.named("UTC"), first_year=2003)
        >>> event = Syslog(clock).event("<34>Oct 11 22:14:15 mymachine su[7]: 'su root' failed")
        >>> event.source, event.severity, event.message, event.extra["facility"]
        ('su', <Severity.CRITICAL: 4>, "'su root' failed", 'auth')
        """
        extra: dict[str, str] = {}
        severity = Severity.INFO
        if priority := _PRIORITY.match(text):
            number = int(priority[1])
            if number > _PRIORITY_MAX:
                raise Unfit(f"its priority {number} is more than {_PRIORITY_MAX}")
            severity = severities.SYSLOG[number % 8]
            extra["facility"], extra["severity"] = (
                FACILITIES[number // 8],
                severities.SYSLOG_NAMES[number % 8],
            )
            text = text[priority.end() :]
            if found := _RFC_5424.fullmatch(text):
                return self._structured(found, severity, extra)
        if found := _OLD.fullmatch(text):
            return self._named(self._old_time(found), found["rest"], severity, extra)
        if found := _NEW.fullmatch(text):
            return self._named(iso(found["time"], self._clock), found["rest"], severity, extra)
        raise Unfit("is not a line of syslog")

    def _old_time(self, found: re.Match[str]) -> int:
        month = MONTH_NUMBERS.get(found["month"].lower())
        if month is None:
            raise Unfit(f"there is no month {found['month']}")
        day = int(found["day"])
        second = second_of_day(int(found["hour"]), int(found["minute"]), int(found["second"]))
        micros = int((found["fraction"] or "")[:6].ljust(6, "0"))
        if found["year"]:  # some devices add it
            return self._clock.dated(int(found["year"]), month, day, second, micros)
        return self._clock.yearless(month, day, second, micros)

    def _named(self, time: int, rest: str, severity: Severity, extra: dict[str, str]) -> Event:
        """Return the event of a line whose time was read: a host and a tag follow, or less."""
        tagged = _TAGGED.fullmatch(rest)
        if tagged is None:  # "host last message repeated 2 times", or "host -- MARK --"
            host, _, message = rest.partition(" ")
            return Event(message, host, severity, None, time, extra={**extra, "host": host})
        host, tag, pid, message = tagged.groups()
        if host:
            extra["host"] = host
        if pid:
            extra["pid"] = pid
        return Event(message, tag, severity, None, time, extra=extra)

    def _structured(self, found: re.Match[str], severity: Severity, extra: dict[str, str]) -> Event:
        stamp, host, app, pid, kind, rest = found.groups()
        if stamp == _NIL:
            raise Unfit("has no time")
        message = _with_data(rest, extra)
        for name, value in (("host", host), ("pid", pid)):
            if value != _NIL:
                extra[name] = value
        source = app if app != _NIL else host if host != _NIL else ""
        time = iso(stamp, self._clock)
        return Event(message, source, severity, None if kind == _NIL else kind, time, extra=extra)


def _with_data(text: str, extra: dict[str, str]) -> str:
    """Add the structured data at the head of a text to ``extra``; return the message that follows it."""
    if text.startswith(_NIL):
        end = 1
    else:
        end = 0
        while begun := _DATA_ID.match(text, end):
            end = begun.end()
            while parameter := _PARAMETER.match(text, end):
                value = parameter[2]
                if "\\" in value:
                    value = _ESCAPED.sub(r"\1", value)
                extra[f"{begun[1]}.{parameter[1]}"] = value
                end = parameter.end()
            if text[end : end + 1] != "]":
                raise Unfit(f"its structured data cannot be read from {text[end : end + 20]!r} on")
            end += 1
    if end < len(text) and text[end] != " ":
        raise Unfit(f"its structured data is followed by {text[end]!r}")
    return text[end + 1 :].removeprefix("\ufeff")


def open_reader(source: Source, options: ReadOptions) -> EventReader:
    """Return the reader of a log."""
    return opened(source, options, lambda clock, _: Syslog(clock))
