"""The handlers: each turns a request into questions to an instance, and the results into an answer.

``append`` stores events, ``history`` and ``event_index`` read them, ``changes`` follows what is stored, and
``server`` describes the server and its instances, and says whether it is ready. ``beside_events`` answers
what clients of a Yamcs server ask for beside events.
"""
