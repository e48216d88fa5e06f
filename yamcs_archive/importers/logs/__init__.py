"""Logs of other programs, read as events: one module for each kind, each with its rules.

Read ``forms`` first: what a kind of log has to say of itself. ``log_reader`` reads a file by a form.
``lines`` cuts files into lines, ``clock`` and ``time_format`` make instants of the times in them,
``severities`` and ``numbering`` make what an event needs and a line does not have.
"""
