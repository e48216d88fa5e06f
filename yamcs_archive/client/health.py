"""Whether a served archive is ready: one question, without a login, for health checks."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from yamcs_archive.client.transport import Request, Transport
from yamcs_archive.errors import ServerRefusedError, ServerUnavailableError


class Health(NamedTuple):
    """What a server says of itself; a line for each reason."""

    is_good: bool
    status: str
    reasons: tuple[str, ...] = ()


class _Reason(msgspec.Struct):
    kind: str
    text: str
    instance: str | None = None

    def line(self) -> str:
        """Return it as a line of text."""
        where = "" if self.instance is None else f"{self.instance}: "
        return " ".join(f"{self.kind}: {where}{self.text}".split())


class _Answer(msgspec.Struct):
    status: str = ""
    reasons: list[_Reason] = []


def health(url: str, *, alive: bool = False, timeout_s: float = 5.0) -> Health:
    """Ask the server at a URL whether it is ready, or only whether it answers (``alive``).

    It is asked once. A server that does not answer in time is not ready. Raises InvalidInputError for a URL
    that no archive can have.

    >>> health("http://127.0.0.1:9").is_good
    False
    """
    transport = Transport(url, retries=0, read_s=timeout_s)
    try:
        answer = transport.ask(Request("GET", "/healthz" if alive else "/readyz"))
    except (ServerUnavailableError, ServerRefusedError) as error:
        return Health(False, "no answer", (" ".join(str(error).split()),))
    finally:
        transport.close()
    try:
        found = msgspec.json.decode(answer.body, type=_Answer)
    except msgspec.MsgspecError:
        found = _Answer()
    if not found.status:
        return Health(False, f"{transport.url} is no archive: {answer.status} {answer.reason}")
    return Health(answer.status == 200, found.status, tuple(reason.line() for reason in found.reasons))
