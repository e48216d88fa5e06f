"""How often the users file is looked at: once in each round of an event loop, and after each request came."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.http.users import add
from yamcs_archive.access import administration, users_file
from yamcs_archive.http.access.authentication import Authentication
from yamcs_archive.http.access.proxies import Proxies


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The threads that looked at a file, in turn."""
    found: list[int] = []
    real = users_file.state_of

    def state_of(path: str) -> tuple[int, ...] | None:
        found.append(threading.get_ident())
        return real(path)

    monkeypatch.setattr(users_file, "state_of", state_of)
    return found


@pytest.fixture
def authentication(path: Path, root: dict[str, str], looks: list[int]) -> Iterator[Authentication]:
    made = Authentication(path, Proxies(()))
    looks.clear()
    yield made
    made.checks.close()


def in_a_loop(*steps: Callable[[], object]) -> None:
    """Call each step in a round of its own of one event loop."""

    async def run() -> None:
        for step in steps:
            step()
            await asyncio.sleep(0)

    asyncio.run(run())


@pytest.mark.parametrize("requests", [1, 2, 300])
def test_all_requests_of_a_round_share_a_look(
    authentication: Authentication, looks: list[int], requests: int
) -> None:
    def several() -> None:
        for _ in range(requests):
            assert authentication.users().caller("root") is not None

    in_a_loop(several, several)
    assert len(looks) == 2


def test_a_change_counts_in_the_next_round(authentication: Authentication, path: Path) -> None:
    def root_is_there() -> None:
        assert authentication.users().caller("root") is not None

    def remove() -> None:
        add(path, "ada", "ReadEvents")
        administration.remove_user(path, "root")

    def root_is_gone() -> None:
        assert authentication.users().caller("root") is None
        assert authentication.users().caller("ada") is not None

    in_a_loop(root_is_there, remove, root_is_gone)


def test_what_is_begun_after_a_look_has_one_of_its_own(
    authentication: Authentication, path: Path, looks: list[int]
) -> None:
    """A request that comes after the look of a round is handled in the next one, and looks again."""
    found: list[bool] = []

    def later() -> None:
        found.append(authentication.users().caller("root") is not None)

    def now() -> None:
        authentication.users()
        asyncio.get_running_loop().call_soon(later)
        administration.remove_user(path, "root")

    in_a_loop(now)
    assert found == [False]


def test_another_thread_looks_by_itself(authentication: Authentication, looks: list[int]) -> None:
    def both() -> None:
        authentication.users()
        other = threading.Thread(target=authentication.users)
        other.start()
        other.join()

    in_a_loop(both)
    assert len(set(looks)) == 2


def test_without_a_loop_each_request_looks(authentication: Authentication, looks: list[int]) -> None:
    authentication.users()
    authentication.users()
    assert len(looks) == 2
