"""The intended differences, each a rule with a name and a reason. docs/compatibility.md lists them all.

A rule makes two answers equal in its one aspect only. The rules that may apply to a request are tried in
turn. If the answers are equal in the end, the difference is by design, explained by the rules that changed
something. Any other difference is a fault.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.differential import aspects
from benchmarks.differential.exchange import Answer, Case


@dataclass(frozen=True, slots=True)
class Rule:
    """One aspect in which the answers may differ."""

    name: str
    there: str
    """The behaviour of a Yamcs server."""
    here: str
    why: str
    reconcile: Callable[[Case, Answer, Answer], aspects.Answers]
    """Returns both answers, made equal in this aspect."""
    anywhere: bool = False
    """Whether it may explain a difference in the answer to any request."""


def judge(case: Case, theirs: Answer, ours: Answer) -> tuple[bool, list[str]]:
    """Return whether the answers are equal in the end, and the rules that made them so.

    >>> judge(Case("c", "GET", "/events"), Answer(200, {}, 1), Answer(200, {}, 1))
    (True, [])
    """
    used = []
    for rule in RULES:
        if theirs == ours:
            break
        if rule.anywhere or rule.name in case.may:
            found = rule.reconcile(case, theirs, ours)
            if found != (theirs, ours):
                used.append(rule.name)
                theirs, ours = found
    return theirs == ours, used


RULES = (
    Rule(
        "error-text",
        "its words",
        "ours, with field, value and bound; the same status and `type`, and for filters the same `msg`",
        "an error says what to do",
        aspects.error_text,
        anywhere=True,
    ),
    Rule(
        "error-form",
        "`text/plain` for unknown paths and methods",
        "the flat form, with `allow`",
        "one form for all errors",
        aspects.unknown,
        anywhere=True,
    ),
    Rule(
        "microseconds",
        "times are cut to milliseconds",
        "microseconds are kept",
        "times are kept as they were given",
        aspects.microseconds,
        anywhere=True,
    ),
    Rule(
        "filter-reason",
        "positions, but none where the first token is at fault",
        "positions always, and a `reason`",
        "an error says what to do",
        aspects.dropped_detail,
        anywhere=True,
    ),
    Rule(
        "order-of-equal-times",
        "by first appearance of the source",
        "by source name, then number",
        "the same on every copy of the archive",
        aspects.order,
        anywhere=True,
    ),
    Rule(
        "order-at-a-cut",
        "a page ends among events of one time",
        "among others of that time",
        "equal times have another order",
        aspects.cut,
    ),
    Rule(
        "own-numbers",
        "one counter for all sources, from 0 at each start; a number without a source is ignored",
        "each source has its own, which survives restarts; a number without a source counts, under `User`",
        "numbers are part of the key",
        aspects.numbers,
    ),
    Rule(
        "numbers-exhausted",
        "its counter goes on",
        "400 when a source has used 2147483647",
        "a number is never used again",
        aspects.refused_here,
    ),
    Rule(
        "accepted-events",
        "sources of events that are refused here",
        "sources of events that are refused there",
        "it follows from the other rules",
        aspects.taken,
    ),
    Rule("empty-source", "stored empty", "`User`", "keys need a source", aspects.source),
    Rule(
        "conflict",
        "the second event with a key is dropped, and answered 200",
        "409 with both events",
        "no event is lost silently",
        aspects.statuses([200], 409, "ConflictException"),
    ),
    Rule(
        "form-of-2016",
        "400",
        "accepted, and answered in its form",
        "the documented API keeps working",
        aspects.taken_here,
    ),
    Rule(
        "long-source",
        "accepted, of any length",
        "400 beyond 255 bytes, and for NUL",
        "sources are part of the key",
        aspects.refused_here,
    ),
    Rule(
        "their-500",
        "500 for bad severities, numbers, positions and tokens",
        "400",
        "it is the request's fault",
        aspects.their_fault,
    ),
    Rule(
        "impossible-time",
        "30 February, hour 25: the next possible instant",
        "400",
        "a typing error must not become another time",
        aspects.refused_here,
    ),
    Rule(
        "strict-json",
        "single quotes, comments, bare words, text after the value, invalid UTF-8: accepted",
        "400",
        "a body with more than one possible meaning is refused",
        aspects.refused_here,
    ),
    Rule(
        "large-body",
        "413 beyond 64 KiB",
        "up to 8 MiB",
        "messages of 1 MiB are legal",
        aspects.statuses([413], 200),
    ),
    Rule(
        "compressed-body",
        "400",
        "415",
        "the status says what is wrong",
        aspects.statuses([400], 415),
    ),
    Rule(
        "limit-below-1",
        "never answered",
        "400",
        "a request must be answered",
        aspects.statuses([None], 400, aspects.BAD),
    ),
    Rule(
        "bad-order", "descending", "400", "a typing error must not become another order", aspects.refused_here
    ),
    Rule(
        "bad-severity-parameter",
        "no events",
        "400 with the choices",
        "no events would be a wrong answer",
        aspects.refused_here,
    ),
    Rule(
        "old-severity-parameter",
        "`warning_new` finds nothing",
        "is WARNING",
        "that name means WARNING when an event is created",
        aspects.nothing_there,
    ),
    Rule(
        "old-severities",
        "`warning` leaves out events sent as WARNING_NEW, `error` finds only those sent as ERROR",
        "WARNING_NEW is WARNING, ERROR ranks with SEVERE",
        "a minimum must include events that are shown with that severity",
        aspects.more_here,
    ),
    Rule(
        "escaped-path",
        "escapes count in the instance's name only",
        "in every part of the path",
        "`%65` and `e` mean the same",
        aspects.statuses([404], 200),
    ),
    Rule(
        "empty-parameter",
        "empty `severity` and `source` find nothing, an empty `delimiter` is a 400",
        "as if not given",
        "an empty field of a form filters nothing",
        aspects.nothing_there,
    ),
    Rule(
        "paging",
        "events of one time may be lost or repeated",
        "each event once",
        "a page must not lose events",
        aspects.both_answer,
    ),
    Rule(
        "text-is-text",
        "`q` is a regular expression, except for `%`, `?` and `.`; a bad one finds nothing",
        "only `%` and `?` mean something",
        "`(` must find `(`",
        aspects.both_answer,
    ),
    Rule(
        "severity-in-filters",
        "compared by position in an enum: `severity>warning` includes WATCH, not ERROR",
        "by rank, as documented",
        "the documentation is right",
        aspects.both_answer,
    ),
    Rule(
        "filter-forms",
        "blanks after `(`, `-(…)`, `NOT NOT` are 400",
        "accepted",
        "they are harmless",
        aspects.taken_here,
    ),
    Rule(
        "filter-fields",
        "`Field not found`",
        "also `generationTime`, `receptionTime`, `createdBy`, `extra.KEY`",
        "every stored field can be searched",
        aspects.taken_here,
    ),
    Rule(
        "filter-numbers",
        "a value that is not a number finds nothing, or gives a 500 when an event is examined",
        "400",
        "it is the request's fault",
        aspects.statuses([200, 500], 400, aspects.BAD),
    ),
    Rule(
        "unicode-case",
        "letters beyond ASCII keep their case when compared",
        "Unicode case folding",
        "names are not ASCII everywhere",
        aspects.both_answer,
    ),
    Rule(
        "regular-expressions",
        "Java's, in unbounded time",
        "RE2's, in linear time; a construct that RE2 lacks is a 400 that names it",
        "a pattern must not hold a thread for ever",
        aspects.refused_here,
    ),
    Rule(
        "server-info",
        "version, plug-ins, revision of a Yamcs server",
        "`yamcsVersion` names the API, the plug-in `yamcs_archive` names this program",
        "clients read it",
        aspects.only({"yamcsVersion", "defaultYamcsInstance"}),
    ),
    Rule(
        "instance",
        "databases, processors and more",
        "name, state, mission time",
        "there is nothing else",
        aspects.only({"name", "state", "missionTime"}),
    ),
    Rule(
        "index-grain",
        "records are coarser than `mergeTime`",
        "exact; only the number of events of each source is compared",
        "the archive keeps no histogram: it reads keys",
        aspects.index_grain,
    ),
    Rule(
        "live-after-commit",
        "an event is published before it is stored, even if it is then dropped",
        "stored events, after their commit",
        "every event that was shown is stored",
        aspects.less_live,
    ),
    Rule(
        "web-pages",
        "the web interface, at every path outside the API",
        "404",
        "there is none",
        aspects.statuses([200], 404, "NotFoundException"),
    ),
    Rule(
        "user",
        "`creationTime`",
        "without",
        "it has no meaning for `guest`",
        aspects.only({"name", "displayName"}),
    ),
)
"""The rules, in the order in which they are tried; those for all requests come first."""


def rows() -> list[str]:
    """Return the rows of the table in docs/compatibility.md.

    >>> rows()[0].startswith("| error-text | its words |")
    True
    """
    return [f"| {rule.name} | {rule.there} | {rule.here} | {rule.why} |" for rule in RULES]
