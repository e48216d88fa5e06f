"""Reports on passes of an instance of a served archive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from yamcs_archive import arguments
from yamcs_archive.client.answer_codec import object_of
from yamcs_archive.client.progress_lines import OPERATION_S, followed
from yamcs_archive.client.transport import Answer, Request, Transport
from yamcs_archive.coercion import plain_severity
from yamcs_archive.event import AnySeverity
from yamcs_archive.filter.compiled import Filter
from yamcs_archive.pass_report.limits import LATE_AFTER_S_DEFAULT, LATE_AFTER_S_MAX, TOP_DEFAULT, TOP_MAX
from yamcs_archive.times import Time, format_rfc3339, to_us
from yamcs_archive.wire.api_generations import SHOWN_TODAY

if TYPE_CHECKING:
    from yamcs_archive.pass_report.report import PassReport


class RemoteReporting(ABC):
    """Has a server report on a pass."""

    name: str
    _transport: Transport

    @abstractmethod
    def ask(self, request: Request) -> Answer:
        """Send a request about this instance and return its answer, if its status is 200."""

    def report(
        self,
        *,
        start: Time | None = None,
        stop: Time | None = None,
        sources: Iterable[str] | None = None,
        min_severity: AnySeverity | None = None,
        text: str | None = None,
        filter: str | Filter | None = None,
        new_since: Time | None = None,
        history_since: Time | None = None,
        late_after_s: float = LATE_AFTER_S_DEFAULT,
        top: int = TOP_DEFAULT,
        progress: Callable[[int, int], None] | None = None,
        skip_damaged: bool = False,
    ) -> PassReport:
        """Have the server read events, and return what they show.

        See :meth:`Instance.report <yamcs_archive.Instance.report>`. ``progress`` is called about once a
        second, with the number of events read so far and with that of all. ServerUnavailableError while the
        server makes as many reports as it may at once.

        >>> _ = sim.append_many(Event(f"Step {n}", generation_time=n, seq_number=n) for n in (0, 1, 2, 5))
        >>> found = sim.report()
        >>> found.events, found.missing
        (4, 2)
        """
        from yamcs_archive.pass_report.report import PassReport  # noqa: PLC0415  # as in summary()
        from yamcs_archive.wire.plain_values import value_of  # noqa: PLC0415

        times = {"start": start, "stop": stop, "newSince": new_since, "historySince": history_since}
        asked: dict[str, Any] = {
            field: format_rfc3339(to_us(time, _NAMES.get(field, field)))
            for field, time in times.items()
            if time is not None
        }
        if sources is not None:
            asked["source"] = sorted(arguments.names("sources", sources) - {""})
        if min_severity is not None:
            asked["severity"] = SHOWN_TODAY[plain_severity(min_severity, "min_severity")].lower()
        if text is not None:
            asked["text"] = arguments.text("text", text)
        if filter is not None:
            asked["filter"] = (filter if isinstance(filter, Filter) else Filter(filter)).text
        asked["lateAfter"] = arguments.seconds("late_after_s", late_after_s, LATE_AFTER_S_MAX)
        asked["top"] = arguments.whole("top", top, 1, TOP_MAX)
        progress = arguments.callback("progress", progress)
        query = ["skip_damaged=true"] * arguments.flag("skip_damaged", skip_damaged)
        query += ["progress=true"] * (progress is not None)
        path = f"/api/archive/{quote(self.name, safe='')}:report{'?' * bool(query)}{'&'.join(query)}"
        request = Request("POST", path, msgspec.json.encode(asked), wait_s=OPERATION_S)
        if progress is None:
            found = object_of(self._transport, self.ask(request))
        else:
            found = followed(self._transport, request, self.name, progress)
        try:
            return value_of(PassReport, found)
        except (KeyError, TypeError, ValueError) as error:
            raise self._transport.strange(f"it is no report: {error!r}") from None


_NAMES = {"newSince": "new_since", "historySince": "history_since"}
"""The library's names of what a request asks for."""
