"""How far a copy is behind: zero while it has everything, else the time since it last had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from yamcs_archive import Archive, Event, Instance
from yamcs_archive.errors import CursorGoneError, ServerUnavailableError
from yamcs_archive.event import as_stored
from yamcs_archive.mirror import follower as follower_module
from yamcs_archive.mirror import mirrors as mirrors_module
from yamcs_archive.mirror.follower import Follower, Progress, begin_mirror
from yamcs_archive.mirror.mirrors import Mirrors
from yamcs_archive.results import Commit
from yamcs_archive.wire.commits import Page

URL = "http://127.0.0.1:1"


def commit(number: int) -> Commit:
    event = Event(f"{number}", generation_time=number, seq_number=number, reception_time=number)
    return Commit(number, (as_stored(event),), f"after {number}")


class Source:
    """Answers what it was told to, each after some seconds of the test's clock."""

    url = URL

    def __init__(self, clock: list[float], answers: list[tuple[float, Any]]) -> None:
        self._clock, self._answers = clock, answers
        self.follower: Follower | None = None

    def page(self, _: str | None, wait_s: float = 0) -> Page:
        seconds, answer = self._answers.pop(0)
        self._clock[0] += seconds
        if not self._answers:
            assert self.follower is not None
            self.follower.stop()
        if isinstance(answer, Exception):
            raise answer
        commits = [] if answer is None else [commit(answer)]
        return Page(commits, commits[-1].cursor if commits else "same")

    def end(self) -> None:
        pass

    close = end


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [100.0]

    class Time:
        @staticmethod
        def monotonic() -> float:
            return now_s[0]

    monkeypatch.setattr(follower_module, "time", Time)
    monkeypatch.setattr(follower_module, "_PAUSE_S", 0.0)
    return now_s


Follow = Callable[[list[tuple[float, Any]]], list[float]]


@pytest.fixture
def follow(sim: Instance, clock: list[float]) -> Follow:
    """Follow a source that answers so; return the lag each time that the follower says something."""

    def follow(answers: list[tuple[float, Any]]) -> list[float]:
        lags: list[float] = []

        def say(_: Progress) -> None:
            assert source.follower is not None
            lags.append(source.follower.lag_s())

        source: Any = Source(clock, answers)
        source.follower = Follower(source, sim, begin_mirror(sim, URL, "sim"), say)
        assert source.follower.lag_s() == 0
        source.follower.run()
        return lags

    return follow


def test_a_copy_in_step_does_not_lag_however_long_nothing_comes(follow: Follow) -> None:
    assert follow([(0, None), (30, None), (30, None), (0, None)]) == [0, 0, 0, 0]


def test_what_comes_after_a_long_wait_is_no_lag(follow: Follow) -> None:
    # In step until the answer came, and again with the next one.
    assert follow([(0, None), (25, 1), (0, None), (0, None)]) == [0, 0, 0, 0]


def test_a_copy_that_catches_up_lags_since_it_began(follow: Follow) -> None:
    assert follow([(5, 1), (5, 2), (5, 3), (1, None), (0, None)]) == [5, 10, 15, 0, 0]


def test_a_source_that_does_not_answer_may_have_more(follow: Follow) -> None:
    gone = ServerUnavailableError(URL, "no answer")
    assert follow([(0, None), (60, gone), (60, gone), (0, 1), (0, None), (0, None)]) == [
        0,
        60,
        120,
        120,
        0,
        0,
    ]


@pytest.mark.parametrize("renamed", [False, True])
def test_a_copy_that_has_stopped_lags_on_and_one_that_was_renamed_is_not_told(
    archive: Archive,
    sim: Instance,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    *,
    renamed: bool,
) -> None:

    class Client:
        def instance(self, *_: object, **__: object) -> Any:
            return source

    source: Any = Source(clock, [(0, None), (0, CursorGoneError("oldest")), (0, None)])
    monkeypatch.setattr(mirrors_module, "connected", lambda *_: Client())
    mirrors = Mirrors(archive, URL)
    assert mirrors.begin(["sim"]) == ["sim"]
    [follower] = mirrors._followers
    source.follower = follower
    [lag] = mirrors.lags()
    assert (lag.instance, lag.following) == ("sim", True)
    if renamed:
        archive.rename("sim", "other")
        source._answers = [(0, 1), (0, None)]
    mirrors.start()
    for thread in mirrors._threads:
        thread.join()
    clock[0] += 50
    if renamed:
        assert mirrors.lags() == []
        assert "renamed or deleted" in caplog.text
        return
    [lag] = mirrors.lags()
    assert (lag.seconds, lag.following) == (50, False)
    assert "followed no longer" in caplog.text
