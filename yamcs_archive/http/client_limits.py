"""How much one client may ask: requests under way at once, and requests a second. No I/O.

A client is an address. Behind a proxy all clients may have the proxy's, so nothing is limited unless it is
asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from time import monotonic

from yamcs_archive.http.errors import HttpError
from yamcs_archive.http.limits import CLIENTS_KNOWN_MAX


@dataclass(slots=True)
class _Client:
    under_way: int
    left: float
    """Requests that it may send at once."""
    since_s: float


class ClientLimits:
    """Counts the requests of each client. For one event loop.

    ``under_way_max`` and ``per_s_max`` are None for no limit. A client that has asked for nothing for a while
    may send as many requests at once as it may in a second.

    >>> limits = ClientLimits(under_way_max=1, per_s_max=None)
    >>> limits.enter("10.0.0.7"), limits.enter("10.0.0.8"), limits.leave("10.0.0.7"), limits.enter("10.0.0.7")
    (None, None, None, None)
    >>> limits.enter("10.0.0.7")
    Traceback (most recent call last):
      ...
    yamcs_archive.http.errors.HttpError: 1 requests of 10.0.0.7 are under way, the limit for one client: ...
    """

    def __init__(
        self, under_way_max: int | None, per_s_max: int | None, now_s: Callable[[], float] = monotonic
    ) -> None:
        self._under_way_max, self._per_s_max = under_way_max, per_s_max
        self._now_s = now_s
        self._clients: OrderedDict[str, _Client] = OrderedDict()

    @property
    def known(self) -> int:
        """The number of clients that are remembered."""
        return len(self._clients)

    def enter(self, address: str) -> None:
        """Count a request, until :meth:`leave`. Raises an HttpError (429) if the client asks too much."""
        client = self._clients.get(address)
        if client is None:
            client = _Client(0, float(self._per_s_max or 0), self._now_s())
            self._clients[address] = client
            self._forget()
        else:
            self._clients.move_to_end(address)
        if self._under_way_max is not None and client.under_way >= self._under_way_max:
            raise _too_many(f"{self._under_way_max} requests of {address} are under way", 1)
        if self._per_s_max is not None:
            now_s = self._now_s()
            client.left = min(self._per_s_max, client.left + (now_s - client.since_s) * self._per_s_max)
            client.since_s = now_s
            if client.left < 1:
                wait_s = (1 - client.left) / self._per_s_max
                raise _too_many(
                    f"{address} has sent more than {self._per_s_max} requests in a second", wait_s
                )
            client.left -= 1
        client.under_way += 1

    def leave(self, address: str) -> None:
        """Note that a request has ended."""
        client = self._clients.get(address)
        if client is not None:
            client.under_way -= 1

    def _forget(self) -> None:
        """Forget the one that has asked least recently, if there are too many, and none that waits."""
        if len(self._clients) <= CLIENTS_KNOWN_MAX:
            return
        for address, client in self._clients.items():
            if not client.under_way:
                del self._clients[address]
                return


def _too_many(what: str, wait_s: float) -> HttpError:
    return HttpError(
        429,
        "TooManyRequestsException",
        f"{what}, the limit for one client: send it again later",
        (("retry-after", str(max(1, ceil(wait_s)))),),
    )
