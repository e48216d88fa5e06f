"""Log records of OpenTelemetry: the official SDK and its messages, JSON, retries, bad input."""

from __future__ import annotations

import base64
import gzip
import json
import logging
import sys
from collections import Counter
from typing import Any

import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging.handler import LoggingHandler
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource

from tests.examples import of_full
from tests.http.feeds import Feed, core_feed, uvicorn_at
from tests.logging.conftest import logger_of
from yamcs_archive import Archive, Event, Instance, Severity
from yamcs_archive.errors import OutOfSpaceError
from yamcs_archive.event import validate
from yamcs_archive.limits import BODY_BYTES_MAX
from yamcs_archive.wire import otlp

PATH = "/api/archive/sim/v1/logs"
PROTOBUF = {"content-type": "application/x-protobuf"}
JSON = {"content-type": "application/json"}
T = 1_767_225_600_000_000_000


def text(value: str) -> AnyValue:
    return AnyValue(string_value=value)


def request_of(*records: LogRecord, service: str = "aocs", scope: str = "wheels") -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    resource: ResourceLogs = request.resource_logs.add()
    if service:
        resource.resource.attributes.append(KeyValue(key="service.name", value=text(service)))
    part: ScopeLogs = resource.scope_logs.add()
    part.scope.name = scope
    part.log_records.extend(records)
    return request


def record(body: str = "a", **fields: Any) -> LogRecord:
    given: dict[str, Any] = {"time_unix_nano": T, "severity_number": 9, "body": text(body)}
    return LogRecord(**given | fields)


def sent(feed: Feed, *records: LogRecord, path: str = PATH, **options: str) -> ExportLogsServiceResponse:
    answer = feed("POST", path, request_of(*records, **options).SerializeToString(), PROTOBUF)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/x-protobuf"), answer.body
    return ExportLogsServiceResponse.FromString(answer.body)


def test_the_official_sdk_stores_what_python_logs(archive: Archive, sim: Instance) -> None:
    with uvicorn_at(archive, 0) as port:
        provider = LoggerProvider(Resource.create({"service.name": "aocs"}), shutdown_on_exit=False)
        exporter = OTLPLogExporter(f"http://127.0.0.1:{port}{PATH}", compression=Compression.Gzip)
        provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
        log = logger_of(LoggingHandler(logger_provider=provider), name="wheels")
        for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
            log.log(level, "Wheel %d", level, extra={"rpm": 6010})
        try:
            raise ValueError("lost")
        except ValueError:
            log.exception("pass failed")
        provider.shutdown()
    found = list(sim.events())
    assert [(event.message, event.severity.name) for event in found] == [
        ("Wheel 10", "INFO"),
        ("Wheel 20", "INFO"),
        ("Wheel 30", "WARNING"),
        ("Wheel 40", "DISTRESS"),
        ("Wheel 50", "SEVERE"),
        ("pass failed", "DISTRESS"),
    ]
    assert {event.source for event in found} == {"aocs"}
    assert found[0].extra["rpm"] == "6010"
    assert found[0].extra["otel.scope.name"] == "wheels"
    assert found[0].extra["telemetry.sdk.language"] == "python"
    assert found[-1].extra["exception.type"] == "ValueError"
    assert found[-1].extra["exception.stacktrace"].rstrip().endswith("ValueError: lost")


def test_every_field_of_a_record_is_in_its_event(send: Feed, sim: Instance) -> None:
    one = record(
        "Wheel over speed",
        time_unix_nano=T + 1_999,
        observed_time_unix_nano=T + 5_000_000,
        severity_number=13,
        severity_text="WARN",
        event_name="wheel.speed",
        trace_id=bytes(range(16)),
        span_id=bytes(range(8)),
        flags=1,
        dropped_attributes_count=2,
    )
    one.attributes.extend(
        [
            KeyValue(key="rpm", value=AnyValue(double_value=6010.5)),
            KeyValue(key="on", value=AnyValue(bool_value=True)),
            KeyValue(key="count", value=AnyValue(int_value=-3)),
            KeyValue(key="raw", value=AnyValue(bytes_value=b"\x00\xff")),
            KeyValue(key="none", value=AnyValue()),
            KeyValue(
                key="list", value=AnyValue(array_value=ArrayValue(values=[text("é"), AnyValue(int_value=1)]))
            ),
            KeyValue(
                key="map",
                value=AnyValue(
                    kvlist_value=KeyValueList(values=[KeyValue(key="inner", value=AnyValue(int_value=7))])
                ),
            ),
        ]
    )
    assert not sent(send, one).HasField("partial_success")
    [event] = sim.events()
    assert (event.message, event.source, event.type) == ("Wheel over speed", "aocs", "wheel.speed")
    assert (event.severity, event.generation_time, event.reception_time) == (
        Severity.WARNING,
        T // 1000 + 1,
        T // 1000 + 5_000,
    )
    assert event.extra == {
        "rpm": "6010.5",
        "on": "true",
        "count": "-3",
        "raw": base64.b64encode(b"\x00\xff").decode(),
        "none": "",
        "list": '["é", 1]',
        "map.inner": "7",
        "log.level": "WARN",
        "trace_id": bytes(range(16)).hex(),
        "span_id": bytes(range(8)).hex(),
        "trace_flags": "01",
        "otel.dropped_attributes_count": "2",
        "otel.scope.name": "wheels",
        "service.name": "aocs",
    }


