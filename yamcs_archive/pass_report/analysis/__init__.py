"""Events, column by column, to a report. Begin with ``analyser``, which hands them to the measures.

``numbering`` has gaps, restarts and steps of clocks, ``arrival`` delays and the order of storage, ``pace``
rates, bursts and silences, ``template_counts`` messages. ``grouping`` sorts events by source for them.
For ``template_counts``, ``template_numbers`` finds the template of each message: ``message_texts`` knows
where it is, ``known_texts`` what was seen before, ``masking`` what to make of a new one.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401  # before numpy
