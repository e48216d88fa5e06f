"""The wheel: all of the package, the harness in it, nothing else, and metadata that says what it needs."""

import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path
from sysconfig import get_path

import msgspec
import pytest

from benchmarks.jobs import Job, Outcome
from benchmarks.measures.http import reference
from tests.child import ROOT, WAIT_S, run
from yamcs_archive.cli.bench import NEEDED

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
def built(source: Path) -> Path:
    """A wheel."""
    return build("wheel", source, "*.whl")


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    return zipfile.ZipFile(built)


def files(folder: str) -> list[Path]:
    """All files below a folder of the project, but for what Python left there."""
    parts = [path.relative_to(ROOT) for path in (ROOT / folder).rglob("*") if path.is_file()]
    return [path for path in parts if "__pycache__" not in path.parts]


def tracked() -> list[Path]:
    """What a wheel is built from: package, harness, metadata and the pages that they name."""
    return [*files("yamcs_archive"), *files("benchmarks")] + [
        Path(name) for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE")
    ]


@pytest.fixture(scope="module")
def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def test_a_wheel_holds_the_whole_package_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    harness = {f"yamcs_archive/harness/{path}" for path in files("benchmarks")}
    assert packed == {str(path) for path in files("yamcs_archive")} | harness
    assert {"yamcs_archive/py.typed", "yamcs_archive/http/openapi.json"} <= packed


def test_a_source_distribution_holds_the_whole_package(source: Path) -> None:
    with tarfile.open(build("sdist", source, "*.tar.gz")) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    assert {str(path) for path in files("yamcs_archive")} <= names


def test_a_wheel_brings_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    names = {name.partition(".dist-info/")[2]: name for name in wheel.namelist()}
    assert b"yamcs-archive = yamcs_archive.cli.main:main" in wheel.read(names["entry_points.txt"])
    assert b"Apache License" in wheel.read(names["licenses/LICENSE"])


def test_the_metadata_asks_for_what_is_imported_and_the_server_only_as_an_extra(metadata: Message) -> None:
    needs = metadata.get_all("Requires-Dist") or []
    core = {re.split("[<>=;]", need)[0] for need in needs if "extra ==" not in need}
    assert core == {"google-re2", "lmdb", "msgpack", "msgspec", "numpy", "protobuf", "zstandard"}
    server = [re.split("[<>=;]", need)[0] for need in needs if 'extra == "server"' in need]
    assert server == ["granian", "uvloop"]
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert (metadata.get_payload() or "") == (ROOT / "README.md").read_text(encoding="utf-8")


def test_without_the_extra_serve_says_how_to_install_it(tmp_path: Path) -> None:
    said = run(
        """
        sys.modules["granian"] = None
        from yamcs_archive.cli.main import main
        sys.stderr = sys.stdout
        sys.exit(main(["serve", "--data", sys.argv[1], "--instance", "sim"]))
        """,
        tmp_path / "data",
        status=1,
    )
    assert re.search(r"-m pip install '?granian\S* '?uvloop\S*\n", said)  # not by the project's own name
    assert said.count("\n") == 1


def test_the_harness_is_offered_with_all_that_it_needs(metadata: Message) -> None:
    needs = [need for need in metadata.get_all("Requires-Dist") or [] if 'extra == "bench"' in need]
    assert {re.split("[<>=;]", need)[0] for need in needs} == set(NEEDED)


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a venv with the wheel alone, which finds all other packages where this one does."""
    for needed in ("pip", *NEEDED):
        pytest.importorskip(needed)
    venv = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=WAIT_S)
    made = venv / "bin" / "python"
    (site,) = venv.glob("lib/python*/site-packages")
    (site / "others.pth").write_text("\n".join({get_path("purelib"), get_path("platlib")}))
    pip = [sys.executable, "-m", "pip", "--python", str(made), "--disable-pip-version-check", "install"]
    options = ["--quiet", "--no-index", "--no-deps", "--force-reinstall"]
    subprocess.run([*pip, *options, str(built)], check=True, capture_output=True, timeout=WAIT_S)
    return made


def test_the_harness_of_an_installed_wheel_runs_beside_what_else_is_installed(
    python: Path, tmp_path: Path
) -> None:
    (tmp_path / "benchmarks").mkdir()  # a package of that name is anybody's
    (tmp_path / "benchmarks" / "__init__.py").write_text("raise RuntimeError('not this one')\n")
    before = sorted(python.parent.parent.rglob("*"))
    command = [
        str(python.parent / "yamcs-archive"),
        "bench",
        "--quick",
        "--events",
        "100",
        "--only",
        "memory",
    ]
    done = subprocess.run(
        command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False, timeout=WAIT_S
    )
    assert done.returncode == 0, done.stderr
    assert "All runs gave the right answers." in done.stdout
    (output,) = tmp_path.glob("bench-*")
    assert done.stderr.splitlines()[-1] == f"The results are in {output}"
    assert [path.name for path in output.iterdir()] == ["results.json"]
    assert sorted(python.parent.parent.rglob("*")) == before


@pytest.mark.long
def test_servers_and_load_of_an_installed_harness_are_its_own(python: Path, tmp_path: Path) -> None:
    (harness,) = python.parent.parent.glob("lib/python*/site-packages/yamcs_archive/harness")
    for contender in ("archive", "sqlite"):
        job = Job(
            measure="http", case="", contender=contender, events=40, batch_events=1, connections=2, warm_up=10
        )
        result = tmp_path / "result.json"
        subprocess.run(
            [str(python), "-m", "benchmarks.child", "run", str(tmp_path / contender), str(result)],
            input=msgspec.json.encode(job),
            cwd=harness,
            env={},
            check=True,
            capture_output=True,
            timeout=WAIT_S,
        )
        assert msgspec.json.decode(result.read_bytes(), type=Outcome).digest == reference(job)
