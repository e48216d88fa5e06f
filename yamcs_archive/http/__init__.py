"""The Yamcs events API: a core without I/O, and thin adapters for ASGI and WSGI servers.

Read ``exchange`` first: the steps that all requests share. ``application`` makes exchanges, ``routes`` finds
the handler of a request, in ``handlers``. ``asgi`` and ``wsgi`` are the adapters; ``live`` sends updates over
WebSockets. ``admission`` bounds how much is in progress at once.
"""
