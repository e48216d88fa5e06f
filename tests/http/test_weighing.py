"""The memory of large answers and bodies together is bounded: a request without room waits, or is refused."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import msgspec
import pytest

from tests.http.feeds import Exchange, Feed, core_feed, whole
from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import OutcomeUnknownError, UnavailableError
from yamcs_archive.event import as_stored
from yamcs_archive.http import admission, errors, exchange
from yamcs_archive.http.admission import AnswerBudget, BodyBudget, Lease
from yamcs_archive.http.application import Application
from yamcs_archive.http.asgi import create_asgi_app
from yamcs_archive.http.asgi_threads import RequestBody
from yamcs_archive.http.exchange import Exchange as CoreExchange
from yamcs_archive.http.limits import (
    ANSWERS_BYTES_MAX,
    ANSWERS_WAITING_MAX,
    BODIES_BYTES_MAX,
    LARGE_ANSWER_BYTES,
    LARGE_TEXT_BYTES,
    MAKING_BYTES,
    QUICK_BODY_BYTES_MAX,
)
from yamcs_archive.http.request_and_response import Head, Response
from yamcs_archive.limits import BODY_BYTES_MAX, MESSAGE_BYTES_MAX
from yamcs_archive.results import Appended
from yamcs_archive.wire import commits
from yamcs_archive.wire.codec import MSGPACK
from yamcs_archive.wire.codecs import JSON_CODEC

EVENTS = "/api/archive/sim/events"
CHANGES = f"{EVENTS}:changes"
PATIENCE_S = 30
JSON, PROTOBUF = "application/json", "application/protobuf"


@pytest.fixture
def large(sim: Instance) -> Instance:
    """Five events of nearly 1 MiB: more than a page's text, and one small one."""
    sim.append_many(
        Event("x" * (MESSAGE_BYTES_MAX - 8) + f"{n:08}", source="S", generation_time=n, seq_number=n)
        for n in range(5)
    )
    sim.append(Event("small", source="T", generation_time=9, seq_number=9))
    return sim


def page(core: Application, target: str = f"{EVENTS}?order=asc", accept: str = JSON) -> Response:
    path, _, query = target.partition("?")
    call = core.begin(Head("GET", path, query, {"accept": accept}))
    assert isinstance(call, CoreExchange)
    answer = call.run(b"")
    assert isinstance(answer, Response)
    return answer


@pytest.mark.parametrize("accept", [JSON, PROTOBUF])
@pytest.mark.parametrize("target", [f"{EVENTS}?order=asc", CHANGES])
def test_a_large_answer_arrives_whole_through_every_server(
    send: Feed, archive: Archive, large: Instance, target: str, accept: str
) -> None:
    answer = send("GET", target, headers={"Accept": accept})
    expected = core_feed(archive)("GET", target, headers={"Accept": accept})
    assert answer.status == 200
    assert answer.body == expected.body
    assert len(answer.body) > LARGE_ANSWER_BYTES
    assert int(answer.headers["content-length"]) == len(answer.body)


def shown(answer: Response) -> dict[str, Any]:
    assert answer.status == 200
    found: dict[str, Any] = msgspec.json.decode(whole(answer))
    return found