@pytest.mark.parametrize(
    ("number", "severity"),
    [
        *((number, "INFO") for number in range(10)),
        *((number, "WATCH") for number in range(10, 13)),
        *((number, "WARNING") for number in range(13, 17)),
        (17, "DISTRESS"),
        *((number, "CRITICAL") for number in range(18, 21)),
        *((number, "SEVERE") for number in range(21, 25)),
    ],
)
def test_a_severity_number_is_the_severity_of_the_conventions(number: int, severity: str) -> None:
    [event] = otlp.decode_protobuf(request_of(record(severity_number=number)).SerializeToString())
    assert event.severity.name == severity


@pytest.mark.parametrize(
    ("service", "scope", "source"),
    [
        ("aocs", "wheels", "aocs"),
        ("aocs", "", "aocs"),
        ("", "wheels", "wheels"),
        ("unknown_service:python", "wheels", "wheels"),
        ("unknown_service", "", "unknown_service"),
        ("", "", "otel"),
    ],
)
def test_the_source_is_the_service_or_the_scope(service: str, scope: str, source: str) -> None:
    [event] = otlp.decode_protobuf(request_of(record(), service=service, scope=scope).SerializeToString())
    assert event.source == source


def test_json_is_read_as_otlp_defines_it(send: Feed, sim: Instance) -> None:
    one = {
        "timeUnixNano": str(T),
        "observedTimeUnixNano": str(T + 1_000),
        "severityNumber": 17,
        "severityText": "Error",
        "body": {"kvlistValue": {"values": [{"key": "wheel", "value": {"intValue": "3"}}]}},
        "attributes": [
            {"key": "rpm", "value": {"doubleValue": 6010.5}},
            {"key": "big", "value": {"intValue": "9007199254740993"}},
            {"key": "raw", "value": {"bytesValue": "AP8="}},
        ],
        "traceId": "5B8EFFF798038103D269B633813FC60C",
        "spanId": "EEE19B7EC3C1B174",
        "aFieldOfTheFuture": {"x": 1},
    }
    scope = {"scope": {"name": "wheels", "version": "1.2"}, "logRecords": [one]}
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "aocs"}}]}
    body = json.dumps({"resourceLogs": [{"resource": resource, "scopeLogs": [scope], "schemaUrl": "u"}]})
    answer = send("POST", PATH, body, JSON)
    assert (answer.status, answer.headers["content-type"], answer.json()) == (200, "application/json", {})
    [event] = sim.events()
    assert json.loads(event.message) == {"wheel": 3}
    assert (event.severity.name, event.source) == ("DISTRESS", "aocs")
    assert event.extra["big"] == "9007199254740993"
    assert event.extra["trace_id"] == "5b8efff798038103d269b633813fc60c"
    assert event.extra["span_id"] == "eee19b7ec3c1b174"
    assert event.extra["otel.scope.version"] == "1.2"


def test_json_and_protobuf_of_one_record_are_the_same_event() -> None:
    both = request_of(record("a", trace_id=bytes(16), span_id=bytes(8)))
    body = {
        "resourceLogs": [
            {
                "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "aocs"}}]},
                "scopeLogs": [
                    {
                        "scope": {"name": "wheels"},
                        "logRecords": [
                            {
                                "timeUnixNano": T,
                                "severityNumber": 9,
                                "body": {"stringValue": "a"},
                                "traceId": "00" * 16,
                                "spanId": "00" * 8,
                            }
                        ],
                    }
                ],
            }
        ]
    }
    assert otlp.decode_json(json.dumps(body).encode()) == otlp.decode_protobuf(both.SerializeToString())


