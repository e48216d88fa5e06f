"""The official client, unmodified from PyPI, against a served archive."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.server.serving import serving
from yamcs_archive import Archive, Event, Severity


@pytest.mark.filterwarnings("ignore:Selected implementation upb is not available")
def test_the_official_client_sends_events_and_reads_a_page_of_them(tmp_path: Path) -> None:
    from yamcs.client import NotFound, YamcsClient, YamcsError  # noqa: PLC0415  # warns when imported

    moment = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
    with serving(tmp_path / "data") as served:
        client = YamcsClient(f"127.0.0.1:{served.port}")
        client.send_event("sim", "hello")
        for _ in range(2):  # the second is a retry
            client.send_event(
                "sim",
                "Wheel 3 over speed",
                event_type="FDIR",
                time=moment,
                severity="critical",
                source="AOCS",
                sequence_number=7,
                extra={"unit": "rpm"},
            )
        with pytest.raises(YamcsError, match="another event is stored"):
            client.send_event("sim", "other", time=moment, source="AOCS", sequence_number=7)
        with pytest.raises(YamcsError, match="CRITICAL, SEVERE"):
            client.send_event("sim", "bad", severity="FOO")
        with pytest.raises(NotFound, match="nosuch"):
            client.send_event("nosuch", "hello")
        assert [instance.name for instance in client.list_instances()] == ["sim"]
        assert client.get_server_info().default_yamcs_instance == "sim"
        listed = list(client.get_archive("sim").list_events(start=moment, page_size=10))
        assert len(listed) == 2
        assert {(event.source, event.message, event.event_type) for event in listed} >= {
            ("AOCS", "Wheel 3 over speed", "FDIR")
        }
        client.close()
        assert served.stop()[0] == 0
    with Archive.open(tmp_path / "data") as archive:
        first, second = archive.instance("sim").events()
        assert first == Event(
            "Wheel 3 over speed",
            source="AOCS",
            severity=Severity.CRITICAL,
            type="FDIR",
            generation_time=1_777_636_800_123_456,
            seq_number=7,
            reception_time=first.reception_time,
            extra={"unit": "rpm"},
        )
        assert (second.message, second.source, second.severity) == ("hello", "User", Severity.INFO)
