"""The command line chooses the address space that a server reserves."""

from pathlib import Path

import pytest

from tests.server.serving import serving
from yamcs_archive.errors import InvalidInputError
from yamcs_archive.server.settings import MAP_BYTES_MAX, MAP_BYTES_MIN, Settings


def test_a_server_reserves_the_configured_address_space(tmp_path: Path) -> None:
    with serving(tmp_path / "a", "--instance", "sim", "--map-bytes", str(1 << 24)) as served:
        files = Path(f"/proc/{served.process.pid}/maps").read_text().splitlines()
        mapped = [line.split()[0].split("-") for line in files if line.endswith("data.mdb")]
        assert [int(stop, 16) - int(start, 16) for start, stop in mapped] == [1 << 24]


@pytest.mark.parametrize("map_bytes", [MAP_BYTES_MIN, MAP_BYTES_MAX])
def test_map_bytes_outside_their_bounds_are_refused(map_bytes: int) -> None:
    assert Settings(data=Path("a"), map_bytes=map_bytes).map_bytes == map_bytes
    beyond = map_bytes - 1 if map_bytes == MAP_BYTES_MIN else map_bytes + 1
    with pytest.raises(InvalidInputError, match=f"map_bytes={beyond}"):
        Settings(data=Path("a"), map_bytes=beyond)