def test_a_request_that_is_sent_again_adds_nothing_and_equal_records_in_it_are_kept(
    core: Feed, sim: Instance
) -> None:
    records = [record(f"{n % 3}") for n in range(30)] + [record("0", time_unix_nano=T + 1)]
    for _ in range(3):
        sent(core, *records)
    assert Counter(event.message for event in sim.events()) == {"0": 11, "1": 10, "2": 10}
    assert all(-(2**31) <= event.seq_number < 0 for event in sim.events())
    sent(core, *records[::-1])  # in another order, or in another batch
    sent(core, records[0])
    assert sim.count() == 31
    sent(core, records[0], scope="other")  # of another logger
    assert sim.count() == 32
    greatest = max(event.seq_number for event in sim.events())
    assert sim.append(Event("automatic", source="aocs")).event.seq_number == greatest + 1


def test_a_record_without_a_time_is_stored_now(core: Feed, sim: Instance) -> None:
    sent(core, record(time_unix_nano=0), record("b", time_unix_nano=0, observed_time_unix_nano=T))
    one, other = sorted(sim.events(), key=lambda event: event.message)
    assert one.generation_time == one.reception_time
    assert other.generation_time == other.reception_time == T // 1000


def test_a_number_that_another_event_has_is_given_up_for_the_next(core: Feed, sim: Instance) -> None:
    [made] = otlp.decode_protobuf(request_of(record()).SerializeToString())
    assert made.seq_number is not None
    for step in range(2):
        sim.append(
            Event("other", source="aocs", generation_time=T // 1000, seq_number=made.seq_number + step)
        )
    for _ in range(2):
        assert not sent(core, record()).HasField("partial_success")
        assert Counter(event.message for event in sim.events()) == {"other": 2, "a": 1}


def test_records_before_the_horizon_are_rejected_and_the_others_stored(core: Feed, sim: Instance) -> None:
    sim.append(Event("old", generation_time=T // 1000 - 10))
    sim.prune(before=T // 1000)
    answer = sent(core, record("old", time_unix_nano=T - 1_000_000), record("new"))
    assert answer.partial_success.rejected_log_records == 1
    assert "older than what instance sim keeps" in answer.partial_success.error_message
    assert [event.message for event in sim.events()] == ["new"]


def test_the_bare_path_is_that_of_the_only_instance(archive: Archive, sim: Instance) -> None:
    core = core_feed(archive)
    sent(core, record(), path="/v1/logs")
    assert sim.count() == 1
    archive.instance("other", create=True)
    answer = core("POST", "/v1/logs", request_of(record()).SerializeToString(), PROTOBUF)
    assert answer.status == 400
    assert "/api/archive/INSTANCE/v1/logs" in Status.FromString(answer.body).message


def test_the_bare_path_without_an_instance_says_so(archive: Archive) -> None:
    answer = core_feed(archive)("POST", "/v1/logs", b"{}", JSON)
    assert (answer.status, "there are none yet" in answer.json()["message"]) == (400, True)


@pytest.mark.parametrize("count", [0, 1, 300])
def test_a_gzipped_body_is_read_and_an_empty_one_is_nothing(send: Feed, sim: Instance, count: int) -> None:
    body = request_of(*(record(f"{n}") for n in range(count))).SerializeToString()
    answer = send("POST", PATH, gzip.compress(body), PROTOBUF | {"content-encoding": "gzip"})
    assert (answer.status, answer.body) == (200, b"")
    assert sim.count() == count


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"\xff\xff", PROTOBUF, (400, "is no ExportLogsServiceRequest")),
        (b"{", JSON, (400, "body")),
        (b"[]", JSON, (400, "must be a JSON object")),
        (b'{"resourceLogs": 5}', JSON, (400, "is no ExportLogsServiceRequest")),
        (b'{"resourceLogs": [5]}', JSON, (400, "is no ExportLogsServiceRequest")),
        (b'{"resourceLogs": [{"scopeLogs": [{"logRecords": ["a"]}]}]}', JSON, (400, "is no Export")),
        (
            b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"traceId": "zz"}]}]}]}',
            JSON,
            (400, "must be 16 bytes in hexadecimal"),
        ),
        (
            b'{"resourceLogs": [{"scopeLogs": [{"logRecords": [{"timeUnixNano": "x"}]}]}]}',
            JSON,
            (400, "is no"),
        ),
        (b"{}", {"content-type": "text/plain"}, (415, "use application/x-protobuf or application/json")),
        (b"{}", {}, (415, "use application/x-protobuf")),
        (b"plain text", JSON | {"content-encoding": "gzip"}, (400, "is not gzip")),
        (b"x", JSON | {"content-encoding": "br"}, (415, "use gzip or none")),
        (gzip.compress(bytes(BODY_BYTES_MAX + 1)), JSON | {"content-encoding": "gzip"}, (413, "send fewer")),
        (b" " * (BODY_BYTES_MAX + 1), JSON, (413, "send fewer")),
    ],
)
def test_bad_input_is_a_status_and_nothing_is_stored(
    core: Feed, sim: Instance, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    status, said = expected
    answer = core("POST", PATH, body, headers)
    assert answer.status == status
    if answer.headers["content-type"] == "application/json":
        message = answer.json()["message"]
    else:
        message = Status.FromString(answer.body).message
    assert said in message
    assert sim.count() == 0


def test_deep_values_and_long_texts_are_no_fault_of_the_server(core: Feed, sim: Instance) -> None:
    deep = '{"arrayValue": {"values": [' * 2_000 + "]}}" * 2_000
    body = f'{{"resourceLogs": [{{"scopeLogs": [{{"logRecords": [{{"body": {deep}}}]}}]}}]}}'
    assert core("POST", PATH, body, JSON).status == 400
    long = record("m" * 2_000_000, event_name="e" * 5_000)
    long.attributes.append(KeyValue(key="big", value=text("é" * 300_000)))
    sent(core, long, service="s" * 400)
    [event] = sim.events()
    assert event.message.endswith("… (cut: 2000000 bytes)")
    assert event.extra["big"].endswith("… (cut: 600000 bytes)")
    assert event.extra["log.source"] == "s" * 400


def test_what_passes_is_answered_so_that_it_is_sent_again(
    core: Feed, sim: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(events: object) -> None:
        raise OutOfSpaceError("/data", "full")

    monkeypatch.setattr(type(sim), "append_many", lambda self, events: full(events))
    answer = core("POST", PATH, request_of(record()).SerializeToString(), PROTOBUF)
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert "no space" in Status.FromString(answer.body).message


def test_an_unknown_instance_is_a_status(core: Feed) -> None:
    answer = core("POST", "/api/archive/nosuch/v1/logs", b"", PROTOBUF)
    assert answer.status == 404
    assert Status.FromString(answer.body).message.startswith("NotFoundException: No instance named 'nosuch'")


def test_without_the_package_it_says_what_to_install(core: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "yamcs_archive.wire.otlp")
    monkeypatch.delattr("yamcs_archive.wire.otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.logs.v1.logs_service_pb2", None)
    answer = core("POST", PATH, b"", PROTOBUF)
    assert answer.status == 501
    assert "install" in Status.FromString(answer.body).message


values = st.recursive(
    st.one_of(
        st.builds(text, st.text()),
        st.booleans().map(lambda value: AnyValue(bool_value=value)),
        st.integers(-(2**63), 2**63 - 1).map(lambda value: AnyValue(int_value=value)),
        st.floats().map(lambda value: AnyValue(double_value=value)),
        st.binary().map(lambda value: AnyValue(bytes_value=value)),
        st.just(AnyValue()),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda found: AnyValue(array_value=ArrayValue(values=found))),
        st.dictionaries(st.text(), inner, max_size=3).map(
            lambda found: AnyValue(
                kvlist_value=KeyValueList(values=[KeyValue(key=k, value=v) for k, v in found.items()])
            )
        ),
    ),
    max_leaves=5,
)
records_of_any_kind = st.builds(
    LogRecord,
    time_unix_nano=st.integers(0, 2**64 - 1),
    observed_time_unix_nano=st.integers(0, 2**64 - 1),
    severity_number=st.integers(-5, 1000),
    severity_text=st.text(max_size=5),
    body=values,
    attributes=st.dictionaries(st.text(), values, max_size=3).map(
        lambda found: [KeyValue(key=k, value=v) for k, v in found.items()]
    ),
    trace_id=st.binary(max_size=20),
    span_id=st.binary(max_size=10),
    flags=st.integers(0, 2**32 - 1),
    event_name=st.text(max_size=5),
)


@settings(max_examples=of_full(150))
@given(st.lists(records_of_any_kind, max_size=4), st.text(max_size=300), st.text(max_size=5))
def test_every_record_becomes_a_valid_event_and_always_the_same(
    records: list[LogRecord], service: str, scope: str
) -> None:
    body = request_of(*records, service=service, scope=scope).SerializeToString()
    found = otlp.decode_protobuf(body)
    assert len(found) == len(records)
    for event in found:
        validate(event)
    assert otlp.decode_protobuf(body) == found
    keys = [event.key for event in found if event.seq_number is not None]
    assert len(set(keys)) == len(keys)


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_events_or_refused(body: bytes) -> None:
    for decode in (otlp.decode_protobuf, otlp.decode_json):
        try:
            for event in decode(body):
                validate(event)
        except ValueError as error:
            assert type(error).__name__ == "InvalidInputError"
