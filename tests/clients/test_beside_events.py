"""The official client, unmodified from PyPI: what it asks for beside events is empty, and raises nothing."""

from __future__ import annotations

import queue
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.clients.history import HISTORY
from tests.server.serving import WAIT_S

pytestmark = pytest.mark.filterwarnings("ignore:Selected implementation upb is not available")


def test_list_processors(client: Any) -> None:
    assert list(client.list_processors()) == []
    assert list(client.list_processors(instance=HISTORY)) == []


def test_list_links_and_services(client: Any) -> None:
    assert list(client.list_links(HISTORY)) == []
    assert list(client.list_services(HISTORY)) == []


@pytest.mark.parametrize(
    "listing",
    ["space_systems", "parameters", "parameter_types", "containers", "commands", "algorithms"],
)
def test_lists_of_the_database(client: Any, listing: str) -> None:
    assert list(getattr(client.get_mdb(HISTORY), f"list_{listing}")()) == []


def test_list_alarms(client: Any) -> None:
    assert list(client.get_processor(HISTORY, "realtime").list_alarms()) == []


def test_create_time_subscription(client: Any) -> None:
    got: queue.Queue[datetime] = queue.Queue()
    subscription = client.create_time_subscription(HISTORY, on_data=got.put)
    moment = got.get(timeout=WAIT_S)
    assert abs((datetime.now(UTC) - moment).total_seconds()) < WAIT_S
    assert subscription.time >= moment
    subscription.cancel()


def test_create_alarm_and_command_history_subscriptions(client: Any) -> None:
    processor = client.get_processor(HISTORY, "realtime")
    alarms = processor.create_alarm_subscription(include_pending=True)
    assert alarms.list_alarms() == []
    commands = processor.create_command_history_subscription()
    for subscription in (alarms, commands):
        assert not subscription.done()
        subscription.cancel()


def test_an_unknown_instance_is_an_error(client: Any) -> None:
    from yamcs.client import NotFound  # noqa: PLC0415  # warns when imported

    with pytest.raises(NotFound, match="nosuch"):
        list(client.get_mdb("nosuch").list_parameters())
    with pytest.raises(Exception, match="nosuch"):
        client.create_time_subscription("nosuch")
