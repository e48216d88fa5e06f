"""The fast path: thousands of events at once between bytes and columns, by numpy and functions written in C.

It changes no answer. Whatever it does not take (a rare field, another form, a fault) goes event by event
through ``json``, ``protobuf`` and ``csv`` of the folder above, which hold the rules. ``decoder`` and
``protobuf_decoder`` read batches, ``encoder`` writes streams and pages, ``vectors`` is what it is given,
``timestamps`` and ``moments`` write and read instants.
"""

import yamcs_archive.signal_safe_numpy  # noqa: F401
