"""The routes: each handler turns a request into questions to an instance, and the answer into a response.

One module for each kind: ``append`` stores events, ``history`` and ``event_index`` read them, ``changes``
follows what is stored, ``server`` tells of the server and its instances. Which path leads to which handler
is in ``routes``.
"""
