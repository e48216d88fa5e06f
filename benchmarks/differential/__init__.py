"""The same requests to a real Yamcs server and to this archive: what differs, and whether that is meant.

    python -m benchmarks.differential

It needs Java 17 or newer. See ``benchmarks/differential/rules.py`` for how a difference is judged.
"""
