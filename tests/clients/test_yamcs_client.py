"""The official client, unmodified from PyPI, against a served archive: each of its calls for events."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.clients.history import EVENTS, HISTORY, SAME_TIME, SOURCES, after, matching, time_of
from tests.server.serving import WAIT_S
from yamcs_archive import Event, Severity
from yamcs_archive.wire.pb import yamcs_archive_today_pb2 as today

pytestmark = pytest.mark.filterwarnings("ignore:Selected implementation upb is not available")

MOMENT = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture
def archive_client(client: Any) -> Any:
    return client.get_archive(HISTORY)


def read(events: Iterable[Any]) -> list[dict[str, Any]]:
    """Return the fields of events that the client shows."""
    return [
        {
            "time": event.generation_time.astimezone(UTC),
            "reception": event.reception_time.astimezone(UTC),
            "severity": event.severity,
            "message": event.message,
            "number": event.sequence_number,
            "type": event.event_type,
            "source": event.source,
            "extra": event.extra,
        }
        for event in events
    ]


def shown(events: Iterable[Event]) -> list[dict[str, Any]]:
    """Return the fields that the client must show for these events."""
    return [
        {
            "time": event.time,
            "reception": _moment(event.reception_time),
            "severity": event.severity.name,
            "message": event.message,
            "number": event.seq_number,
            "type": event.type,
            "source": event.source,
            "extra": event.extra,
        }
        for event in events
    ]


def _moment(time_us: int | None) -> datetime:
    assert time_us is not None
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


# send_event


def test_send_event_with_a_message_alone(client: Any, instance: str) -> None:
    before = datetime.now(UTC)
    client.send_event(instance, "hello")
    (event,) = client.get_archive(instance).list_events()
    assert (event.message, event.source, event.severity, event.sequence_number) == (
        "hello",
        "User",
        "INFO",
        0,
    )
    assert before <= event.generation_time <= datetime.now(UTC)


def test_send_event_with_every_argument(client: Any, instance: str) -> None:
    for _ in range(2):  # the second is a retry
        client.send_event(
            instance,
            "Wheel 3 over speed",
            event_type="FDIR",
            time=MOMENT,
            severity="critical",
            source="AOCS",
            sequence_number=7,
            extra={"unit": "rpm"},
        )
    (found,) = read(client.get_archive(instance).list_events())
    del found["reception"]
    assert found == {
        "time": MOMENT,
        "severity": "CRITICAL",
        "message": "Wheel 3 over speed",
        "number": 7,
        "type": "FDIR",
        "source": "AOCS",
        "extra": {"unit": "rpm"},
    }


@pytest.mark.parametrize("severity", ["info", "watch", "warning", "distress", "critical", "severe"])
def test_send_event_with_severity(client: Any, instance: str, severity: str) -> None:
    client.send_event(instance, "hello", severity=severity)
    (event,) = client.get_archive(instance).list_events()
    assert event.severity == severity.upper()


# list_events


def test_list_events_with_the_default_page(archive_client: Any) -> None:
    listed = archive_client.list_events()
    assert read(listed) == shown(EVENTS)
    assert listed.page_number == 3


@pytest.mark.parametrize("page_size", [1000, 25])
@pytest.mark.parametrize("descending", [False, True])
def test_list_events_with_page_size_and_descending(
    archive_client: Any, page_size: int, descending: bool
) -> None:
    listed = archive_client.list_events(page_size=page_size, descending=descending)
    assert read(listed) == shown(EVENTS[::-1] if descending else EVENTS)
    assert listed.page_number == -(-len(EVENTS) // page_size)


@pytest.mark.parametrize("descending", [False, True])
def test_list_events_one_by_one_within_one_time(archive_client: Any, descending: bool) -> None:
    same = matching(lambda event: time_of(event) == after(3))
    assert len(same) == SAME_TIME
    listed = archive_client.list_events(start=after(3), stop=after(4), page_size=1, descending=descending)
    assert read(listed) == shown(same[::-1] if descending else same)


@pytest.mark.parametrize("source", SOURCES)
def test_list_events_with_source(archive_client: Any, source: str) -> None:
    found = read(archive_client.list_events(source=source))
    assert found == shown(matching(lambda event: event.source == source))


@pytest.mark.parametrize("severity", ["WATCH", "warning", "DISTRESS", "CRITICAL", "SEVERE"])
def test_list_events_with_severity(archive_client: Any, severity: str) -> None:
    least = Severity.parse(severity)
    found = read(archive_client.list_events(severity=severity, page_size=100))
    assert found == shown(matching(lambda event: event.severity.rank >= least.rank))


def test_list_events_with_text_filter(archive_client: Any) -> None:
    found = read(archive_client.list_events(text_filter="wheel 3 AT"))
    assert found == shown(matching(lambda event: "Wheel 3 at" in event.message))


def test_list_events_with_filter(archive_client: Any) -> None:
    expression = 'severity>=watch (source="procedure 1" OR type=FDIR) -message=~"Wheel [0-2]"'
    found = read(archive_client.list_events(filter=expression))
    assert found == shown(
        matching(
            lambda event: (
                event.severity is not Severity.INFO
                and (event.source == "Procedure 1" or event.type == "FDIR")
                and int(event.message[6]) > 2
            )
        )
    )


def test_list_events_with_start_and_stop(archive_client: Any) -> None:
    found = read(archive_client.list_events(start=after(2), stop=after(5), page_size=50))
    assert found == shown(matching(lambda event: after(2) <= time_of(event) < after(5)))


def test_list_events_with_start_and_stop_of_microseconds(archive_client: Any) -> None:
    past = after(2) + timedelta(microseconds=1)
    assert read(archive_client.list_events(start=past)) == shown(
        matching(lambda event: time_of(event) > after(2))
    )
    assert read(archive_client.list_events(stop=past)) == shown(
        matching(lambda event: time_of(event) <= after(2))
    )


def test_list_events_with_every_argument(archive_client: Any) -> None:
    found = read(
        archive_client.list_events(
            source="gnc",
            severity="WATCH",
            text_filter="rpm",
            filter="seqNumber>0",
            start=after(3),
            stop=after(18),
            page_size=7,
            descending=True,
        )
    )
    wanted = matching(
        lambda event: (
            event.source == "gnc"
            and event.severity is not Severity.INFO
            and event.key.seq_number > 0
            and after(3) <= time_of(event) < after(18)
        )
    )
    assert found == shown(wanted[::-1])


def test_list_events_without_a_match(archive_client: Any) -> None:
    assert list(archive_client.list_events(source="nosuch")) == []
    assert list(archive_client.list_events(start=after(1), stop=after(1))) == []


# stream_events


def test_stream_events(archive_client: Any) -> None:
    assert read(archive_client.stream_events()) == shown(EVENTS)


def test_stream_events_with_small_chunks(archive_client: Any) -> None:
    assert read(archive_client.stream_events(chunk_size=7)) == shown(EVENTS)


@pytest.mark.parametrize("source", ["gnc", ["gnc", "Procedure 1"]], ids=["one", "several"])
def test_stream_events_with_source(archive_client: Any, source: str | list[str]) -> None:
    sources = [source] if isinstance(source, str) else source
    found = read(archive_client.stream_events(source=source))
    assert found == shown(matching(lambda event: event.source in sources))


def test_stream_events_with_every_argument(archive_client: Any) -> None:
    found = read(
        archive_client.stream_events(
            source=["gnc", "EPS"],
            severity="watch",
            text_filter="RPM",
            filter="seqNumber<0",
            start=after(1),
            stop=after(9),
        )
    )
    assert found == shown(
        matching(
            lambda event: (
                event.source in ("gnc", "EPS")
                and event.severity is not Severity.INFO
                and event.key.seq_number < 0
                and after(1) <= time_of(event) < after(9)
            )
        )
    )


def test_stream_events_without_a_match(archive_client: Any) -> None:
    assert list(archive_client.stream_events(source="nosuch")) == []


# list_event_histogram


def records(groups: Iterable[Any]) -> dict[str, list[tuple[datetime, datetime, int]]]:
    """Return the records of each source: first time, last time, number of events."""
    found: dict[str, list[tuple[datetime, datetime, int]]] = {}
    for group in groups:
        for record in group.records:
            entry = (record.start.astimezone(UTC), record.stop.astimezone(UTC), record.count)
            found.setdefault(group.name, []).append(entry)
    return found


def merged(
    source: str, seconds: float, start: datetime, stop: datetime
) -> list[tuple[datetime, datetime, int]]:
    """Return the records that a source must have when gaps of up to ``seconds`` are closed."""
    found: list[tuple[datetime, datetime, int]] = []
    for event in EVENTS:
        moment = time_of(event)
        if event.source == source and start <= moment < stop:
            if found and (moment - found[-1][1]).total_seconds() <= seconds:
                found[-1] = (found[-1][0], moment, found[-1][2] + 1)
            else:
                found.append((moment, moment, 1))
    return found


@pytest.mark.parametrize("merge_time", [2, 0.5], ids=["one record", "one a second"])
def test_list_event_histogram_with_merge_time(archive_client: Any, merge_time: float) -> None:
    found = records(archive_client.list_event_histogram(merge_time=merge_time))
    assert found == {source: merged(source, merge_time, after(0), after(3600)) for source in SOURCES}
    assert {len(entries) for entries in found.values()} == {1 if merge_time == 2 else 21}


def test_list_event_histogram_with_source_start_and_stop(archive_client: Any) -> None:
    found = records(
        archive_client.list_event_histogram(source="gnc", start=after(2), stop=after(5), merge_time=0)
    )
    assert found == {"gnc": merged("gnc", 0, after(2), after(5))}
    assert len(found["gnc"]) == 3


def test_list_event_histogram_without_a_match(archive_client: Any) -> None:
    assert records(archive_client.list_event_histogram(source="nosuch")) == {}


# sources, and what comes before


def test_list_event_sources(archive_client: Any, client: Any, instance: str) -> None:
    assert list(archive_client.list_event_sources()) == sorted(SOURCES, key=str.casefold)
    assert list(client.get_archive(instance).list_event_sources()) == []


def test_list_instances_get_server_info_and_get_time(client: Any) -> None:
    assert HISTORY in [instance.name for instance in client.list_instances()]
    assert client.get_server_info().default_yamcs_instance
    assert abs(client.get_time(HISTORY) - datetime.now(UTC)) < timedelta(seconds=WAIT_S)


def test_the_count_of_events_does_not_disturb_the_client_s_instances(client: Any) -> None:
    found = next(found for found in client.list_instances() if found.name == HISTORY)
    assert (found.state, found.mission_time.tzinfo) == ("RUNNING", UTC)
    # The client's own message keeps unknown fields, and does not show them.
    ours = today.YamcsInstance.FromString(found._proto.SerializeToString())
    assert ours.eventCount == len(EVENTS)


def test_get_auth_info_and_get_user_info(client: Any) -> None:
    assert client.get_auth_info().require_authentication is False
    assert client.get_user_info().username == "guest"


# Errors, as the client's exceptions


def test_an_unknown_instance_is_not_found(client: Any) -> None:
    from yamcs.client import NotFound  # noqa: PLC0415

    with pytest.raises(NotFound, match="No instance named 'nosuch'"):
        client.send_event("nosuch", "hello")
    with pytest.raises(NotFound, match="nosuch"):
        list(client.get_archive("nosuch").list_events())
    with pytest.raises(NotFound, match="nosuch"):
        list(client.get_archive("nosuch").stream_events())
    with pytest.raises(NotFound, match="nosuch"):
        list(client.get_archive("nosuch").list_event_sources())


def test_a_bad_argument_is_a_yamcs_error_with_the_message(client: Any, archive_client: Any) -> None:
    from yamcs.client import YamcsError  # noqa: PLC0415

    with pytest.raises(YamcsError, match="CRITICAL, SEVERE"):
        client.send_event(HISTORY, "bad", severity="FOO")
    first = EVENTS[0]
    with pytest.raises(YamcsError, match="another event is stored"):
        client.send_event(
            HISTORY, "other", time=first.time, source=first.source, sequence_number=first.seq_number
        )
    for listing in (archive_client.list_events, archive_client.stream_events):
        with pytest.raises(YamcsError, match="Field not found 'nosuch'"):
            list(listing(filter="nosuch=1"))
        with pytest.raises(YamcsError, match="Syntax error in filter"):
            list(listing(filter="a OR OR b"))
        with pytest.raises(YamcsError, match="FOO"):
            list(listing(severity="FOO"))
    with pytest.raises(YamcsError, match="limit"):
        list(archive_client.list_events(page_size=1001))


def test_a_server_that_is_gone_is_a_connection_failure() -> None:
    from yamcs.client import ConnectionFailure, YamcsClient  # noqa: PLC0415

    gone = YamcsClient("127.0.0.1:1")
    with pytest.raises(ConnectionFailure):
        gone.send_event(HISTORY, "hello")
    gone.close()


def test_threads_share_one_client(client: Any, instance: str) -> None:
    failures: queue.Queue[Exception] = queue.Queue()

    def send(thread: int) -> None:
        try:
            for number in range(10):
                client.send_event(instance, f"{thread}/{number}", source="shared")
        except Exception as error:
            failures.put(error)

    threads = [threading.Thread(target=send, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert failures.empty()
    found = list(client.get_archive(instance).list_events())
    assert {event.message for event in found} == {f"{a}/{b}" for a in range(4) for b in range(10)}
    assert sorted(event.sequence_number for event in found) == list(range(40))
