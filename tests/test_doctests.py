"""Every example in a docstring of the package and of the harness runs, each with a fresh archive.

The examples of the client run with a served archive.
"""

import doctest
import importlib
import pkgutil
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType

import pytest

import benchmarks
import yamcs_archive
from tests.http.feeds import uvicorn_at
from yamcs_archive import Archive, Client

_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


_OPTIONAL = ("uvicorn", "matplotlib", "rocksdict")
"""Packages that parts of the harness need."""


def _modules() -> Iterator[ModuleType]:
    for package in (yamcs_archive, benchmarks):
        for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if info.name.endswith("_pb2") or info.name == "yamcs_archive.__main__":
                continue
            try:
                yield importlib.import_module(info.name)
            except ModuleNotFoundError as error:
                if package is yamcs_archive or str(error.name).partition(".")[0] not in _OPTIONAL:
                    raise


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for module in _modules():
        yield from (test for test in finder.find(module) if test.examples)


def _names(example: doctest.DocTest) -> list[str]:
    return re.findall(r"\w+", "".join(part.source for part in example.examples))


@pytest.mark.parametrize("example", list(_examples()), ids=lambda test: str(test.name))
def test_an_example_in_a_docstring_runs_as_shown(example: doctest.DocTest, tmp_path: Path) -> None:
    with Archive.open(tmp_path / "sim") as archive, ExitStack() as held:
        example.globs.update(
            Archive=Archive,
            Event=yamcs_archive.Event,
            EventKey=yamcs_archive.EventKey,
            Severity=yamcs_archive.Severity,
            directory=tmp_path / "empty",
        )
        Archive.open(tmp_path / "empty").close()
        if "sim" in _names(example):
            example.globs["sim"] = archive.instance("sim", create=True)
        if example.name.startswith("yamcs_archive.client") and {"client", "sim", "url"} & set(
            _names(example)
        ):
            archive.instance("simulator", create=True)
            url = f"http://127.0.0.1:{held.enter_context(uvicorn_at(archive, 0))}"
            client = held.enter_context(Client(url))
            example.globs.update(Client=Client, client=client, url=url, sim=client.instance("simulator"))
        report: list[str] = []
        result = doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=report.append)
        assert result.failed == 0, "".join(report)
        assert result.attempted > 0
