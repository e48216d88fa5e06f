"""The official client, unmodified from PyPI, subscribed to a served archive."""

from __future__ import annotations

import gc
import queue
from pathlib import Path
from typing import Any

import pytest

from tests.server.serving import WAIT_S, serving


@pytest.mark.filterwarnings("ignore:Selected implementation upb is not available")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_the_official_client_subscribes_to_events(tmp_path: Path) -> None:
    from yamcs.client import ConnectionFailure, YamcsClient, YamcsError  # noqa: PLC0415

    with serving(tmp_path / "data") as served:
        client = YamcsClient(f"127.0.0.1:{served.port}")
        everything: queue.Queue[Any] = queue.Queue()
        severe: queue.Queue[Any] = queue.Queue()
        first = client.create_event_subscription("sim", everything.put)
        second = client.create_event_subscription("sim", severe.put, filter="severity>=watch source=aocs")
        client.send_event("sim", "hello")
        client.send_event("sim", "Wheel 3 over speed", source="AOCS", severity="critical", extra={"a": "b"})
        assert [everything.get(timeout=WAIT_S).message for _ in range(2)] == ["hello", "Wheel 3 over speed"]
        event = severe.get(timeout=WAIT_S)
        assert (event.message, event.source, event.severity) == ("Wheel 3 over speed", "AOCS", "CRITICAL")
        assert event.extra == {"a": "b"}
        second.cancel()
        client.send_event("sim", "after", source="AOCS", severity="critical")
        assert everything.get(timeout=WAIT_S).message == "after"
        assert severe.empty()
        with pytest.raises(YamcsError, match="nosuch"):
            client.create_event_subscription("nosuch", everything.put)
        with pytest.raises(YamcsError, match="Syntax error"):
            client.create_event_subscription("sim", everything.put, filter="(")
        assert served.stop()[0] == 0
        with pytest.raises(ConnectionFailure):
            first.result(timeout=WAIT_S)
        client.close()
    gc.collect()  # the client does not close the socket of a connection that the server closed
