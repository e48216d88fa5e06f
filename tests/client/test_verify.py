"""``RemoteInstance.verify`` and ``verify --url``: the server's findings, and its refusal."""

from __future__ import annotations

import dataclasses
import io
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.http.feeds import uvicorn_at
from tests.storage.test_damage import damage
from tests.storage.test_verification import filled
from yamcs_archive import (
    Archive,
    Client,
    DamagedError,
    Event,
    Instance,
    ServerRefusedError,
    ServerUnavailableError,
    Verification,
)
from yamcs_archive.cli import progress
from yamcs_archive.cli.main import main
from yamcs_archive.http import progress_lines
from yamcs_archive.http.wsgi import create_app
from yamcs_archive.storage.lmdb_store import LmdbStore


class Terminal(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_server_tells_how_far_it_is(
    sim: Instance, archive: Archive, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    sim.append_many(Event(f"{n}") for n in range(10))
    begun = threading.Event()

    def slowly(
        self: LmdbStore, progress: Callable[[int, int], None], cancelled: Callable[[], bool], **_: bool
    ) -> Verification:
        progress(4, 10)
        begun.wait(progress_lines.TELL_S * 8)
        raise DamagedError("blocks 80", "a page is wrong")

    with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
        told: list[tuple[int, int]] = []
        here = sim.verify()
        found = client.instance("sim").verify()
        assert here is not None
        assert dataclasses.replace(found, seconds=here.seconds) == here
        monkeypatch.setattr(progress_lines, "TELL_S", 0.05)
        with monkeypatch.context() as patched:
            patched.setattr(LmdbStore, "verify", slowly)
            patched.setattr(progress, "_FIRST_DRAWN_S", 0.01)
            terminal = Terminal()
            patched.setattr(sys, "stderr", terminal)
            assert main(["verify", "--url", f"http://127.0.0.1:{port}", "sim"]) == 1
            assert "sim: 4 of 10 events" in terminal.getvalue()
            assert "a page is wrong" in terminal.getvalue()
            with pytest.raises(ServerUnavailableError, match="a page is wrong"):
                client.instance("sim").verify(progress=lambda *far: told.append(far))
        assert set(told) == {(4, 10)}


def test_a_server_verifies_if_it_allows_operations(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    filled(tmp_path / "a")
    damage(tmp_path / "a", "blocks", 1, -1)
    with Archive.open(tmp_path / "a", readonly=True) as archive:
        here = archive.instance("sim").verify()
        assert here is not None
        with uvicorn_at(archive, 0) as port, Client(f"http://127.0.0.1:{port}") as client:
            found = client.instance("sim").verify()
            assert dataclasses.replace(found, seconds=here.seconds) == here
            assert client.instance("sim").verify(quick=True).fault_count == 1
            status = main(["verify", "--url", f"http://127.0.0.1:{port}"])
        lines = capfd.readouterr().out.splitlines()
        assert (status, len(lines)) == (1, 2)
        assert lines[0].startswith(f"sim: {found.events} events in ")
        assert lines[1].startswith("sim: blocks 8000")
        with (
            uvicorn_at(archive, 0, create_app(archive)) as port,
            Client(f"http://127.0.0.1:{port}") as client,
            pytest.raises(ServerRefusedError, match="--allow-operations"),
        ):
            client.instance("sim").verify()
