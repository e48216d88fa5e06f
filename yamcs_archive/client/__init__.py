"""A served archive over HTTP: for Python programs, the command line, importers and mirrors.

Read ``transport`` first: the one HTTP client of this project, with connections, time limits and retries; it
knows no events. ``way`` has the proxies, ``authorization`` the credentials. ``websocket`` subscribes to live
events, and is loaded only where that is done: its package is an extra. ``client`` and ``instance`` are what
users hold, with the methods of ``Archive`` and ``Instance``. ``queries`` and ``bodies`` make the bodies of
requests; ``answer_codec`` reads those of answers.

A request is *repeatable* if it may be sent twice: it changes nothing, or has an idempotency key.
"""

from yamcs_archive.client.client import Client
from yamcs_archive.client.instance import RemoteInstance

__all__ = ["Client", "RemoteInstance"]
