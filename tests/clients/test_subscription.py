"""The official client, unmodified from PyPI, subscribed to a served archive."""

from __future__ import annotations

import gc
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.clients.history import HISTORY
from tests.clients.test_yamcs_client import MOMENT, read
from tests.server.serving import WAIT_S, serving

pytestmark = pytest.mark.filterwarnings("ignore:Selected implementation upb is not available")


class Subscribed:
    """A subscription that collects its messages."""

    def __init__(self, client: Any, instance: str, **options: Any) -> None:
        self.got: queue.Queue[Any] = queue.Queue()
        self._future = client.create_event_subscription(instance, on_data=self.got.put, **options)

    def messages(self, count: int) -> list[str]:
        """Return the messages of the next events."""
        return [self.got.get(timeout=WAIT_S).message for _ in range(count)]

    def cancel(self) -> None:
        """End it, as the client does."""
        self._future.cancel()


def test_create_event_subscription(client: Any, instance: str) -> None:
    subscribed = Subscribed(client, instance)
    client.send_event(
        instance, "one", source="S", severity="watch", event_type="T", extra={"k": "v"}, time=MOMENT
    )
    client.send_event(instance, "two")
    (first,) = read([subscribed.got.get(timeout=WAIT_S)])
    del first["reception"]
    assert first == {
        "time": MOMENT,
        "severity": "WATCH",
        "message": "one",
        "number": 0,
        "type": "T",
        "source": "S",
        "extra": {"k": "v"},
    }
    assert subscribed.messages(1) == ["two"]
    subscribed.cancel()
    client.send_event(instance, "three")
    assert subscribed.got.empty()


def test_create_event_subscription_with_filter(client: Any, instance: str) -> None:
    filtered = Subscribed(client, instance, filter="severity>=warning source=gnc")
    everything = Subscribed(client, instance)
    sent = [("gnc", "severe"), ("gnc", "info"), ("EPS", "severe"), ("gnc", "warning"), ("GNC", "distress")]
    for source, severity in sent:
        client.send_event(instance, f"{source} {severity}", source=source, severity=severity)
    assert everything.messages(5) == [f"{source} {severity}" for source, severity in sent]
    assert filtered.messages(3) == ["gnc severe", "gnc warning", "GNC distress"]
    assert filtered.got.empty()
    with ThreadPoolExecutor() as pool:  # at once: the client may wait 10 s for the end of each
        list(pool.map(Subscribed.cancel, (filtered, everything)))


def test_a_subscription_that_cannot_be_is_an_exception(client: Any) -> None:
    with pytest.raises(Exception, match="nosuch"):
        Subscribed(client, "nosuch")
    with pytest.raises(Exception, match="Field not found 'nosuch'"):
        Subscribed(client, HISTORY, filter="nosuch=1")


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_a_server_that_stops_ends_a_subscription(tmp_path: Path) -> None:
    from yamcs.client import ConnectionFailure, YamcsClient  # noqa: PLC0415  # warns when imported

    with serving(tmp_path / "data") as served:
        client = YamcsClient(f"127.0.0.1:{served.port}")
        subscribed = client.create_event_subscription("sim", lambda _: None)
        assert served.stop()[0] == 0
        with pytest.raises(ConnectionFailure):
            subscribed.result(timeout=WAIT_S)
        client.close()
    gc.collect()  # the client does not close the socket of a connection that the server closed
