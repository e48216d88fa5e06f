"""``RemoteInstance.verify`` and ``verify --url``: the server's findings, and its refusal."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from tests.http.feeds import uvicorn_at
from tests.storage.test_damage import damage
from tests.storage.test_verification import filled
from yamcs_archive import Archive, Client, ServerRefusedError
from yamcs_archive.cli.main import main
from yamcs_archive.http.wsgi import create_app


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
