"""Verification of an instance of a served archive, with its progress."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from urllib.parse import quote

from yamcs_archive import arguments
from yamcs_archive.client.answer_codec import object_of
from yamcs_archive.client.progress_lines import OPERATION_S, followed
from yamcs_archive.client.transport import Answer, Request, Transport
from yamcs_archive.results import Verification
from yamcs_archive.wire.verification import verification_of


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
            found = followed(self._transport, request, self.name, progress)
        try:
            return verification_of(found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.strange(f"it is no verification: {error!r}") from None
