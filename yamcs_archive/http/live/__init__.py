"""Live updates over a WebSocket, as Yamcs clients subscribe to them.

``websocket`` is the ASGI adapter, ``session`` the protocol of one connection and ``send_queue`` its queue of
frames. ``hub`` puts the events of an instance into the queues of all subscribers. ``beside_events`` has the
calls that are about anything else. Only ``websocket`` knows an event loop.
"""
