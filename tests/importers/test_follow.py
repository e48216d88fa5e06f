"""A live server is followed: nothing is lost and nothing stored twice, whatever happens to the connection."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.http.feeds import uvicorn_at, uvicorn_server
from tests.http.users import PASSWORD, add
from tests.importers.fake_yamcs import CALL, FakeYamcs, Live, faked
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.access import administration
from yamcs_archive.credentials import Login
from yamcs_archive.errors import OutOfSpaceError, ServerRefusedError
from yamcs_archive.http.access import current_users, password_checks
from yamcs_archive.http.access.options import AccessOptions
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.importers import follow
from yamcs_archive.importers.follow import NOTE, OVERLAP_US, Followed, Following
from yamcs_archive.importers.yamcs import NOTE as IMPORT_NOTE
from yamcs_archive.importers.yamcs import History
from yamcs_archive.limits import TIME_MIN_US

WAIT_S = 60
HOUR = OVERLAP_US


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow, "_SETTLE_S", 0)
    monkeypatch.setattr(follow, "_PAUSE_S_MAX", 0.05)
    monkeypatch.setattr(follow, "_LOOK_S", 0.05)


@pytest.fixture
def fake() -> Iterator[FakeYamcs]:
    with faked() as server:
        yield server


def event(n: int, text: str = "", time_us: int | None = None) -> Event:
    moment = n * 1_000_000 if time_us is None else time_us
    return Event(
        text or f"m{n}",
        source="S",
        generation_time=moment,
        seq_number=n,
        reception_time=10**15,
        created_by="ada",
    )


class Run:
    """A follower on a thread of its own, and what it said."""

    def __init__(
        self, fake: FakeYamcs, sim: Instance, folder: Path, name: str = "there", **history: Any
    ) -> None:
        self.said: list[Followed] = []
        self.troubles: queue.Queue[str] = queue.Queue()
        self.error: BaseException | None = None
        self._instance = sim
        self.following = Following(History(fake.url, name, **history), sim, folder, self._say, pause_s=0.01)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _say(self, progress: Followed) -> None:
        self.said.append(progress)
        if progress.trouble is not None:
            self.troubles.put(progress.trouble)

    def _run(self) -> None:
        try:
            self.following.run()
        except BaseException as error:
            self.error = error

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Wait for something that a test expects."""
        until = time.monotonic() + WAIT_S
        while not what():
            assert time.monotonic() < until
            assert self.error is None, self.error
            time.sleep(0.002)

    def wait_for_events(self, count: int) -> None:
        self.wait_for(lambda: self._instance.stats().events >= count)

    def wait_until_live(self) -> None:
        self.wait_for(lambda: bool(self.said) and self.said[-1].live)

    def join(self) -> BaseException | None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()
        return self.error

    def stop(self) -> None:
        self.following.stop()
        self.following.stop()
        assert self.join() is None


@contextmanager
def running(fake: FakeYamcs, sim: Instance, folder: Path, **history: Any) -> Iterator[Run]:
    run = Run(fake, sim, folder, **history)
    try:
        yield run
    finally:
        run.following.stop()
        run.join()


def numbers(sim: Instance) -> list[int | None]:
    return [one.seq_number for one in sim.events()]


@pytest.mark.parametrize("subprotocol", ["protobuf", "json", None])
def test_history_first_and_then_what_is_published(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, subprotocol: str | None
) -> None:
    fake.subprotocol = subprotocol
    fake.store(*map(event, range(50)))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.publish(*map(event, range(50, 60)))
        run.wait_for_events(60)
        run.stop()
    assert list(sim.events()) == [event(n) for n in range(60)]
    assert run.following.done.conflict_count == run.following.done.refused_count == 0
    assert fake.asked == [None, 49_000_000 - HOUR]  # the whole, and once more after the subscription
    assert json.loads((tmp_path / NOTE).read_text())["last"] == ["S", 59]
    assert not (tmp_path / IMPORT_NOTE).exists()


