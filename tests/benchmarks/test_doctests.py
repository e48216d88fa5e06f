"""Every example in every docstring of the harness runs."""

import doctest
import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import benchmarks

_OPTIONAL = ("granian", "matplotlib", "rocksdict")
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def _examples() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for info in pkgutil.walk_packages(benchmarks.__path__, "benchmarks."):
        try:
            found = importlib.import_module(info.name)
        except ModuleNotFoundError as error:
            if str(error.name).partition(".")[0] not in _OPTIONAL:
                raise
            continue
        yield from (test for test in finder.find(found) if test.examples)


@pytest.mark.parametrize("example", list(_examples()), ids=lambda test: str(test.name))
def test_an_example_in_a_docstring_does_what_it_says(example: doctest.DocTest) -> None:
    report: list[str] = []
    result = doctest.DocTestRunner(optionflags=_FLAGS).run(example, out=report.append)
    assert result.failed == 0, "".join(report)
    assert result.attempted > 0
