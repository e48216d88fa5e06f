"""What an answer leaves out because it is damaged: counted, logged, and said in a header if there is one."""

from __future__ import annotations

import logging

from yamcs_archive.errors import DamagedError
from yamcs_archive.http.query import fields_of_query
from yamcs_archive.http.request_and_response import Head, Headers

_log = logging.getLogger(__name__)
PARAMETER = "skip_damaged"
HEADER = "events-left-out"


class LeftOut:
    """Is called with each damage that reading goes round.

    >>> left_out = LeftOut()
    >>> left_out.headers
    ()
    """

    def __init__(self) -> None:
        self.places = self.events = 0

    def __call__(self, error: DamagedError) -> None:
        """Count it, and log it."""
        self.places += 1
        self.events += error.events or 0
        span = "" if error.first is None else f", from {error.first} to {error.last}"
        _log.warning("left out on request%s: %s", span, error)

    @property
    def headers(self) -> Headers:
        """The header of an answer that was made whole before its first byte left; none if nothing is missing.

        It has the number of events left out, as far as it is known.
        """
        return ((HEADER, str(self.events)),) if self.places else ()


def left_out_of(head: Head) -> LeftOut | None:
    """Return what an answer leaves out, at first nothing; None unless the query string asks for that.

    >>> left_out_of(Head("GET", "/", "skip_damaged=false")) is None
    True
    """
    return LeftOut() if fields_of_query(head.query, (PARAMETER,)).flag(PARAMETER) else None
