"""Sends the same requests to a real Yamcs server and to this archive, and classifies the differences.

    python -m benchmarks.differential

It needs Java 17 or newer. The intended differences are in ``benchmarks/differential/rules.py``.
"""
