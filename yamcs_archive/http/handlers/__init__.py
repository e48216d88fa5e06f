"""The handlers: each turns a request into questions to an instance, and the results into an answer.

``append`` stores events, ``history`` and ``event_index`` read them, and ``changes`` follows what is stored.
``server`` describes the server and its instances, ``health`` says whether it is ready. ``routes`` says which
path leads to which handler.
"""
