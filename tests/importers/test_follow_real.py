"""A real Yamcs server is followed: with a password and with tokens, and over connections that are cut."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.contenders import yamcs
from tests.importers.real_yamcs import TOKEN_LIFE_MS, USER, RealYamcs, real_yamcs
from yamcs_archive import Archive, Instance
from yamcs_archive.client.websocket import LiveEvents
from yamcs_archive.credentials import Login
from yamcs_archive.errors import ServerRefusedError
from yamcs_archive.importers.follow import Following
from yamcs_archive.importers.yamcs import History, import_history, one_transport
from yamcs_archive.wire import live_client
from yamcs_archive.wire.yamcs_event import decode_shown

pytestmark = pytest.mark.long
WAIT_S = 60


class OnlyTokens(Login):
    """A login whose password the server does not take in HTTP Basic."""

    @property
    def header(self) -> str:
        return "Basic bm90OnRoaXM="


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealYamcs]:
    try:
        yamcs.fetch()
    except RuntimeError as error:
        pytest.skip(str(error))
    with real_yamcs(tmp_path_factory.mktemp("yamcs")) as server:
        server.post(*map(str, range(50)))
        yield server


def wait_for(what: Callable[[], bool]) -> None:
    until = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("login", [USER, OnlyTokens("ada", "secret")], ids=["password", "token"])
def test_nothing_is_lost_or_stored_twice(real: RealYamcs, archive: Archive, login: Login) -> None:
    source = type(login).__name__
    real.post(*map(str, range(30)), source=source)
    here = archive.instance("copy", create=True)
    history = History(real.relay.url, real.instance, credentials=login)
    said: list[Any] = []
    following = Following(history, here, archive.path / "copy", said.append, pause_s=0.05)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            following.run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_for(lambda: bool(said) and said[-1].live)
        for turn in range(3):
            first = 100 * (turn + 1)
            real.post(*map(str, range(first, first + 10)), source=source)
            wait_for(lambda: got(here, source, first + 9))  # noqa: B023  # used within the turn
            real.relay.cut()
            real.post(*map(str, range(first + 10, first + 20)), source=source)
            time.sleep(TOKEN_LIFE_MS / 1000 if turn == 1 else 0)  # its token expires in the gap
            real.relay.open = True
            wait_for(lambda: got(here, source, first + 19))  # noqa: B023
            wait_for(lambda: said[-1].live)
    finally:
        following.stop()
        thread.join(WAIT_S)
    assert failed == []
    numbers = [event.key.seq_number for event in here.events(sources=[source])]
    assert sorted(numbers) == [*range(30), *(n for turn in (100, 200, 300) for n in range(turn, turn + 20))]
    assert following.done.conflict_count == following.done.refused_count == 0


def got(here: Instance, source: str, number: int) -> bool:
    return any(event.seq_number == number for event in here.events(sources=[source], start=0))


@pytest.mark.parametrize("subprotocol", ["json", "protobuf"])
def test_what_is_published_is_what_is_streamed(
    real: RealYamcs, sim: Instance, archive: Archive, monkeypatch: pytest.MonkeyPatch, subprotocol: str
) -> None:
    monkeypatch.setattr("yamcs_archive.client.websocket.SUBPROTOCOLS", (subprotocol,))
    assert subprotocol in live_client.SUBPROTOCOLS
    with LiveEvents(one_transport(real.relay.url, USER), real.instance) as live:
        real.post("1", "2", source=subprotocol, time="2026-01-02T03:04:05.678Z")
        messages: list[Any] = []
        while len(messages) < 2:
            messages += live.next(WAIT_S)
    history = History(real.relay.url, real.instance, credentials=USER)
    import_history(history, sim, archive.path, lambda _: None)
    stored = list(sim.events(sources=[subprotocol]))
    assert [decode_shown(message) for message in messages] == stored
    assert [event.message for event in stored] == ["1", "2"]


@pytest.mark.parametrize(("user", "instance", "status"), [("ada", "nosuch", 404), ("nobody", "bench", 403)])
def test_a_refusal_says_why(real: RealYamcs, user: str, instance: str, status: int) -> None:
    with pytest.raises(ServerRefusedError) as caught:
        LiveEvents(one_transport(real.relay.url, Login(user, "secret")), instance)
    assert caught.value.status == status


@pytest.mark.parametrize("kind", [Login, OnlyTokens])
def test_a_wrong_password_is_refused(real: RealYamcs, kind: type[Login]) -> None:
    history = History(real.relay.url, real.instance, credentials=kind("ada", "wrong"))
    with pytest.raises(ServerRefusedError, match="401"):
        history.probe()
    with pytest.raises(ServerRefusedError, match="401"):
        LiveEvents(one_transport(real.relay.url, kind("ada", "wrong")), real.instance)