def test_what_is_published_while_the_subscription_begins_is_not_lost(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    fake.store(event(1))
    fake.on_history += [lambda: None, lambda: fake.publish(event(2)), lambda: fake.publish(event(3))]
    with running(fake, sim, tmp_path) as run:
        run.wait_for_events(2)
        fake.publish(event(4))
        run.wait_for_events(3)
    assert numbers(sim) == [1, 2, 4]


@pytest.mark.parametrize(
    "lose",
    [
        FakeYamcs.drop,
        lambda fake: fake.live[0].close(1001, "the server stops"),
        lambda fake: fake.live[0].send(b"\xff\xff"),
        lambda fake: fake.live[0].send("text"),
        lambda fake: fake.live[0].raw(b"\xff", b"bits that no frame has"),
        lambda fake: fake.live[0].send(b"\x12\x00"),
        lambda fake: fake.live[0].send(b""),
        lambda fake: fake.live[0].send_event(event(1), skip=5),
    ],
    ids=["1006", "1001", "garbage", "text", "bits", "no type", "empty", "numbers"],
)
def test_a_gap_is_filled_from_the_history(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, lose: Callable[[FakeYamcs], object]
) -> None:
    fake.store(event(0))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.publish(event(10_000))
        run.wait_for_events(2)
        # In the gap: a new event, one that is late by less than an hour, and one that is later than that.
        fake.store(event(10_001), event(9_000), event(500))
        lose(fake)
        run.wait_for_events(4)
        fake.wait_for_subscriptions(2)
        run.wait_until_live()
        fake.publish(event(10_002))
        run.wait_for_events(5)
    assert numbers(sim) == [0, 9_000, 10_000, 10_001, 10_002]
    assert "127.0.0.1" in run.troubles.get(timeout=WAIT_S)
    # An import of the whole history finds the event that came later than the overlap.
    from yamcs_archive.importers.yamcs import import_history  # noqa: PLC0415

    done = import_history(History(fake.url, "there"), sim, tmp_path, lambda _: None)
    assert (done.stored, done.duplicates, done.whole) == (1, 5, True)


def test_a_server_that_is_gone_for_long_is_asked_again(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    fake.store(event(0))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.stop()
        for _ in range(8):
            run.troubles.get(timeout=WAIT_S)
        fake.store(event(1))
        fake.start()
        run.wait_for_events(2)
        run.wait_until_live()
    assert numbers(sim) == [0, 1]


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_that_has_too_much_to_do_is_asked_again(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, status: int
) -> None:
    fake.refusal = (status, "ServiceUnavailableException", "later")
    with running(fake, sim, tmp_path) as run:
        assert "later" in run.troubles.get(timeout=WAIT_S)
        fake.refusal, fake.handshake = None, status
        while str(status) not in (said := run.troubles.get(timeout=WAIT_S)) or "not here" not in said:
            pass
        fake.handshake = 101
        run.wait_until_live()


@pytest.mark.parametrize("silence", [False, True])
def test_a_subscription_without_a_reply_is_given_up(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, silence: bool
) -> None:
    monkeypatch.setattr("yamcs_archive.client.websocket.REPLY_S", 0.05)
    fake.on_subscribe.append((lambda _: None) if silence else Live.cut)
    with running(fake, sim, tmp_path) as run:
        assert ("no reply" if silence else "broke") in run.troubles.get(timeout=WAIT_S)
        run.wait_until_live()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, "NotFoundException"), (403, "ForbiddenException"), (400, "BadRequestException")],
)
def test_a_refused_subscription_ends_it(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, status: int, kind: str
) -> None:
    fake.store(event(0))
    fake.refusal = (status, kind, "Missing system privilege 'ReadEvents'")
    run = Run(fake, sim, tmp_path)
    error = run.join()
    assert isinstance(error, ServerRefusedError)
    assert (error.status, error.kind) == (status, kind)
    assert "Missing system privilege" in str(error)
    assert numbers(sim) == [0]


