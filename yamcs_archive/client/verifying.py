"""Verification of an instance of a served archive, with its progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from yamcs_archive import arguments
from yamcs_archive.client.answer_codec import check_media, error_of, object_of
from yamcs_archive.client.transport import Answer, Request, Transport
from yamcs_archive.results import Verification
from yamcs_archive.wire.verification import verification_of

OPERATION_S = 86_400.0
"""Seconds that an operation may take: the server answers when it is done."""
_LINES = "application/x-ndjson"
_OK = 200


class RemoteVerification(ABC):
    """Has a server verify an instance."""

    name: str
    _transport: Transport

    @abstractmethod
    def ask(self, request: Request) -> Answer:
        """Send a request about this instance and return its answer, if its status is 200."""

    def verify(
        self, *, quick: bool = False, progress: Callable[[int, int], None] | None = None
    ) -> Verification:
        """Have the server read everything that is stored, and return what is wrong.

        See :meth:`Instance.verify <yamcs_archive.Instance.verify>`. ``progress`` is called about once a
        second, with the number of events read so far and with that of all. The server must allow operations
        (``serve --allow-operations``); otherwise this raises
        ServerRefusedError with status 403. ServerUnavailableError while another verification of the instance
        is under way.

        >>> sim.verify().faults
        ()
        """
        asked = ["quick=true"] * arguments.flag("quick", quick) + ["progress=true"] * (progress is not None)
        path = f"/api/archive/{quote(self.name, safe='')}:verify{'?' * bool(asked)}{'&'.join(asked)}"
        request = Request("POST", path, wait_s=OPERATION_S, repeatable=False)
        if progress is None:
            found = object_of(self._transport, self.ask(request))
        else:
            found = self._followed(request._replace(accept=_LINES), progress)
        try:
            return verification_of(found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.strange(f"it is no verification: {error!r}") from None

    def _followed(self, request: Request, progress: Callable[[int, int], None]) -> Mapping[str, Any]:
        """Tell the progress in an answer's lines; return the result in the last one, or raise its error."""
        with self._transport.stream(request) as (answer, pieces):
            if answer.status != _OK:
                raise error_of(self._transport, answer, request.path, self.name)
            check_media(self._transport, answer, request.accept)
            for line in _lines(pieces):
                match object_of(self._transport, answer._replace(body=line)):
                    case {"progress": {"read": int(read), "events": int(events)}}:
                        progress(read, events)
                    case {"result": dict(found)}:
                        return found
                    case {"error": {"code": int(status)} as error}:
                        said = answer._replace(status=status, body=msgspec.json.encode(error))
                        raise error_of(self._transport, said, request.path, self.name)
        raise self._transport.strange("it ends before the result of the verification")


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Yield the lines in pieces of a body.

    >>> list(_lines(iter([b"a\\nb", b"c\\n"])))
    [b'a', b'bc']
    """
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from lines
