"""Thresholds and bounds of reports, each with its unit and reason. Imports nothing."""

from __future__ import annotations

# Thresholds

LATE_AFTER_S_DEFAULT, LATE_AFTER_S_MAX = 60.0, 1e9
"""Delay beyond which an event is late, in seconds: if no other is asked for (as ``/metrics`` counts), and at
most: some thirty years."""

AHEAD_US = 1_000_000
"""An event that is generated later than received by more was stamped by a clock that is ahead."""

JUMP_BACK_US, JUMP_FORTH_US = 1_000_000, 60_000_000
"""Least step of a clock, in microseconds. Forth it must be told from delays, which vary by seconds."""

PACE_US_MAX = 1_000_000
"""Most by which the two events after a step may differ in their delays, in microseconds: a clock that was set
goes on as before, and late events each have another delay."""

BURST_FACTOR, BURST_EVENTS = 10, 20
"""A burst is a minute with more than ten times the usual number of events, and more than 20."""

SILENCE_FACTOR, SILENCE_US = 10, 10_000_000
"""A silence is a pause of more than ten times the usual one, and more than 10 s. Usual is what nine of ten do
not exceed: pauses vary much more than rates do, and many sources send some events together."""

SCATTERED_RUNS = 100
"""Runs of numbers up to which a source counts, however few its numbers are: a lossy one has as many."""

OUTSIDE_US = 3_600_000_000
"""How far before and after the window missing numbers are looked for, in microseconds: an hour, by which few
clocks are wrong and few events are late."""

# Bounds

WINDOW_EVENTS = 1 << 18
"""Events that are analysed together: their columns take some 30 MB, and what is done once for each source and
window costs little beside what is done for each event."""

SOURCES_MAX = 5_000
"""Sources that are told one by one: each takes up to 19 KB."""

PENDING_EVENTS_MAX = 1 << 20
"""Events that are remembered, to find those that overtook them: 24 MB."""

RUNS_MAX = 500_000
"""Runs of numbers that are remembered, of all sources together: 32 MB."""

SCATTERED_EARLY_RUNS = 10_000
"""Runs beyond which a source that does not count is not followed to the end."""

RESTARTS_MAX = 1_000
"""Restarts of one source that are followed; a source with more has no order of numbers."""

TEMPLATES_MAX, TEMPLATES_BYTES_MAX = 100_000, 32 << 20
"""Templates that are told apart, and the bytes of their texts and examples together."""

TEMPLATES_LISTED_MAX = 10_000
"""Templates in a report: some 3 MB of JSON."""

MASKED_KNOWN_BYTES_MAX = 24 << 20
"""Bytes of the messages, without their digits, whose template is remembered; their tables have up to twice as
much room."""

MESSAGE_CHARACTERS_MAX = 2_000
"""Characters of a message that make its template; longer ones are cut there, and the template ends in an
ellipsis."""

EXAMPLE_CHARACTERS_MAX = 500
"""Characters of an example."""

TOP_DEFAULT, TOP_MAX = 10, 1_000
"""Entries of each list if no number is asked for, and at most."""

RAREST = 10
"""Templates in the list of the rarest."""
