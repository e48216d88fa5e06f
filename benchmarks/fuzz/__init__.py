"""Inputs that nobody would send, for every parser and for the whole API: ``python -m benchmarks.fuzz``.

Read ``targets`` first: a target is a function that takes bytes and raises nothing but the errors which it is
documented to raise. ``wire_targets``, ``log_targets``, ``storage_targets`` and ``http_targets`` have them;
``mutation`` makes inputs from valid ones; ``runner`` feeds a target in a process of its own, with bounds for
time and memory, so that a hang or a crash is a finding too. ``guided`` feeds the same targets by coverage,
where atheris is installed.

Each input is made from the target's name, a seed and the input's number, so that one can be repeated.
"""
