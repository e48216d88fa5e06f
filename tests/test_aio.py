"""The library under asyncio: the loop is never blocked, nothing is lost, a cancelled call leaves nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.child import WAIT_S
from yamcs_archive import (
    Archive,
    AsyncArchive,
    AsyncInstance,
    ClosedError,
    ConflictError,
    Event,
    FilterError,
    Instance,
    InvalidInputError,
    LockedError,
    ReadOnlyError,
    UnknownInstanceError,
)
from yamcs_archive.aio import threads
from yamcs_archive.limits import MESSAGE_BYTES_MAX, QUEUED_BYTES_MAX

T = TypeVar("T")


def run(path: Path, main: Callable[[AsyncInstance], Awaitable[T]]) -> T:
    """Run ``main`` with an instance of a fresh archive; debug mode finds what was never awaited."""

    async def within() -> T:
        async with asyncio.timeout(WAIT_S), AsyncArchive.open(path / "aio") as archive:
            return await main(await archive.instance("sim", create=True))

    return asyncio.run(within(), debug=True)


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.002)


class Blocked:
    """Commits of an instance wait in here, until the end of ``with``."""

    def __init__(self, sim: Instance) -> None:
        self._sim = sim
        self._gate = threading.Event()
        self._inside = threading.Event()

    async def __aenter__(self) -> None:
        done = self._sim.submit(Event("the one whose callback waits", generation_time=-1, seq_number=0))
        done.add_done_callback(self._wait)
        if not self._inside.is_set():  # it was done before the callback was added: hold the next one
            with suppress(TimeoutError):
                await asyncio.to_thread(self._inside.wait, 0.2)
        while not self._inside.is_set():
            self._sim.submit(Event("another", generation_time=-1)).add_done_callback(self._wait)
            await asyncio.to_thread(self._inside.wait, 0.2)

    def _wait(self, _: object) -> None:
        if self._sim._store._writer._within_callback():  # type: ignore[attr-defined]  # on the thread that commits
            self._inside.set()
            self._gate.wait(WAIT_S)

    async def __aexit__(self, *_: object) -> None:
        self._gate.set()


def test_appends_of_many_tasks_share_commits(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        async with Blocked(sim.instance):
            before = await sim.count()
            tasks = [asyncio.create_task(sim.append(Event(f"{n}", source="S"))) for n in range(200)]
            await asyncio.sleep(0)  # each is submitted by its first step
        done = await asyncio.gather(*tasks)
        assert sorted(each.event.seq_number for each in done) == list(range(200))
        assert await sim.count() == before + 200
        assert len([commit for commit in sim.instance.commits() if commit.events[0].source == "S"]) < 20

    run(tmp_path, main)


def test_results_and_errors_are_those_of_the_library(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        done = await sim.append(Event("a", generation_time=0, seq_number=0), request_id="r")
        assert (await sim.append(done.event)).duplicate
        with pytest.raises(ConflictError):
            await sim.append(Event("b", generation_time=0, seq_number=0))
        with pytest.raises(InvalidInputError):
            await sim.append(Event("b", source="x" * 256))
        for wrong in (5, None):
            with pytest.raises(InvalidInputError):
                await sim.append_many(wrong)  # type: ignore[arg-type]
        for bad in ({"filter": "("}, {"text": 5}, {"start": "yesterday"}):
            with pytest.raises((InvalidInputError, FilterError)):
                await anext(aiter(sim.events(**bad)))
            with pytest.raises((InvalidInputError, FilterError)):
                await sim.count(**bad)
        assert await sim.get(done.event.key) == done.event
        assert await sim.sources() == ["User"]
        assert (await sim.stats()).duplicates == 1
        assert [event async for event in sim.events()] == [done.event]
        assert [change.event async for change in sim.changes()] == [done.event]
        assert [change async for change in sim.changes(await sim.cursor())] == []
        assert repr(sim) == "AsyncInstance('sim')"

    run(tmp_path, main)


@pytest.mark.parametrize("query", [{}, {"descending": True}, {"limit": 7}, {"text": "step 17"}, {"limit": 0}])
def test_events_are_those_of_the_library_in_its_order(tmp_path: Path, query: dict[str, Any]) -> None:
    async def main(sim: AsyncInstance) -> None:
        await sim.append_many(
            Event(f"Step {n}", generation_time=n % 100, source=f"S{n % 3}") for n in range(3_000)
        )
        assert [event async for event in sim.events(**query)] == list(sim.instance.events(**query))
        if "limit" not in query and "descending" not in query:
            assert await sim.count(**query) == sim.instance.count(**query)

    run(tmp_path, main)


def test_a_report_is_that_of_the_library(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        await sim.append_many(
            Event(f"Step {n}", generation_time=n * 1000, source=f"S{n % 3}", seq_number=n // 3)
            for n in range(3_000)
            if n % 100
        )
        seen: list[tuple[int, int, str]] = []

        def progress(done: int, whole: int) -> None:
            seen.append((done, whole, threading.current_thread().name))

        for query in ({}, {"start": 100_000, "stop": 2_000_000, "sources": ["S1"], "top": 3}, {"text": "7"}):
            one, other = await sim.report(**query), sim.instance.report(**query)
            assert other is not None
            took = ("made", "seconds")
            assert {name: getattr(one, name) for name in one.__slots__ if name not in took} == {
                name: getattr(other, name) for name in one.__slots__ if name not in took
            }
        await sim.report(progress=progress)
        assert seen[-1] == (2_970, 2_970, threading.current_thread().name)
        for bad in ({"top": 0}, {"start": "yesterday"}, {"filter": "("}, {"progress": 5}):
            with pytest.raises((InvalidInputError, FilterError)):
                await sim.report(**bad)

    run(tmp_path, main)


def test_a_report_ends_when_nobody_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless(_: Instance, *, cancelled: Callable[[], bool], **__: Any) -> None:
        begun.set()
        while not cancelled():
            pass
        ended.set()

    monkeypatch.setattr(Instance, "report", endless)

    async def main(sim: AsyncInstance) -> None:
        task = asyncio.create_task(sim.report())
        await until(begun.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(ended.is_set)

    run(tmp_path, main)


def test_large_events_pass_a_few_at_a_time() -> None:
    found = threads._some(iter(range(100)), 1_000, lambda _: 300 << 10)
    assert found == [0, 1, 2, 3]
    assert threads._some(iter(range(100)), 7, lambda _: 1) == list(range(7))


def test_a_full_queue_blocks_neither_the_loop_nor_reading(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        large = "x" * MESSAGE_BYTES_MAX
        count = 2 * QUEUED_BYTES_MAX // MESSAGE_BYTES_MAX
        async with Blocked(sim.instance):
            tasks = [
                asyncio.create_task(sim.append(Event(large, generation_time=n, seq_number=n)))
                for n in range(count)
            ]
            for _ in range(20):  # the loop goes on, and so does reading
                await sim.count(start=0)
            assert not any(task.done() for task in tasks)
        done = await asyncio.gather(*tasks)
        assert [each.event.seq_number for each in done] == list(range(count))
        assert await sim.count(start=0) == count

    run(tmp_path, main)


def test_a_cancelled_append_is_stored_all_the_same(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        async with Blocked(sim.instance):
            task = asyncio.create_task(sim.append(Event("a", generation_time=0, seq_number=0)))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await sim.append(Event("b", generation_time=1, seq_number=0))
        assert (await sim.append(Event("c", generation_time=2))).event.message == "c"
        assert [event.message async for event in sim.events(start=0)] == ["a", "b", "c"]
        assert (await sim.append(Event("a", generation_time=0, seq_number=0))).duplicate

    run(tmp_path, main)


def test_a_loop_that_is_gone_harms_no_commit(tmp_path: Path) -> None:
    with Archive.open(tmp_path / "aio") as archive:
        sim = archive.instance("sim", create=True)

        async def main() -> None:
            asyncs = AsyncArchive(archive)
            task = asyncio.create_task((await asyncs.instance("sim")).append(Event("a")))
            await asyncio.sleep(0)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        for _ in range(20):
            asyncio.run(main())
        sim.append(Event("b"))
        assert sim.count(text="b") == 1
        assert sim.count() == 21


def test_reading_ends_when_nobody_wants_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = threading.Event()
    ended = threading.Event()

    def endless(_: Instance, *, cancelled: Callable[[], bool], **__: Any) -> Iterator[Event]:
        yield Event("first", generation_time=0, seq_number=0, reception_time=0)
        asked.set()
        while not cancelled():
            pass
        ended.set()

    monkeypatch.setattr(Instance, "events", endless)

    async def main(sim: AsyncInstance) -> None:
        async def read() -> None:
            async for _ in sim.events():
                pass

        task = asyncio.create_task(read())
        await until(asked.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(ended.is_set)
        ended.clear()
        async with aclosing(sim.events()) as events:  # type: ignore[type-var]
            async for _ in events:
                break
        # It ended without a further read: the next one is not asked for.
        assert not ended.is_set()

    run(tmp_path, main)


def test_a_follower_gets_each_event_once_in_order_of_arrival_and_ends_at_close(tmp_path: Path) -> None:
    async def main() -> list[str]:
        archive = await AsyncArchive.open(tmp_path / "aio")
        sim = await archive.instance("sim", create=True)
        await sim.append(Event("before"))
        got: list[str] = []

        async def follow(after: str | None) -> None:
            async for change in sim.follow(after):
                got.append(change.event.message)

        tasks = [asyncio.create_task(follow(None)), asyncio.create_task(follow(await sim.cursor()))]
        await asyncio.sleep(0.05)  # the first one asks for the cursor
        for n in range(30):
            await sim.append(Event(f"{n}", generation_time=-n))
            if n % 10 == 0:
                await until(lambda: got.count(f"{n}") == 2)  # noqa: B023  # it is awaited here
        await until(lambda: len(got) == 60)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        await archive.close()
        with pytest.raises(ClosedError):
            await tasks[1]
        return got

    found = asyncio.run(asyncio.wait_for(main(), WAIT_S), debug=True)
    for n in range(30):
        assert found.count(f"{n}") == 2
    assert "before" not in found


def test_a_slow_asynchronous_iterable_is_durable_while_it_waits(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        async def supply() -> AsyncIterator[Event]:
            for turn in range(3):
                yield Event(f"{turn}-a")
                yield Event(f"{turn}-b")
                while await sim.count() < 2 * (turn + 1):
                    await asyncio.sleep(0.01)

        counts = await sim.append_many(supply(), request_id="r")
        assert counts.stored == 6
        events = [event async for event in sim.events()]
        assert len({event.generation_time for event in events if event.message.endswith("a")}) == 3
        assert (
            await sim.append_many((Event(f"{n // 2}-{'ab'[n % 2]}") for n in range(6)), request_id="r")
        ) == (type(counts)(duplicates=6))

    run(tmp_path, main)


def test_an_error_of_a_commit_ends_it_although_the_next_event_never_comes(tmp_path: Path) -> None:
    async def main(sim: AsyncInstance) -> None:
        async def supply() -> AsyncIterator[Any]:
            yield Event("good")
            yield Event("bad", source="x" * 256)
            yield Event("never")
            await asyncio.Event().wait()

        with pytest.raises(InvalidInputError) as caught:
            await sim.append_many(supply())
        assert (caught.value.position, caught.value.counts.stored) == (1, 1)
        assert [event.message async for event in sim.events()] == ["good"]

    run(tmp_path, main)


@pytest.mark.parametrize("count", [0, 1, 20_001])
def test_all_of_an_asynchronous_iterable_is_stored_before_its_error(tmp_path: Path, count: int) -> None:
    async def main(sim: AsyncInstance) -> None:
        async def supply(fault: bool) -> AsyncIterator[Event]:
            for n in range(count):
                yield Event(f"{n}", generation_time=n, seq_number=n)
            if fault:
                raise OSError("the device is gone")

        with pytest.raises(OSError, match="the device is gone"):
            await sim.append_many(supply(fault=True))
        assert await sim.count() == count
        assert (await sim.append_many(supply(fault=False))).duplicates == count

    run(tmp_path, main)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_cancelled_long_append_takes_no_further_event(tmp_path: Path, asynchronous: bool) -> None:
    taken: list[int] = []

    def endless() -> Iterator[Event]:
        while True:
            taken.append(0)
            yield Event("a")

    async def endless_too() -> AsyncIterator[Event]:
        for event in endless():
            await asyncio.sleep(0)
            yield event

    async def main(sim: AsyncInstance) -> None:
        task = asyncio.create_task(sim.append_many(endless_too() if asynchronous else endless()))
        await until(lambda: len(taken) > 100)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        before = -1
        while len(taken) != before:
            before = len(taken)
            await asyncio.sleep(0.05)
        assert await sim.count() <= len(taken)

    run(tmp_path, main)


def test_opening_that_is_cancelled_leaves_the_archive_unlocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go = threading.Event(), threading.Event()
    real = Archive.open

    def slow(*given: Any, **named: Any) -> Archive:
        opened = real(*given, **named)
        opening.set()
        go.wait(WAIT_S)
        return opened

    monkeypatch.setattr(Archive, "open", slow)

    async def main() -> None:
        async def enter() -> None:
            async with AsyncArchive.open(tmp_path / "a"):
                raise AssertionError

        task = asyncio.create_task(enter())
        await until(opening.is_set)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(LockedError):
            real(tmp_path / "a")
        go.set()
        while True:
            try:
                real(tmp_path / "a").close()
                return
            except LockedError:
                await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(main(), WAIT_S))


def test_the_archive_of_the_library_is_the_same(archive: Archive, sim: Instance) -> None:
    async def main() -> None:
        asyncs = AsyncArchive(archive)
        assert (asyncs.path, asyncs.readonly, asyncs.closed) == (archive.path, False, False)
        assert (await asyncs.instance("sim")).instance is sim
        with pytest.raises(UnknownInstanceError):
            await asyncs.instance("other")
        assert await asyncs.instances() == ["sim"]
        async with asyncs:
            pass
        assert archive.closed
        await asyncs.close()
        with pytest.raises(ClosedError):
            async with asyncs:
                pass
        with pytest.raises(ClosedError):
            await asyncs.instances()
        async with AsyncArchive.open(archive.path, readonly=True) as reader:
            with pytest.raises(ReadOnlyError):
                await (await reader.instance("sim")).append(Event("a"))

    asyncio.run(main())