def test_no_websocket_there_ends_it(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    fake.handshake = 404
    error = Run(fake, sim, tmp_path).join()
    assert isinstance(error, ServerRefusedError)
    assert "/api/websocket" in str(error)


def test_conflicts_and_events_that_cannot_be_kept_are_counted(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    sim.append(event(3, "ours"))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.publish(event(3), event(4, "x" * (2 << 20)), event(5), event(5, "a second one of this key"))
        run.wait_for(lambda: run.following.done.read == 4)
        done = run.following.done
    assert (done.stored, done.conflict_count, done.refused_count) == (1, 2, 1)
    assert done.conflicts[0].stored.message == "ours"
    assert done.refused[0].startswith("a live message: ")
    assert [one.message for one in sim.events()] == ["ours", "m5"]


def test_json_of_another_version_is_refused_and_not_guessed(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    fake.subprotocol = "json"
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        live = fake.live[0]
        frame = json.loads(live.frames.event(CALL, 1, live.frames.tail(event(1))))
        frame["data"]["priority"] = 5
        live.send(json.dumps(frame))
        live.seq = 1
        live.send('{"type": "parameters", "call": 17, "seq": 1, "data": {}}')  # of another topic: passed over
        fake.publish(event(2))
        run.wait_for_events(1)
        done = run.following.done
    assert (done.refused_count, done.stored) == (1, 1)
    assert "priority" in done.refused[0]


def test_it_goes_on_where_it_was_after_a_kill(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    fake.store(*(event(n * 4_000) for n in range(10)))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
    fake.asked.clear()
    fake.store(event(40_000))
    with running(fake, sim, tmp_path) as run:
        run.wait_for_events(11)
        run.wait_until_live()
        done = run.following.done
        assert fake.asked == [36_000_000_000 - HOUR]
    assert (done.stored, done.duplicates) == (1, 1)
    # Its file is lost, torn or of another server: everything is read again, and nothing stored twice.
    for text in (None, "{", json.dumps({"url": fake.url, "instance": "other", "reached": 5})):
        (tmp_path / NOTE).unlink()
        if text is not None:
            (tmp_path / NOTE).write_text(text)
        fake.asked.clear()
        with running(fake, sim, tmp_path) as run:
            run.wait_until_live()
        assert fake.asked[0] is None
    assert len(numbers(sim)) == 11


def test_a_history_that_broke_off_continues(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    fake.store(*map(event, range(20)))
    (tmp_path / IMPORT_NOTE).write_text(
        json.dumps(
            {
                "url": fake.url,
                "instance": "there",
                "start": None,
                "stop": None,
                "reached": 9_000_000,
                "last": ["S", 9],
            }
        )
    )
    sim.append_many(map(event, range(10)))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
    assert fake.asked[0] == 9_000_000
    assert len(numbers(sim)) == 20


def test_an_event_whose_clock_is_ahead_hides_no_gap(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    ahead = event(1, time_us=4 * 10**15)  # in the year 2096, received in 2001
    fake.store(event(0))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.publish(ahead)
        run.wait_for_events(2)
        fake.store(event(2))
        fake.drop()
        run.wait_for_events(3)
    assert json.loads((tmp_path / NOTE).read_text())["last"] == ["S", 2]


def test_a_server_with_another_history_is_read_from_the_beginning(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    fake.store(event(0), event(20_000))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.stored = [event(n, f"new {n}") for n in (1, 2, 30_000)]
        fake.drop()
        run.wait_for_events(5)
        run.wait_until_live()
        assert run.following.done.restarts == 1
        fake.stored = []  # and now it has nothing
        fake.drop()
        fake.wait_for_subscriptions(3)
        run.wait_until_live()
        fake.publish(event(7))
        run.wait_for_events(6)
    assert numbers(sim) == [0, 1, 2, 7, 20_000, 30_000]


def test_the_mark_stays_until_the_server_is_known_to_have_it(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    """Otherwise a kill at that moment would hide that the server has another history."""
    fake.store(event(1), event(50))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
    fake.stored = [event(2), event(51, time_us=50_000_000)]  # one of the marked time, which is not it
    moved: list[str] = []

    def read_all(self: Following) -> None:
        moved.append((tmp_path / NOTE).read_text())
        self.following_real()  # type: ignore[attr-defined]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Following, "following_real", Following._read_all, raising=False)
        patch.setattr(Following, "_read_all", read_all)
        with running(fake, sim, tmp_path) as run:
            run.wait_until_live()
    assert json.loads(moved[0])["last"] == ["S", 50]
    assert json.loads((tmp_path / NOTE).read_text())["last"] == ["S", 51]
    assert numbers(sim) == [1, 2, 50, 51]


@pytest.mark.parametrize("first", [TIME_MIN_US, TIME_MIN_US + OVERLAP_US - 1, TIME_MIN_US + OVERLAP_US])
def test_the_first_times_of_all_can_be_followed(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, first: int
) -> None:
    fake.store(event(1, time_us=first))
    with running(fake, sim, tmp_path) as run:
        run.wait_until_live()
        fake.publish(event(2, time_us=first + 1))
        run.wait_for_events(2)
    assert fake.asked == [None, TIME_MIN_US if first < TIME_MIN_US + OVERLAP_US else first - OVERLAP_US]


def test_since_leaves_out_what_is_published_of_before(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    fake.store(event(1), event(10))
    with running(fake, sim, tmp_path, start=5_000_000) as run:
        run.wait_until_live()
        fake.publish(event(2), event(11))
        run.wait_for_events(2)
        fake.drop()
        fake.wait_for_subscriptions(2)
        run.wait_until_live()
    assert numbers(sim) == [10, 11]
    assert fake.asked == [5_000_000] * 3


def test_a_full_disk_ends_it_and_it_goes_on_later(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.store(event(0))
    run = Run(fake, sim, tmp_path)
    run.wait_until_live()

    def full(*_: object) -> None:
        raise OutOfSpaceError(str(tmp_path), "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Instance, "append_many", full)
        fake.publish(event(1))
        assert isinstance(run.join(), OutOfSpaceError)
    assert json.loads((tmp_path / NOTE).read_text())["last"] == ["S", 0]
    with running(fake, sim, tmp_path) as again:
        again.wait_for_events(2)
    assert numbers(sim) == [0, 1]


def test_more_than_the_memory_for_waiting_events_is_read_from_the_history(
    fake: FakeYamcs, sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yamcs_archive.client.websocket._WAITING_BYTES_MAX", 2_000)
    fake.store(event(0))
    many = [event(n) for n in range(1, 200)]
    fake.on_history += [lambda: None, lambda: fake.publish(*many)]
    with running(fake, sim, tmp_path) as run:
        run.wait_for_events(200)
    assert numbers(sim) == list(range(200))


# Login


def test_a_password_is_enough_where_basic_is_taken(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    fake.accepts = {Login("ada", "secret").header}
    fake.store(event(0))
    with running(fake, sim, tmp_path, credentials=Login("ada", "secret")) as run:
        run.wait_until_live()
    assert fake.grants == []
    assert numbers(sim) == [0]


def test_a_token_is_got_renewed_and_got_again(fake: FakeYamcs, sim: Instance, tmp_path: Path) -> None:
    fake.accepts = set()
    fake.store(event(0))
    with running(fake, sim, tmp_path, credentials=Login("ada", "secret")) as run:
        run.wait_until_live()
        assert fake.grants == ["password"]
        for refreshable, grants in ((True, ["refresh_token"]), (False, ["refresh_token", "password"])):
            fake.refreshable = refreshable
            fake.grants.clear()
            fake.accepts.clear()  # all tokens have expired
            count = fake.subscriptions
            fake.store(event(len(numbers(sim))))
            fake.drop()
            fake.wait_for_subscriptions(count + 1)
            run.wait_until_live()
            assert fake.grants == grants
            fake.grants.append("so that each token has another name")
    assert numbers(sim) == [0, 1, 2]


def test_a_password_that_is_changed_in_the_middle_ends_it(
    fake: FakeYamcs, sim: Instance, tmp_path: Path
) -> None:
    basic = Login("ada", "old").header
    fake.accepts = {basic}
    fake.store(event(0))
    run = Run(fake, sim, tmp_path, credentials=Login("ada", "old"))
    run.wait_until_live()
    fake.accepts = set()
    fake.drop()
    error = run.join()
    assert isinstance(error, ServerRefusedError)
    assert error.status == 401
    assert "'ada'" in str(error)
    assert "old" not in str(error)


def test_a_served_archive_with_users_is_followed_until_the_user_is_removed(
    archive: Archive, sim: Instance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(current_users, "WATCH_S", 0.01)
    monkeypatch.setattr(password_checks, "WRONG_S", 0)
    users = tmp_path / "users.json"
    add(users, "ada", "ReadEvents")
    add(users, "root", "ReadEvents")
    app = create_asgi_app(archive, access=AccessOptions(users=users))
    with uvicorn_at(archive, 0, app) as port, Archive.open(tmp_path / "here") as other:
        here = other.instance("copy", create=True)
        sim.append(Event("before", source="A"))
        fake = FakeYamcs()
        fake.port = port
        login = Login("ada", PASSWORD)
        run = Run(fake, here, tmp_path, name="sim", credentials=login)
        try:
            run.wait_until_live()
            sim.append(Event("live", source="A"))
            run.wait_for_events(2)
            administration.remove_user(users, "ada")
            error = run.join()
        finally:
            run.following.stop()
            app.end_polls()
        assert isinstance(error, ServerRefusedError)
        assert error.status == 401
        assert PASSWORD not in str(error)
        assert [one.message for one in here.events()] == ["before", "live"]


def test_an_archive_of_this_project_is_followed_too(archive: Archive, sim: Instance, tmp_path: Path) -> None:
    with uvicorn_server(archive) as port, Archive.open(tmp_path / "here") as other:
        here = other.instance("copy", create=True)
        sim.append(Event("before", source="A", generation_time=10))
        following = Following(
            History(f"http://127.0.0.1:{port}", "sim"), here, tmp_path, lambda _: None, pause_s=0.01
        )
        thread = threading.Thread(target=following.run)
        thread.start()
        try:
            until = time.monotonic() + WAIT_S
            number = 0
            while here.stats().events < 5:
                assert time.monotonic() < until
                sim.append(Event(f"live {number}", source="B"))
                number += 1
                time.sleep(0.01)
        finally:
            following.stop()
            thread.join(WAIT_S)
        taken = list(here.events())
        assert taken == list(sim.events())[: len(taken)]
