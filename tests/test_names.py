"""The package's names: each is loaded when it is first used, and is otherwise like any other name."""

import ast
import os
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import yamcs_archive
from tests.child import ROOT, run_bare

PACKAGE = ROOT / "yamcs_archive"


def _imports_for_type_checkers() -> Iterator[tuple[str, str]]:
    """Yield each name that the package imports under TYPE_CHECKING, with its module."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        yield from ((alias.name, f"{node.module}".removeprefix("yamcs_archive.")) for alias in node.names)


def test_the_loaded_names_are_the_public_ones_and_those_of_type_checkers() -> None:
    seen = dict(_imports_for_type_checkers())
    assert vars(yamcs_archive)["_MODULE_OF"] == seen
    assert yamcs_archive.__all__ == sorted(seen, key=yamcs_archive.__all__.index)


@pytest.mark.parametrize("name", yamcs_archive.__all__)
def test_a_name_is_that_of_its_module_and_pickles(name: str) -> None:
    value = getattr(yamcs_archive, name)
    assert value.__name__ == ("Event" if name == "StoredEvent" else name)  # one type, with two for checkers
    assert pickle.loads(pickle.dumps(value)) is value


def test_a_star_import_brings_all_names_and_dir_lists_them_before_they_are_loaded() -> None:
    said = run_bare(
        """
        import sys, yamcs_archive
        print(set(yamcs_archive.__all__) <= set(dir(yamcs_archive)), "yamcs_archive.event" in sys.modules)
        from yamcs_archive import *
        print(set(yamcs_archive.__all__) <= set(globals()), Event is yamcs_archive.event.Event)
        """
    )
    assert said.split() == ["True", "False", "True", "True"]


def test_the_errors_need_no_import_of_their_own() -> None:
    said = run_bare("import yamcs_archive; print(yamcs_archive.errors.GoneError.__name__)")
    assert said == "GoneError\n"


def test_an_unknown_name_fails_as_in_any_module() -> None:
    with pytest.raises(AttributeError, match=r"^module 'yamcs_archive' has no attribute 'Archiv'$") as raised:
        yamcs_archive.Archiv  # type: ignore[attr-defined]  # noqa: B018
    assert (raised.value.name, raised.value.obj) == ("Archiv", yamcs_archive)
    with pytest.raises(ImportError, match=r"^cannot import name 'Archiv' from 'yamcs_archive' \("):
        from yamcs_archive import Archiv  # type: ignore[attr-defined]  # noqa: F401, PLC0415


def test_a_class_is_loaded_without_the_engine_and_an_instance_with_it(tmp_path: Path) -> None:
    loaded = run_bare(
        """
        import sys
        from yamcs_archive import Archive, Event, Options
        archive = Archive.open(sys.argv[1])
        archive.instances()
        print(*sys.modules)
        archive.instance("sim", create=True)
        print(*sys.modules)
        """,
        tmp_path / "data",
    ).splitlines()
    engine = {"numpy", "lmdb", "zstandard", "yamcs_archive.instance", "yamcs_archive.storage.lmdb_store"}
    assert not set(loaded[0].split()) & (engine | {"yamcs_archive.filter", "yamcs_archive.wire"})
    assert engine <= set(loaded[1].split())
    assert "google.protobuf" not in loaded[1].split()


def test_an_engine_that_could_not_be_loaded_is_loaded_by_the_next_call(tmp_path: Path) -> None:
    said = run_bare(
        """
        import os, resource, sys
        from yamcs_archive import Archive
        archive = Archive.open(sys.argv[1])
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, limits[1]))
        taken = []
        try:
            while True:
                taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            pass
        try:
            archive.instance("sim", create=True)
        except Exception as error:
            refused = error
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        print(type(refused).__name__, str(refused).rpartition("; ")[2])
        print(archive.instance("sim", create=True).name)
        """,
        tmp_path / "data",
    )
    assert said == "UnavailableError raise the limit of open files (ulimit -n)\nsim\n"


def test_threads_of_numpy_take_no_signal() -> None:
    said = run_bare(
        """
        import glob, os
        os.environ["OPENBLAS_NUM_THREADS"] = "2"
        from yamcs_archive import Instance
        own = str(os.getpid())
        for status in glob.glob("/proc/self/task/*/status"):
            lines = dict(line.rstrip().split(":", 1) for line in open(status))
            if status.split("/")[-2] != own:
                print(int(lines["SigBlk"], 16) >> 14 & 1)  # SIGTERM
        """,
    )
    cores = len(os.sched_getaffinity(0))
    assert said.split() == ["1"] * (cores > 1)  # more threads than cores are never started


def test_a_package_that_uses_numpy_imports_it_first_and_without_signals() -> None:
    """For a folder, its ``__init__`` does; a module of the top, where many need no numpy, does it itself."""
    using = {
        path if path.parent == PACKAGE else path.parent / "__init__.py"
        for path in PACKAGE.rglob("*.py")
        if path.name != "signal_safe_numpy.py" and "\nimport numpy as np\n" in path.read_text()
    }
    assert len(using) > 1
    for path in using:
        imported = [
            alias.name if isinstance(node, ast.Import) else f"{node.module}"
            for node in ast.parse(path.read_text()).body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        ]
        before = imported[: imported.index("yamcs_archive.signal_safe_numpy")]
        assert {name.split(".")[0] for name in before} <= sys.stdlib_module_names, path
