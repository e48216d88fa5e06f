"""Live updates over a WebSocket, as Yamcs clients subscribe to them.

``websocket`` is the ASGI adapter, ``session`` the protocol of one connection, ``send_queue`` what waits to
be sent to it, and ``hub`` gives what an instance stores to all who subscribed. Only ``websocket`` knows an
event loop.
"""
