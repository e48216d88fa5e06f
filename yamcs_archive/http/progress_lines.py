"""Long work whose answer is lines of JSON: its progress about each second, and what it found in the last one.

1. The work has a thread of its own, so that a line comes also while it is silent. It is told to end when the
   client leaves: then the lines are closed.
2. What fails within the first second is raised, and is an answer like any other. Later, the status is sent
   already, and the error is the last line.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import Any, TypeVar

from yamcs_archive.errors import UnavailableError
from yamcs_archive.http.errors import error_reply
from yamcs_archive.wire import json
from yamcs_archive.wire.codecs import JSON_CODEC

T = TypeVar("T")
LINES = "application/x-ndjson"
TELL_S = 1.0
"""Seconds between two lines of progress."""


def progress_lines(
    work: Callable[[Callable[[int, int], None], Callable[[], bool]], T | None],
    given_up: Callable[[], bool],
    shown: Callable[[T], Mapping[str, Any]],
    what: str,
) -> Iterator[bytes]:
    """Yield the lines of some work; ``what`` names it in the error that ends it when nobody waits.

    The work is called with a function that takes the number of events read so far and that of all, and with
    one that returns True once it should end; then it returns None.

    >>> def count(tell, cancelled):
    ...     return 3
    >>> list(progress_lines(count, lambda: False, lambda found: {"events": found}, "count"))
    [b'{"result":{"events":3}}\\n']
    """
    ended: Future[T | None] = Future()
    far: dict[str, int] = {"read": 0}
    left = threading.Event()

    def tell(read: int, all_: int) -> None:
        far.update(read=read, events=all_)

    def do() -> None:
        try:
            found = work(tell, lambda: left.is_set() or given_up())
        except BaseException as error:
            ended.set_exception(error)
        else:
            ended.set_result(found)

    thread = threading.Thread(target=do, name=f"archive-{what}", daemon=True)
    thread.start()
    try:
        begun = False
        while not wait([ended], TELL_S).done:
            begun = True
            yield json.encode_line({"progress": dict(far)})
        yield _last_line(ended, shown, what, begun=begun)
    finally:
        left.set()  # the client has left, if it has not ended
        thread.join()


def nobody_waits(what: str) -> UnavailableError:
    """Return the error for work that was ended because its client has left."""
    return UnavailableError(f"the {what} was ended: nobody waits for its answer")


def _last_line(
    ended: Future[T | None], shown: Callable[[T], Mapping[str, Any]], what: str, *, begun: bool
) -> bytes:
    try:
        found = ended.result()
        if found is None:
            raise nobody_waits(what)
    except Exception as error:
        if not begun:
            raise
        body = error_reply(error, JSON_CODEC).body
        said = body if isinstance(body, bytes) else b"".join(body)
        return json.encode_line({"error": json.decode_object(said)})
    return json.encode_line({"result": shown(found)})
