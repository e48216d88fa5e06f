"""The wheel: it has the whole package and nothing else, and its metadata names the packages that it needs."""

import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.child import ROOT, WAIT_S, run

_BUILD = "import sys; from setuptools import build_meta; build_meta.build_{}(sys.argv[1])"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy to build from: the checkout may be read-only, and must stay clean."""
    source = tmp_path_factory.mktemp("source")
    for path in tracked():
        target = source / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / path).read_bytes())
    return source


def build(kind: str, source: Path, pattern: str) -> Path:
    subprocess.run(
        [sys.executable, "-c", _BUILD.format(kind), str(source)],
        cwd=source,
        check=True,
        capture_output=True,
        timeout=2 * WAIT_S,
    )
    (found,) = source.glob(pattern)
    return found


@pytest.fixture(scope="module")
def wheel(source: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(build("wheel", source, "*.whl"))


def files(folder: str) -> list[Path]:
    """All files below a folder of the project, except for those that Python writes."""
    parts = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in parts if "__pycache__" not in path.parts]


def tracked() -> list[Path]:
    """The files of which a wheel is built, and those of the harness beside them."""
    return [*files("yamcs_archive"), *files("benchmarks"), *files("docs/man")] + [
        Path(name) for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
    ]


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_a_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if not re.search(r"\.(dist-info|data)/", name)}
    assert packed == {str(path) for path in files("yamcs_archive")}
    assert {"yamcs_archive/py.typed", "yamcs_archive/http/openapi.json"} <= packed


def test_a_source_distribution_holds_the_whole_package(source: Path) -> None:
    with tarfile.open(build("sdist", source, "*.tar.gz")) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {str(path) for path in (*files("yamcs_archive"), *files("docs/man"))} <= names


def test_a_wheel_brings_the_manual_pages_to_where_man_looks(wheel: zipfile.ZipFile) -> None:
    packed = {name.partition(".data/data/")[2] for name in wheel.namelist() if ".data/" in name}
    assert packed == {f"share/man/man1/{path.name}" for path in files("docs/man")}
    assert "share/man/man1/yamcs-archive-events-log.1" in packed


def test_a_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = {name.partition(".dist-info/")[2]: name for name in wheel.namelist()}
    points = wheel.read(names["entry_points.txt"])
    assert b"yamcs-archive = yamcs_archive.cli.main:main" in points
    assert b"[yamcs.cli.subcommands]\narchive = yamcs_archive.cli.yamcs_plugin:ArchiveCommand" in points
    assert b"Apache License" in wheel.read(names["licenses/LICENSE"])


def test_the_metadata_names_all_imported_packages_and_the_server_only_as_an_extra(metadata: Message) -> None:
    needs = metadata.get_all("Requires-Dist") or []
    core = {re.split("[<>=;]", need)[0] for need in needs if "extra ==" not in need}
    assert core == {"google-re2", "lmdb", "msgpack", "msgspec", "numpy", "protobuf", "shtab", "zstandard"}
    server = [re.split("[<>=;]", need)[0] for need in needs if 'extra == "server"' in need]
    assert server == ["httptools", "PyJWT", "prometheus-client", "uvicorn", "uvloop", "websockets"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert (metadata.get_payload() or "") == (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_the_extra_serve_says_how_to_install_it(tmp_path: Path) -> None:
    said = run(
        """
        sys.modules["uvicorn"] = None
        from yamcs_archive.cli.main import main
        sys.stderr = sys.stdout
        sys.exit(main(["serve", "--data", sys.argv[1], "--instance", "sim"]))
        """,
        tmp_path / "data",
        status=1,
    )
    # The packages by their names, not by that of this project.
    assert re.search(r"-m pip install '?httptools\S* (\S+ )*'?uvicorn\S* '?uvloop\S* '?websockets\S*\n", said)
    assert said.count("\n") == 1
