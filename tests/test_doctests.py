"""Every example in a docstring of the package and of the harness runs.

One that uses an archive has a fresh one. The examples of the client run with a served archive.
"""

import doctest
import importlib
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import benchmarks
import yamcs_archive
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Client

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


_OPTIONAL = ("uvicorn", "matplotlib", "rocksdict")
"""Packages that parts of the harness need."""


def _modules() -> Iterator[str]:
    """Yield the names of the modules with examples; a module is imported by its test only."""
    for package in (yamcs_archive, benchmarks):
        folder = Path(*package.__path__)
        for path in sorted(folder.rglob("*.py")):
            if not path.name.endswith("_pb2.py") and ">>> " in path.read_text("utf-8"):
                parts = path.relative_to(folder.parent).with_suffix("").parts
                yield ".".join(parts).removesuffix(".__init__")


def _names(example: doctest.DocTest) -> list[str]:
    return re.findall(r"\w+", "".join(part.source for part in example.examples))


@pytest.mark.parametrize("name", [*_modules()])
def test_every_example_of_a_module_runs_as_shown(name: str, tmp_path: Path) -> None:
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if name.startswith("benchmarks.") and str(error.name).partition(".")[0] in _OPTIONAL:
            pytest.skip(f"{error.name} is not installed")
        raise
    examples = [test for test in doctest.DocTestFinder().find(module) if test.examples]
    assert examples
    for number, example in enumerate(examples):
        _run(example, tmp_path / str(number))


def _run(example: doctest.DocTest, folder: Path) -> None:
    with ExitStack() as held:
        example.globs.update(
            Archive=Archive,
            Event=yamcs_archive.Event,
            EventKey=yamcs_archive.EventKey,
            Severity=yamcs_archive.Severity,
        )
        used = {*_names(example)}
        if "directory" in used:
            example.globs["directory"] = folder / "empty"
            Archive.open(folder / "empty").close()
        if example.name.startswith("yamcs_archive.client") and {"client", "sim", "url"} & used:
            archive = held.enter_context(Archive.open(folder / "sim"))
            archive.instance("simulator", create=True)
            url = f"http://127.0.0.1:{held.enter_context(uvicorn_at(archive, 0))}"
            client = held.enter_context(Client(url))
            example.globs.update(Client=Client, client=client, url=url, sim=client.instance("simulator"))
        elif "sim" in used:
            archive = held.enter_context(Archive.open(folder / "sim"))
            example.globs["sim"] = archive.instance("sim", create=True)
        report: list[str] = []
        result = doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=report.append)
        assert result.failed == 0, "".join(report)
        assert result.attempted > 0