@pytest.fixture
def untaken(
    archive: Archive, large: Instance, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Application, list[Response]]]:
    """A server with so many large answers that nobody reads that there is no room for another."""
    monkeypatch.setattr(admission, "ANSWER_WAIT_S", 0.05)
    core = Application(archive)
    answers = [page(core) for _ in range((ANSWERS_BYTES_MAX - MAKING_BYTES) // (8 * MESSAGE_BYTES_MAX) + 1)]
    yield core, answers
    for answer in answers:
        whole(answer)


def test_large_answers_that_nobody_reads_make_others_shorter_and_refuse_none(
    untaken: tuple[Application, list[Response]],
) -> None:
    core, answers = untaken
    seen: list[int] = []
    token = ""
    while True:
        found = shown(page(core, f"{EVENTS}?order=asc&next={token}"))
        assert len(found["events"]) == 1
        seen += [event["seqNumber"] for event in found["events"]]
        token = found.get("continuationToken", "")
        if not token:
            break
    assert seen == [0, 1, 2, 3, 4, 9]
    changed = shown(page(core, CHANGES))
    assert [event["seqNumber"] for event in changed["events"]] == [0]
    following = shown(page(core, f"{CHANGES}?after={changed['cursor']}"))
    assert [event["seqNumber"] for event in following["events"]] == [1]
    whole(answers.pop())
    answers.pop().body.close()  # type: ignore[union-attr]  # as a server does whose client has left
    assert len(shown(page(core))["events"]) == 4


def test_an_exchange_ends_with_a_whole_commit_where_there_is_no_room(
    untaken: tuple[Application, list[Response]],
) -> None:
    core, _ = untaken
    cursor, numbers = "", []
    for _ in range(6):
        sent = commits.decode_page(whole(page(core, f"{CHANGES}?after={cursor}", MSGPACK)))
        cursor = sent.cursor
        numbers += [event.seq_number for commit in sent.commits for event in commit.events]
    assert numbers == [0, 1, 2, 3, 4, 9]


def test_many_small_events_are_as_large_as_few_large_ones(
    untaken: tuple[Application, list[Response]], sim: Instance
) -> None:
    core, _ = untaken
    cursor = sim.cursor()
    for first in (100, 5_100):
        sim.append_many([Event("", generation_time=n, seq_number=n) for n in range(first, first + 5_000)])
    sent = commits.decode_page(whole(page(core, f"{CHANGES}?after={cursor}&limit=100000", MSGPACK)))
    assert [len(commit.events) for commit in sent.commits] == [5_000]


def test_only_so_many_answers_wait_for_room() -> None:
    room = AnswerBudget(bytes_max=10)
    assert room.take(10, wait_s=0)
    waiting = [threading.Thread(target=room.take, args=(5, PATIENCE_S)) for _ in range(ANSWERS_WAITING_MAX)]
    for each in waiting:
        each.start()
    while room.take(5, wait_s=0.001) or room.waiting < ANSWERS_WAITING_MAX:
        pass
    assert not room.take(5, wait_s=PATIENCE_S)  # at once, else this would not end
    for _ in waiting:
        room.add(-10)
    for each in waiting:
        each.join(PATIENCE_S)
        assert not each.is_alive()


def test_a_large_answer_waits_until_another_was_read(
    untaken: tuple[Application, list[Response]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "ANSWER_WAIT_S", PATIENCE_S)
    core, answers = untaken
    found: list[Response] = []
    waiting = threading.Thread(target=lambda: found.append(page(core)))
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    while answers:
        whole(answers.pop())
    waiting.join(PATIENCE_S)
    assert len(shown(found[0])["events"]) == 4


def test_a_client_that_leaves_within_a_large_answer_gives_its_room_back(
    archive: Archive, large: Instance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "ANSWER_WAIT_S", 5)
    app = create_asgi_app(archive)

    async def main() -> list[int]:
        statuses = []
        for _ in range(2 * ANSWERS_BYTES_MAX // (8 * MESSAGE_BYTES_MAX)):
            exchange = await Exchange(app, "GET", f"{EVENTS}?order=asc", {}, leaves_after=2).run()
            statuses.append(exchange.started["status"])
        return statuses

    assert set(asyncio.run(main())) == {200}


def test_freed_room_goes_to_a_waiting_answer_and_never_twice() -> None:
    room = AnswerBudget(bytes_max=10)
    assert room.take(25, wait_s=0)  # alone, an answer may be larger than the whole budget
    assert not room.take(1, wait_s=0.01)
    got = threading.Event()

    def take() -> None:
        if room.take(10, wait_s=PATIENCE_S):
            got.set()

    waiting = threading.Thread(target=take)
    waiting.start()
    assert not got.wait(0.05)
    room.add(-25)
    assert got.wait(PATIENCE_S)
    waiting.join()
    assert not room.take(1, wait_s=0)


def test_large_bodies_wait_unread_until_others_are_answered(archive: Archive, sim: Instance) -> None:
    app = create_asgi_app(archive)
    body = b'{"message": "' + b"\\n" * (BODY_BYTES_MAX // 4) + b'"}'
    assert len(body) > 4 << 20

    def posting(*, stalls: bool = False) -> Exchange:
        parts = [body[: 1 << 20]] if stalls else [body[: 1 << 20], body[1 << 20 :]]
        return Exchange(app, "POST", EVENTS, {"content-length": str(len(body))}, parts, stalls=stalls)

    async def main() -> None:
        stalled = [posting(stalls=True) for _ in range(BODIES_BYTES_MAX // len(body))]
        tasks = [asyncio.ensure_future(exchange.run()) for exchange in stalled]
        await asyncio.sleep(0)
        late = posting()
        tasks.append(asyncio.ensure_future(late.run()))
        small = [b'{"message":', b' ""}']
        for headers in ({"content-length": "15"}, {"transfer-encoding": "chunked"}):
            posted = await Exchange(app, "POST", EVENTS, headers, small).run()
            assert posted.started["status"] == 200
        await asyncio.sleep(0.05)
        assert len(late.parts) == 2  # none was asked for
        stalled[0].leave()
        await asyncio.wait_for(tasks[-1], PATIENCE_S)
        assert late.started["status"] == 400  # the message is larger than any may be, so it was read whole
        for each in stalled:
            each.leave()
        await asyncio.gather(*tasks)
        assert app.bodies.large.held == 0

    asyncio.run(main())


def test_a_poll_does_not_keep_its_body_in_memory(archive: Archive, sim: Instance) -> None:
    app = create_asgi_app(archive)

    async def main() -> None:
        headers = {"content-length": str(1 << 20)}
        poll = Exchange(app, "GET", f"{CHANGES}?wait=60", headers, [bytes(1 << 20)])
        task = asyncio.ensure_future(poll.run())
        while poll.parts or app.bodies.large.held:
            await asyncio.sleep(0.01)
        assert not task.done()
        poll.leave()
        await task

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_bodies_that_wait_for_room_are_admitted_in_turn_and_may_give_up() -> None:
    async def main() -> None:
        bodies = BodyBudget(bytes_max=10)
        await bodies.enter(8)
        large = asyncio.ensure_future(bodies.enter(9))
        small = asyncio.ensure_future(bodies.enter(2))  # would fit, but does not overtake
        left = asyncio.ensure_future(bodies.enter(1))
        await asyncio.sleep(0.01)
        assert not small.done()
        left.cancel()
        with pytest.raises(UnavailableError, match="10 bytes of bodies are under way"):
            await bodies.enter(5, wait_s=0.01)
        large.cancel()
        await small
        await asyncio.wait([large, left])
        assert bodies.held == 10
        again = asyncio.ensure_future(bodies.enter(3))
        await asyncio.sleep(0)
        bodies.leave(8)
        again.cancel()  # in the moment in which it is let in
        await asyncio.wait([again])
        bodies.leave(2)
        assert bodies.held == (0 if again.cancelled() else 3)

    asyncio.run(main())


@pytest.mark.parametrize("later", [1, 1000])
def test_a_waiting_body_continues_after_its_limit_has_changed(later: int) -> None:
    most = 200  # a part of 60 bytes takes 64 more

    async def main() -> bytes:
        nonlocal most
        parts = [{"body": b"x" * 60, "more_body": n < 9} for n in range(10)]

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0)
            return {"type": "http.request", **parts.pop(0)}

        inflow = RequestBody(lambda: most)
        filling = asyncio.ensure_future(inflow.fill(receive, None))
        while len(parts) > 8:
            await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        assert len(parts) == 8  # it waits
        most = later
        found = await asyncio.wait_for(asyncio.to_thread(b"".join, inflow), PATIENCE_S)
        await filling
        return found

    assert asyncio.run(main()) == b"x" * 600


def test_the_parts_of_a_body_count_beside_their_bytes() -> None:
    """Otherwise, half a million parts of a client that sends byte by byte could wait."""

    async def main() -> int:
        left = 10_000

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            return {"type": "http.request", "body": b"x", "more_body": left > 0}

        inflow = RequestBody(lambda: 6_500)
        filling = asyncio.ensure_future(inflow.fill(receive, None))
        await asyncio.sleep(0)
        waiting = 10_000 - left
        found = await asyncio.wait_for(asyncio.to_thread(b"".join, inflow), PATIENCE_S)
        await filling
        assert found == b"x" * 10_000
        return waiting

    assert asyncio.run(main()) == 101


# The answer to a small request may be large: it shows the stored event


def stored_event(size: int) -> Event:
    """An event with ``size`` bytes of text."""
    return Event("x" * (size - 1), source="S", generation_time=0, seq_number=1, reception_time=0)


def small_conflict() -> bytes:
    fields = {"message": "", "source": "S", "time": "1970-01-01T00:00:00Z", "sequenceNumber": 1}
    return msgspec.json.encode(fields)


@pytest.mark.parametrize(
    ("size", "in_loop"),
    [(QUICK_BODY_BYTES_MAX - 2, True), (QUICK_BODY_BYTES_MAX - 1, True), (QUICK_BODY_BYTES_MAX, False)],
)
def test_a_large_conflict_is_written_on_a_thread(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, size: int, in_loop: bool
) -> None:
    sim.append(stored_event(size))  # the source of the offered event has one byte
    seen: list[bool] = []
    real = errors.error_reply

    def watched(*arguments: Any) -> Response:
        seen.append(threading.current_thread() is threading.main_thread())
        return real(*arguments)

    monkeypatch.setattr(exchange, "error_reply", watched)
    app, body = create_asgi_app(archive), small_conflict()
    sent = Exchange(app, "POST", EVENTS, {"content-length": str(len(body))}, [body])
    done = asyncio.run(sent.run())
    assert done.started["status"] == 409
    assert len(msgspec.json.decode(b"".join(done.chunks))["detail"]["stored"]["message"]) == size - 1
    assert seen == [in_loop]


@pytest.mark.parametrize("what", ["stored", "outcome unknown"])
def test_other_large_answers_to_one_event_are_written_on_a_thread(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    event = stored_event(MESSAGE_BYTES_MAX)
    done: Future[Any] = Future()
    if what == "stored":
        done.set_result(Appended(as_stored(event), duplicate=True))
    else:
        done.set_exception(OutcomeUnknownError((event,), "sync failed"))
    monkeypatch.setattr(Instance, "submit", lambda *_, **__: done)
    holder, name = (JSON_CODEC, "event") if what == "stored" else (exchange, "error_reply")
    real, seen = getattr(holder, name), []

    def watched(*arguments: Any) -> Any:
        seen.append(threading.current_thread() is threading.main_thread())
        return real(*arguments)

    monkeypatch.setattr(holder, name, watched)
    app, body = create_asgi_app(archive), small_conflict()
    sent = Exchange(app, "POST", EVENTS, {"content-length": str(len(body))}, [body])
    answered = asyncio.run(sent.run())
    assert answered.started["status"] == (200 if what == "stored" else 503)
    assert sum(map(len, answered.chunks)) > MESSAGE_BYTES_MAX
    assert seen == [False]


@pytest.mark.parametrize("path", [EVENTS, f"{EVENTS}:batch"])
def test_a_large_conflict_counts_until_it_is_read_and_is_never_refused(
    archive: Archive, sim: Instance, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(admission, "ANSWER_WAIT_S", 0.05)
    sim.append(stored_event(MESSAGE_BYTES_MAX))
    core = Application(archive)

    def conflict() -> Response:
        call = core.begin(Head("POST", path))
        assert isinstance(call, CoreExchange)
        answer = call.run(small_conflict())
        return answer if isinstance(answer, Response) else answer.wait()

    room = core.services.admission.answers
    answers = [conflict()]
    assert MESSAGE_BYTES_MAX <= room.held < 2 * MESSAGE_BYTES_MAX
    room.add(ANSWERS_BYTES_MAX)  # as if others used the whole budget
    answers.append(conflict())
    room.add(-ANSWERS_BYTES_MAX)
    for answer in answers:
        assert b"x" * 1000 in whole(answer)
    assert room.held == 0


@pytest.mark.parametrize("large", [LARGE_TEXT_BYTES, LARGE_TEXT_BYTES + 1])
def test_an_answer_of_known_size_waits_for_the_room_that_it_needs(large: int) -> None:
    room = AnswerBudget()
    lease = Lease(room)
    lease.reserve(large)
    assert room.held == (0 if large == LARGE_TEXT_BYTES else 10 * large)
    lease.reserve(8 * MESSAGE_BYTES_MAX)
    lease.release()
    lease.reserve(8 * MESSAGE_BYTES_MAX)
    assert room.held == MAKING_BYTES  # however large it is
    lease.release()
