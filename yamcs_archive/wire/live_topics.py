"""The topics of a WebSocket: what a client asks for with each, and what it gets; pure.

``events`` is the topic of this archive; ``cancel`` and ``state`` are about the calls of a connection. The
others are about what an archive of events does not have. Clients of a Yamcs server subscribe to them all the
same, and report a refusal as an error: a call of such a topic brings nothing, or a first value that says so.
``time`` brings the server's time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from yamcs_archive.wire.pb import yamcs_archive_beside_events_pb2 as beside
from yamcs_archive.wire.pb import yamcs_archive_live_pb2 as live

EVENTS, CANCEL, STATE, TIME = "events", "cancel", "state", "time"


class Topic(NamedTuple):
    """What a client's frame asks for."""

    type_name: str
    """The name that clients and a Yamcs server have for the options."""
    options: type[Message]


class Data(NamedTuple):
    """A message that a call brings, and the name of its type."""

    type_name: str
    message: Message


TOPICS: Mapping[str, Topic] = {
    EVENTS: Topic("yamcs.protobuf.events.SubscribeEventsRequest", live.SubscribeEventsRequest),
    CANCEL: Topic("yamcs.api.CancelOptions", live.CancelOptions),
    TIME: Topic("yamcs.protobuf.time.SubscribeTimeRequest", beside.SubscribeTimeRequest),
    "mdb-changes": Topic(
        "yamcs.protobuf.processing.SubscribeMdbChangesRequest", beside.SubscribeMdbChangesRequest
    ),
    "global-alarm-status": Topic(
        "yamcs.protobuf.alarms.SubscribeGlobalStatusRequest", beside.SubscribeGlobalStatusRequest
    ),
    "alarms": Topic("yamcs.protobuf.alarms.SubscribeAlarmsRequest", beside.SubscribeAlarmsRequest),
    "commands": Topic("yamcs.protobuf.commanding.SubscribeCommandsRequest", beside.SubscribeCommandsRequest),
}
"""The topics that have options."""

FIRST: Mapping[str, Data] = {
    "global-alarm-status": Data(
        "yamcs.protobuf.alarms.GlobalAlarmStatus",
        beside.GlobalAlarmStatus(
            unacknowledgedCount=0,
            unacknowledgedActive=False,
            acknowledgedCount=0,
            acknowledgedActive=False,
            shelvedCount=0,
            shelvedActive=False,
        ),
    ),
}
"""What a call of a topic brings at once; that of a topic that is not here brings nothing at once."""


def time_data(now_us: int) -> Data:
    """Return what a call of ``time`` brings, to the millisecond as on a Yamcs server.

    >>> time_data(1_500_000).message.ToJsonString()
    '1970-01-01T00:00:01.500Z'
    """
    found = Timestamp()
    found.FromMilliseconds(now_us // 1000)
    return Data("google.protobuf.Timestamp", found)
